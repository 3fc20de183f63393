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
#define ONE_DRAW 1.5 /* how far a single draw of all weights' rounding may be below what is typical */

double ls_local_error_limit(const ls_local_error *l) { return L2_MAX * l->expected; }

bool ls_local_error_is_fault(const ls_local_error *l) {
    if (l->error == 0)
        return false;
    return !(l->error <= ls_local_error_limit(l)) || l->channel > CHANNEL_MAX || l->mean > MEAN_MAX || l->scale > SCALE_MAX;
}

/* Over the rows of one channel. */
typedef struct channel {
    double difference, sum, explained; /* sums: of the squares, of the differences, and of their variances */
} channel;

static channel *sum_channels(const ls_differences *t) {
    channel *all = calloc(t->columns + 1, sizeof *all);
    for (uint64_t row = 0; row < t->rows && all != NULL; row++) {
        const double *difference = t->difference + row * t->columns, *variance = t->variance != NULL ? t->variance + row * t->columns : NULL;
        for (uint64_t c = 0; c < t->columns; c++) {
            all[c].difference += difference[c] * difference[c];
            all[c].sum += difference[c];
            all[c].explained += variance != NULL ? variance[c] : 0;
        }
    }
    return all;
}

static void worst_channels(const ls_differences *t, const ls_rounding *r, const double *mean_x, ls_local_error *out) {
    channel *all = sum_channels(t);
    const double floor = t->floor * t->floor * (double)t->rows;
    const uint64_t groups = mean_x != NULL ? r->k / r->group : 0;
    for (uint64_t c = 0; c < t->columns && all != NULL; c++) {
        const channel *own = &all[c];
        double of_mean = 0;
        if (own->difference > 0)
            out->channel = fmax(out->channel, sqrt(own->difference / (own->explained + floor)));
        if (t->rows <= 3 || own->sum == 0)
            continue;
        for (uint64_t g = 0; mean_x != NULL && g < groups; g++)
            of_mean += r->weight[c * groups + g] * mean_x[g];
        if (mean_x == NULL)
            of_mean = own->explained / (double)(t->rows * t->rows);
        const double deviation = mean_x == NULL && t->variance == NULL ? 3 * t->floor : t->floor;
        out->mean = fmax(out->mean, fabs(own->sum) / (double)t->rows / sqrt(of_mean + deviation * deviation + (t->of_type != NULL ? t->of_type[c] : 0)));
    }
    free(all);
}

/* The squares of the operand's means over all rows, summed over the elements of each group. */
static double *squares_of_mean_x(const ls_rounding *r, uint64_t rows) {
    const double part = 1 / (double)rows;
    double *mean = calloc(r->k + 1, sizeof *mean), *squares = calloc(r->k / r->group + 1, sizeof *squares);
    for (uint64_t row = 0; mean != NULL && row < rows; row++)
        for (uint64_t k = 0; k < r->k; k++)
            mean[k] += r->x.values[row * r->k + k] * part;
    for (uint64_t g = 0; mean != NULL && squares != NULL && g < r->k / r->group; g++)
        for (uint64_t k = g * r->group; k < (g + 1) * r->group; k++)
            squares[g] += mean[k] * mean[k];
    free(mean);
    return squares;
}

static void judge(const ls_differences *t, const ls_rounding *r, bool is_product, ls_local_error *out) {
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
    double *mean = is_product && r->x.elements == t->rows * r->k ? squares_of_mean_x(r, t->rows) : NULL;
    worst_channels(t, r, mean, out);
    const double variance = norm2 > 0 ? mean != NULL ? ls_rounding_along(r, t->reference) / (norm2 * norm2) : explained / norm2 / (double)elements : 0;
    const double of_floor = norm2 > 0 ? sqrt(floor2 / norm2) : 0;
    const double bias = norm2 > 0 ? explained / norm2 : 0; /* rounding may shrink by as much */
    out->scale = norm2 > 0 ? fmax(0, fabs(out->factor - 1) - bias) / (sqrt(variance) + fmax(of_floor, 1e-9) + t->type) : 0;
    free(mean);
}

static bool have_same_rows(const ls_node *a, const ls_node *b) {
    return a->elements == b->elements && a->rank > 0 && b->rank > 0 && a->shape[a->rank - 1] == b->shape[b->rank - 1];
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
        if (open != LS_NONE || !have_same_rows(&w->candidate->nodes[inputs[i]], n))
            return node;
        open = inputs[i];
    }
    return open != LS_NONE ? open : node;
}

