/* How far an operation's result, computed from the reference's values, is from the reference's, and how much of it the
 * rounding of its weights explains. The relative L2 alone hides small faults in coarse types: what moves a whole channel, or
 * everything by one factor, is added up coherently, where rounding averages out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare/metrics.h"
#include "replay/replayer.h"

/* In units of what is expected. docs/replay.md has the largest in clean runs. */
#define L2_MAX 2
#define CHANNEL_MAX 8
#define MEAN_MAX 7
#define SCALE_MAX 6

bool ls_local_error_is_fault(const ls_local_error *l) {
    if (l->error == 0)
        return false;
    return !(l->error <= L2_MAX * l->expected) || l->channel > CHANNEL_MAX || l->mean > MEAN_MAX || l->scale > SCALE_MAX;
}

/* Rows are tokens, columns channels. */
typedef struct table {
    uint64_t rows, columns;
    double *difference, *reference, *variance; /* variance: NULL if nothing is rounded */
    double floor;  /* standard deviation of an element's rounding error, without the weights' */
    double norm;   /* of the reference */
} table;

static void worst_channels(const table *t, const ls_rounding *r, const double *mean_x, ls_local_error *out) {
    for (uint64_t c = 0; c < t->columns; c++) {
        double difference = 0, sum = 0, explained = 0, of_mean = 0;
        for (uint64_t row = 0; row < t->rows; row++) {
            const uint64_t i = row * t->columns + c;
            difference += t->difference[i] * t->difference[i];
            sum += t->difference[i];
            explained += t->variance != NULL ? t->variance[i] : 0;
        }
        const double floor = t->floor * t->floor * (double)t->rows;
        if (difference > 0)
            out->channel = fmax(out->channel, sqrt(difference / (explained + floor)));
        if (t->rows <= 3)
            continue;
        for (uint64_t k = 0; mean_x != NULL && k < r->k; k++)
            of_mean += r->weight[(c * r->k + k) / r->group] * mean_x[k] * mean_x[k];
        if (mean_x == NULL)
            of_mean = explained / (double)(t->rows * t->rows);
        const double deviation = mean_x == NULL && t->variance == NULL ? 3 * t->floor : t->floor;
        if (sum != 0)
            out->mean = fmax(out->mean, fabs(sum) / (double)t->rows / sqrt(of_mean + deviation * deviation));
    }
}

static double *mean_of_x(const ls_rounding *r, uint64_t rows) {
    double *mean = calloc(r->k + 1, sizeof *mean);
    for (uint64_t i = 0; mean != NULL && i < rows * r->k; i++)
        mean[i % r->k] += r->x.values[i] / (double)rows;
    return mean;
}

static void judge(const table *t, const ls_rounding *r, bool is_product, ls_local_error *out) {
    double difference = 0, product = 0, explained = 0;
    const uint64_t elements = t->rows * t->columns;
    for (uint64_t i = 0; i < elements; i++) {
        difference += t->difference[i] * t->difference[i];
        product += (t->reference[i] + t->difference[i]) * t->reference[i];
        explained += t->variance != NULL ? t->variance[i] : 0;
    }
    const double norm2 = t->norm * t->norm, floor2 = t->floor * t->floor * (double)elements;
    out->error = difference == 0 ? 0 : sqrt(difference / norm2);
    out->expected = sqrt((explained + floor2) / norm2);
    out->factor = norm2 > 0 ? product / norm2 : 1;
    double *mean = is_product && r->x.elements == t->rows * r->k ? mean_of_x(r, t->rows) : NULL;
    worst_channels(t, r, mean, out);
    const double variance = norm2 > 0 ? mean != NULL ? ls_rounding_along(r, t->reference) / (norm2 * norm2) : explained / norm2 / (double)elements : 0;
    const double of_floor = norm2 > 0 ? sqrt(floor2 / norm2) : 0;
    const double bias = norm2 > 0 ? explained / norm2 : 0; /* rounding may shrink by as much */
    out->scale = norm2 > 0 ? fmax(0, fabs(out->factor - 1) - bias) / (sqrt(variance) + fmax(of_floor, 1e-9)) : 0;
    free(mean);
}

