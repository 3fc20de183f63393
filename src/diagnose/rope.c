/* Rotary positions: which base would have given the reference's values? */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare/relative.h"
#include "diagnose/diagnose.h"

enum { NEOX = 2, ESTIMATES_MAX = 4096, STEPS = 60 };

/* The candidate's rotation: its input, and how it pairs elements. */
typedef struct rotation {
    const double *input; /* rows × heads × size, as the candidate's output */
    const double *reference;
    size_t count, heads, size, dims;
    bool halves;         /* pairs i and i + dims / 2, instead of 2i and 2i + 1 */
    const int32_t *positions; /* one a row */
} rotation;

static void pair_at(const rotation *r, size_t i, size_t *first, size_t *second) {
    *first = r->halves ? i : 2 * i;
    *second = r->halves ? i + r->dims / 2 : 2 * i + 1;
}

/* What is left between the input rotated with this base and the reference. */
static double left_with(const rotation *r, double base) {
    double difference = 0, norm = 0;
    for (size_t vector = 0; vector * r->size < r->count; vector++) {
        const double *x = r->input + vector * r->size, *y = r->reference + vector * r->size;
        double position = r->positions[vector / r->heads];
        for (size_t i = 0; i < r->dims / 2; i++) {
            size_t a, b;
            pair_at(r, i, &a, &b);
            double angle = position * pow(base, -2 * (double)i / (double)r->dims), c = cos(angle), s = sin(angle);
            double da = x[a] * c - x[b] * s - y[a], db = x[b] * c + x[a] * s - y[b];
            difference += da * da + db * db;
            norm += y[a] * y[a] + y[b] * y[b];
        }
        for (size_t i = r->dims; i < r->size; i++) { /* not rotated */
            difference += (x[i] - y[i]) * (x[i] - y[i]);
            norm += y[i] * y[i];
        }
    }
    return ls_relative_l2_of_some(difference, norm);
}

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Each pair of elements was turned by position * base^(-2 i / dims): where that is less
 * than half a turn, it tells the base. The median of what many of them say. */
static double estimate(const rotation *r) {
    double *logs = malloc(ESTIMATES_MAX * sizeof *logs), found = NAN;
    size_t count = 0;
    for (size_t vector = 0; logs != NULL && vector * r->size < r->count; vector++)
        for (size_t i = r->dims / 8 + 1; i < r->dims / 2 && count < ESTIMATES_MAX; i++) {
            const double *x = r->input + vector * r->size, *y = r->reference + vector * r->size;
            double position = r->positions[vector / r->heads];
            size_t a, b;
            pair_at(r, i, &a, &b);
            double angle = atan2(x[a] * y[b] - x[b] * y[a], x[a] * y[a] + x[b] * y[b]);
            double length = hypot(x[a], x[b]);
            if (position > 0 && position <= 8 && angle > 1e-3 && angle < 3 && length > 1e-3 && fabs(hypot(y[a], y[b]) / length - 1) < 1e-3)
                logs[count++] = -log(angle / position) * (double)r->dims / (2 * (double)i);
        }
    if (count >= 4) {
        qsort(logs, count, sizeof *logs, by_value);
        found = logs[count / 2];
    }
    free(logs);
    return found;
}

/* The best within a few percent of the estimate; a round number, if it is as good. */
static double refine(const rotation *r, double log_base) {
    double low = log_base - 0.05, high = log_base + 0.05;
    const double golden = 0.6180339887498949;
    double a = high - golden * (high - low), b = low + golden * (high - low), at_a = left_with(r, exp(a)), at_b = left_with(r, exp(b));
    for (int step = 0; step < STEPS && high - low > 1e-9; step++) {
        if (at_a < at_b) {
            high = b, b = a, at_b = at_a;
            a = high - golden * (high - low);
            at_a = left_with(r, exp(a));
        } else {
            low = a, a = b, at_a = at_b;
            b = low + golden * (high - low);
            at_b = left_with(r, exp(b));
        }
    }
    double base = exp((low + high) / 2), digit = pow(10, floor(log10(base)) - 1), rounded = round(base / digit) * digit;
    return left_with(r, rounded) <= 2 * left_with(r, base) ? rounded : base;
}

static bool fit(const ls_evidence *e, const double *input, double own_base, size_t dims, bool halves, ls_cause *out) {
    const ls_node *n = &e->diff->in.candidate.trace->nodes[e->pair->candidate_value];
    const ls_pass *pass = &e->diff->in.candidate.trace->passes[n->pass];
    size_t heads = n->rank >= 2 ? (size_t)n->shape[n->rank - 2] : 1;
    rotation r = {.input = input, .reference = e->reference, .heads = heads, .size = e->channels, .dims = dims, .halves = halves, .positions = pass->positions};
    r.count = e->count / (heads * e->channels) * heads * e->channels; /* whole rows */
    if (r.count == 0 || r.count / (heads * e->channels) > pass->rows)
        return false;
    double log_base = estimate(&r);
    if (!isfinite(log_base))
        return false;
    double base = refine(&r, log_base);
    out->residual = left_with(&r, base);
    ls_cause_set_number(out, "base", own_base);
    ls_cause_set_number(out, "reference_base", base);
    return fabs(base / own_base - 1) > 1e-3;
}

bool ls_fit_rope_frequency(const ls_evidence *e, ls_cause *out) {
    const ls_diff *d = e->diff;
    const ls_node *node = &d->in.candidate.trace->nodes[e->pair->candidate_value];
    const double *base = ls_node_parameter(node, "freq_base"), *dims = ls_node_parameter(node, "n_dims"), *mode = ls_node_parameter(node, "mode");
    const ls_view *seen = &e->aligned->layout.candidate;
    ls_hold input;
    if (node->kind->id != LS_OP_ROPE || base == NULL || dims == NULL || mode == NULL || (*mode != 0 && *mode != NEOX) || node->source_count == 0 ||
        node->pass == LS_NONE || d->in.candidate.trace->passes[node->pass].positions == NULL || *dims < 4 || *dims > (double)e->channels ||
        e->pair->elements != node->elements || !ls_view_is_contiguous(seen) ||
        ls_trace_hold(d->in.candidate.trace, d->in.candidate.values.value_of[node->sources[0]], &input, NULL) != LOCKSTEP_OK)
        return false;
    bool same = ls_view_elements(&input.view) == node->elements;
    if (same)
        ls_view_read_f64(&input.view, 0, e->count, e->scratch);
    ls_hold_release(&input);
    return same && fit(e, e->scratch, *base, (size_t)*dims, *mode == NEOX, out);
}