uint64_t ls_rows_known(const ls_array *computed, uint64_t columns, bool **out_known) {
    const uint64_t rows = computed->elements / columns;
    bool *known = calloc(rows + 1, sizeof *known);
    uint64_t count = 0;
    for (uint64_t row = 0; row < rows && known != NULL; row++) {
        for (uint64_t i = 0; i < columns && !known[row]; i++)
            known[row] = !isnan(computed->values[row * columns + i]);
        count += known[row];
    }
    *out_known = known;
    return count;
}

/* What differs in one row. Returns how many numbers there are. */
static uint64_t compare_row(const ls_differences *t, uint64_t at, const double *computed, const double *value, const double *scale, double *norm, double *scales) {
    uint64_t numbers = 0;
    for (uint64_t i = 0; i < t->columns; i++) {
        const double d = computed[i] - value[i];
        const bool masked = value[i] <= LS_MASK_BELOW;
        t->difference[at + i] = 0;
        t->reference[at + i] = isfinite(value[i]) && !masked ? value[i] : 0;
        if (!isfinite(d) || masked)
            continue;
        t->difference[at + i] = d;
        *norm += value[i] * value[i];
        *scales += scale[i] * scale[i];
        numbers++;
    }
    return numbers;
}

/* Fills the table, of the known rows, but for its variances; `scale` as in ls_evaluation. */
static bool compare(ls_differences *t, const ls_array *computed, const ls_array *value, const double *scale, const bool *known) {
    const uint64_t rows = computed->elements / t->columns;
    double scales = 0, norm = 0;
    uint64_t numbers = 0, at = 0;
    t->difference = malloc((t->rows * t->columns + 1) * sizeof *t->difference);
    t->reference = malloc((t->rows * t->columns + 1) * sizeof *t->reference);
    for (uint64_t row = 0; row < rows && t->difference != NULL && t->reference != NULL; row++) {
        const uint64_t first = row * t->columns;
        if (!known[row])
            continue;
        numbers += compare_row(t, at, computed->values + first, value->values + first, scale + first, &norm, &scales);
        at += t->columns;
    }
    if (numbers == 0)
        return false;
    t->norm = sqrt(norm);
    t->floor = sqrt(fmax(norm, scales) / (double)numbers);
    t->typical = norm / (double)numbers;
    return true;
}

/* What the rounding of open nodes explains that it was computed from, spread over all elements. */
static double *variance_of_moved(ls_replayer *w, size_t node, const ls_array *computed, uint64_t elements) {
    ls_array moved;
    if (!ls_replayer_compute_moved(w, node, computed, &moved))
        return NULL;
    double *variance = malloc((elements + 1) * sizeof *variance);
    const double squares = ls_replayer_moved_squares(computed, &moved);
    for (uint64_t i = 0; variance != NULL && i < elements; i++)
        variance[i] = squares / (double)elements; /* of the known rows, as the squares are */
    ls_array_release(&moved);
    return variance;
}

/* Where terms cancel, what counts is the type's rounding of a weight, which is not known. Without a scale, the results' own size counts: of
 * rotations, whose angles are not rounded to the type. */
static void add_type(double error, ls_differences *t, const double *scale, const bool *known) {
    const double type2 = error * error, share = type2 / (double)t->rows;
    t->type = error;
    t->of_type = type2 > 0 ? calloc(t->columns + 1, sizeof *t->of_type) : NULL;
    if (type2 > 0 && t->variance == NULL)
        t->variance = calloc(t->rows * t->columns + 1, sizeof *t->variance);
    for (uint64_t row = 0, kept = 0; t->of_type != NULL && t->variance != NULL && kept < t->rows; row++) {
        if (!known[row])
            continue;
        for (uint64_t i = 0; i < t->columns; i++) {
            const double own = scale != NULL ? scale[row * t->columns + i] : 0;
            const double squares = t->typical + (isfinite(own) ? own * own : 0);
            t->variance[kept * t->columns + i] += type2 * squares;
            t->of_type[i] += share * squares;
        }
        kept++;
    }
}

/* Where the reference has no tensors for what is in front of a result, that may have the rounding of open products in it, besides its own
 * weight's. */