/* The operation whose weight's rounding a result has: itself, or an open product to which it only adds something. */
static size_t source_of_rounding(const ls_replayer *w, size_t node) {
    enum { INPUTS = 8 };
    size_t inputs[INPUTS], open = LS_NONE;
    const ls_node *n = &w->candidate->nodes[node];
    if (n->kind->role != LS_OP_ROLE_SUM)
        return node;
    const size_t count = ls_replayer_inputs(w, node, inputs, INPUTS);
    for (size_t i = 0; i < count; i++) {
        if (!w->steps[inputs[i]].is_open)
            continue;
        if (open != LS_NONE || w->candidate->nodes[inputs[i]].elements != n->elements)
            return node;
        open = inputs[i];
    }
    return open != LS_NONE ? open : node;
}

bool ls_replayer_local_error(ls_replayer *w, size_t node, ls_local_error *out) {
    const ls_node *n = &w->candidate->nodes[node];
    const ls_step *s = &w->steps[node];
    ls_array computed, moved = {0};
    ls_rounding r;
    const char *reason;
    double *scale = NULL, scales = 0, norm = 0;
    *out = (ls_local_error){0};
    if (s->value.values == NULL || !ls_replayer_compute(w, node, false, &computed, &scale, &reason))
        return false;
    table t = {.columns = n->rank > 0 ? n->shape[n->rank - 1] : 1, .difference = calloc(n->elements + 1, sizeof(double)), .reference = s->value.values};
    t.rows = n->elements / t.columns;
    uint64_t numbers = 0;
    for (uint64_t i = 0; t.difference != NULL && i < n->elements; i++) {
        const double d = computed.values[i] - s->value.values[i];
        if (!isfinite(d) || s->value.values[i] <= LS_MASK_BELOW)
            continue;
        t.difference[i] = d;
        norm += s->value.values[i] * s->value.values[i];
        scales += scale[i] * scale[i];
        numbers++;
    }
    const size_t source = source_of_rounding(w, node);
    const bool rounded = ls_replayer_rounding(w, source, &r);
    t.norm = sqrt(norm);
    t.floor = ls_replayer_floor(w, node) * sqrt(fmax(norm, scales) / (double)(numbers > 0 ? numbers : 1));
    t.variance = rounded ? r.variance : NULL;
    if (!rounded && ls_replayer_compute_moved(w, node, &computed, &moved)) { /* of open nodes that it was computed from */
        t.variance = calloc(n->elements + 1, sizeof *t.variance);
        const double squares = ls_replayer_moved_squares(&computed, &moved);
        for (uint64_t i = 0; t.variance != NULL && i < n->elements; i++)
            t.variance[i] = squares / (double)n->elements;
    }
    if (w->type_error > 0 && t.variance == NULL)
        t.variance = calloc(n->elements + 1, sizeof *t.variance);
    const double typical = numbers > 0 ? norm / (double)numbers : 0; /* where terms cancel, that of a weight counts, which is not known */
    for (uint64_t i = 0; w->type_error > 0 && t.variance != NULL && i < n->elements; i++)
        t.variance[i] += w->type_error * w->type_error * (typical + (isfinite(scale[i]) ? scale[i] * scale[i] : 0));
    double *reference = malloc((n->elements + 1) * sizeof *reference); /* without what is masked */
    const bool ok = t.difference != NULL && reference != NULL && numbers > 0;
    for (uint64_t i = 0; ok && i < n->elements; i++)
        reference[i] = isfinite(s->value.values[i]) && s->value.values[i] > LS_MASK_BELOW ? s->value.values[i] : 0;
    t.reference = reference;
    if (ok)
        judge(&t, &r, rounded && w->candidate->nodes[source].kind->id == LS_OP_MUL_MAT, out);
    if ((!rounded && t.variance != NULL) || w->type_error > 0) /* it is not independent from token to token, in a way that is not known */
        out->mean = out->scale = 0;
    if (!rounded)
        free(t.variance);
    free(reference);
    free(t.difference);
    free(scale);
    ls_rounding_release(&r);
    ls_array_release(&computed);
    ls_array_release(&moved);
    return ok;
}