bool ls_replayer_has_rounded_region(const ls_replayer *w, size_t node) {
    enum { INPUTS = 32 };
    size_t inputs[INPUTS];
    bool any = false;
    for (size_t i = ls_replayer_inputs(w, node, inputs, INPUTS); i > 0 && !any; i--)
        any = w->steps[inputs[i - 1]].is_open && w->steps[inputs[i - 1]].moved.values != NULL;
    return any;
}

/* The statistics of a region in the units of those of a single operation. */
static bool judge_region(ls_replayer *w, size_t node, const ls_array *computed, const bool *known, const ls_differences *t, ls_local_error *out) {
    ls_region_error e;
    const double norm2 = t->norm * t->norm, elements = (double)(t->rows * t->columns), type = ls_replayer_type_error_of(w, node);
    const double floor = hypot(t->floor, type * sqrt(t->typical));
    if (!(norm2 > 0) || !ls_replayer_judge_region(w, node, computed, known, t, floor, &e))
        return false;
    double difference = 0;
    for (uint64_t i = 0; i < t->rows * t->columns; i++)
        difference += t->difference[i] * t->difference[i];
    out->error = sqrt(difference / norm2);
    out->expected = e.all > 0 ? out->error / (L2_MAX * e.all) : sqrt((e.squares + floor * floor * elements) / norm2);
    out->factor = 1;
    out->channel = CHANNEL_MAX * e.channel;
    out->mean = MEAN_MAX * e.mean;
    out->scale = SCALE_MAX * e.factor;
    return true;
}

bool ls_replayer_measure(ls_replayer *w, size_t node, const ls_array *computed, const double *scale, ls_local_error *out) {
    const ls_node *n = &w->candidate->nodes[node];
    const size_t source = source_of_rounding(w, node);
    ls_rounding r = {0};
    bool *known;
    ls_differences t = {.columns = n->rank > 0 ? n->shape[n->rank - 1] : 1};
    *out = (ls_local_error){0};
    if (n->elements == 0)
        return false;
    t.rows = ls_rows_known(computed, t.columns, &known);
    const bool ok = known != NULL && w->steps[node].value.values != NULL && compare(&t, computed, &w->steps[node].value, scale, known);
    const bool spread = ls_replayer_has_rounded_region(w, w->partners.is_set ? node : source), rounded = ok && !spread && ls_replayer_rounding(w, source, known, &r);
    if (ok)
        t.floor *= ls_replayer_floor(w, node);
    if (ok && spread && w->partners.is_set && judge_region(w, node, computed, known, &t, out)) {
        out->is_spread = true;
    } else if (ok) {
        t.variance = rounded ? r.variance : variance_of_moved(w, node, computed, t.rows * t.columns);
        for (uint64_t i = 0; spread && t.variance != NULL && i < t.rows * t.columns; i++)
            t.variance[i] *= ONE_DRAW * ONE_DRAW;
        r.variance = NULL;
        const double type_error = ls_replayer_type_error_of(w, node);
        add_type(type_error, &t, n->kind->traits & LS_OP_ANGULAR ? NULL : scale, known);
        const ls_op_id kind = w->candidate->nodes[source].kind->id;
        const bool is_product = rounded && kind == LS_OP_MUL_MAT && r.m == t.columns, is_selection = rounded && kind == LS_OP_GET_ROWS;
        judge(&t, &r, is_product, out);
        if (t.variance != NULL && !is_product && !is_selection) /* it is not independent from token to token, in a way that is not known */
            out->mean = out->scale = 0;
        if (spread)
            out->channel = 0;
        out->is_spread = spread;
    }
    ls_rounding_release(&r);
    free(t.difference);
    free(t.reference);
    free(t.variance);
    free(t.of_type);
    free(known);
    return ok;
}

bool ls_replayer_local_error(ls_replayer *w, size_t node, ls_local_error *out) {
    ls_array computed;
    const char *reason;
    double *scale = NULL;
    *out = (ls_local_error){0};
    w->sampled = node;
    const bool known = w->steps[node].value.values != NULL && ls_replayer_compute(w, node, false, &computed, &scale, &reason);
    w->sampled = LS_NONE;
    if (!known)
        return false;
    const bool ok = ls_replayer_measure(w, node, &computed, scale, out);
    free(scale);
    ls_array_release(&computed);
    return ok;
}
