/* Relations to other tensors of the run. */
#include <math.h>
#include <string.h>

#include "compare/relative.h"
#include "diagnose/diagnose.h"
#include "op/unary.h"

enum { GLANCE = 256 }; /* elements that are looked at before all are */

/* Another reference tensor of this shape, or a reshape of it, seen through this pair's
 * layout. */
static bool see_likewise(const ls_evidence *e, const ls_hold *other, ls_view *out_view) {
    const ls_view *own = &e->aligned->reference.view;
    bool same = other->view.rank == own->rank && memcmp(other->view.shape, own->shape, (size_t)own->rank * sizeof *own->shape) == 0 &&
                memcmp(other->view.strides, own->strides, (size_t)own->rank * sizeof *own->strides) == 0;
    bool reshaped = ls_view_is_contiguous(&other->view) && ls_view_is_contiguous(own) && ls_view_elements(&other->view) == ls_view_elements(own);
    if (other->view.dtype != own->dtype || (!same && !reshaped) || e->aligned->layout.gathered[0] != NULL)
        return false;
    *out_view = e->aligned->layout.reference;
    out_view->data = other->view.data + (e->aligned->layout.reference.data - own->data);
    return true;
}

/* What the candidate, less `minus` (or nothing), is compared with. */
typedef struct wanted {
    const double *base; /* candidate */
    const double *from; /* NULL: base itself; else from - base */
} wanted;

static double distance(const ls_evidence *e, const ls_view *view, const wanted *w, size_t count) {
    double difference = 0, norm = 0, values[GLANCE];
    for (size_t done = 0; done < count; done += GLANCE) {
        size_t n = count - done < GLANCE ? count - done : GLANCE;
        ls_view_read_f64(view, done, n, values);
        for (size_t i = 0; i < n; i++) {
            double target = w->from != NULL ? w->from[done + i] - w->base[done + i] : w->base[done + i];
            difference += (values[i] - target) * (values[i] - target);
            norm += e->reference[done + i] * e->reference[done + i];
        }
    }
    return ls_relative_l2_of_some(difference, norm);
}

/* The reference tensor of this pass that is closest to what is wanted. */
static size_t closest(const ls_evidence *e, const wanted *w, double *out_distance) {
    ls_diff *d = e->diff;
    size_t best = LS_NONE, glance = e->count < GLANCE ? e->count : GLANCE;
    *out_distance = INFINITY;
    const ls_node *own = &d->in.reference.trace->nodes[e->pair->reference_value];
    /* an output that has another pair, too, is that one for certain */
    size_t own_pair = e->pair->is_extra ? d->pairs.items[d->matching.pair_of[e->pair->candidate_value] - 1].reference_value : LS_NONE;
    for (size_t i = 0; i < d->in.reference.trace->node_count; i++) {
        const ls_node *n = &d->in.reference.trace->nodes[i];
        ls_hold hold;
        ls_view view;
        if (i == e->pair->reference_value || i == own_pair || n->pass != own->pass || n->elements != own->elements ||
            !ls_node_has_values(n) || n->role != LOCKSTEP_ROLE_COMPUTED || ls_trace_hold(d->in.reference.trace, i, &hold, NULL) != LOCKSTEP_OK)
            continue;
        if (see_likewise(e, &hold, &view) && distance(e, &view, w, glance) < 1e-2) {
            double all = distance(e, &view, w, e->count);
            if (all < *out_distance) {
                *out_distance = all;
                best = i;
            }
        }
        ls_hold_release(&hold);
    }
    return best;
}

bool ls_fit_swapped(const ls_evidence *e, ls_cause *out) {
    wanted w = {e->candidate, NULL};
    size_t other = closest(e, &w, &out->residual);
    if (other == LS_NONE)
        return false;
    ls_cause_set_text(out, "tensor", e->diff->in.reference.trace->nodes[other].name);
    return true;
}

/* The candidate is another function of what the reference's tensor is a function of. */
bool ls_fit_activation(const ls_evidence *e, ls_cause *out) {
    const ls_diff *d = e->diff;
    const ls_node *own = &d->in.reference.trace->nodes[e->pair->reference_value];
    const char *best = NULL;
    out->residual = INFINITY;
    for (size_t k = 0; k < own->source_count; k++) {
        size_t source = d->in.reference.values.value_of[own->sources[k]];
        const ls_node *n = &d->in.reference.trace->nodes[source];
        ls_hold hold;
        ls_view view;
        if (n->role == LOCKSTEP_ROLE_WEIGHT || !ls_node_has_values(n) || ls_trace_hold(d->in.reference.trace, source, &hold, NULL) != LOCKSTEP_OK)
            continue;
        if (n->elements == own->elements && see_likewise(e, &hold, &view))
            for (const ls_unary *u = ls_unaries; u->name != NULL; u++) {
                ls_view_read_f64(&view, 0, e->count, e->scratch);
                for (size_t i = 0; i < e->count; i++)
                    e->scratch[i] = u->apply(e->scratch[i]);
                double left = ls_residual(e->scratch, e->candidate, e->count);
                if (left < out->residual) {
                    out->residual = left;
                    best = u->name;
                    ls_cause_set_text(out, "function", u->name);
                    ls_cause_set_text(out, "input", n->name);
                }
            }
        ls_hold_release(&hold);
    }
    return best != NULL;
}

bool ls_fit_missing_term(const ls_evidence *e, ls_cause *out) {
    wanted lacks = {e->candidate, e->reference}, has = {e->reference, e->candidate};
    double surplus;
    size_t missing = closest(e, &lacks, &out->residual), extra = closest(e, &has, &surplus);
    bool more = extra != LS_NONE && surplus < out->residual;
    if (missing == LS_NONE && !more)
        return false;
    out->residual = more ? surplus : out->residual;
    ls_cause_set_text(out, "lacks_or_adds", more ? "has one term too many" : "lacks a term");
    ls_cause_set_text(out, "term", e->diff->in.reference.trace->nodes[more ? extra : missing].name);
    return true;
}

/* The other order within each head, of rotary halves or interleaved pairs. */
bool ls_fit_rope_pairs(const ls_evidence *e, ls_cause *out) {
    bool expected = ls_pair_reorder(e->pair) == LS_REORDER_ROPE_PAIRS;
    ls_aligned_pair aligned;
    ls_metrics metrics;
    lockstep_error error;
    if (ls_aligned_pair_open(&e->diff->matching, e->pair, expected ? LS_REORDER_NONE : LS_REORDER_ROPE_PAIRS, LS_LAYOUT_VOTED, &aligned, &error) != LOCKSTEP_OK)
        return false;
    bool compared = ls_compare(&aligned.layout.reference, &aligned.layout.candidate, &(ls_compare_options){.atol = 0, .rtol = 0}, &metrics, &error) == LOCKSTEP_OK;
    ls_aligned_pair_close(&aligned);
    out->residual = metrics.rel_l2;
    ls_cause_set_text(out, "order", expected ? "in the reference's order (rotary halves), not interleaved as this engine rotates them: the conversion did not permute them"
                                             : "interleaved where the reference has rotary halves: the conversion permuted them");
    return compared;
}

/* RMSNorm is x / sqrt(mean(x^2) + eps), times a weight or not: another eps scales each row by
 * sqrt((mean + own) / (mean + eps)), which shows the reference's eps. */
bool ls_fit_norm_eps(const ls_evidence *e, ls_cause *out) {
    const ls_diff *d = e->diff;
    const ls_node *node = &d->in.candidate.trace->nodes[e->pair->candidate_value];
    const double *own = ls_node_parameter(node, "eps");
    ls_hold input;
    if (own == NULL || node->kind->id != LS_OP_RMS_NORM || node->source_count == 0 || e->pair->elements != node->elements ||
        ls_trace_hold(d->in.candidate.trace, d->in.candidate.values.value_of[node->sources[0]], &input, NULL) != LOCKSTEP_OK)
        return false;
    double best = NAN, smallest = INFINITY;
    bool same = ls_view_elements(&input.view) == node->elements;
    for (int round = 0; same && round < 2; round++) { /* fit on the row that shows eps best, then apply */
        for (size_t row = 0; row + e->channels <= e->count; row += e->channels) {
            double *x = e->scratch + row, squares = 0, dot = 0, length = 0;
            const double *y = e->candidate + row;
            ls_view_read_f64(&input.view, row, e->channels, x);
            for (size_t i = 0; i < e->channels; i++) {
                squares += x[i] * x[i];
                dot += y[i] * e->reference[row + i];
                length += y[i] * y[i];
            }
            double mean = squares / (double)e->channels, scale = dot / length;
            if (round == 0 && mean < smallest) {
                smallest = mean;
                best = fmax((mean + *own) / (scale * scale) - mean, 0);
            }
            for (size_t i = 0; round == 1 && i < e->channels; i++)
                x[i] = y[i] * sqrt((mean + *own) / (mean + best));
        }
    }
    ls_hold_release(&input);
    out->residual = same ? ls_residual(e->scratch, e->reference, e->count) : INFINITY;
    ls_cause_set_number(out, "eps", *own);
    ls_cause_set_number(out, "reference_eps", best);
    return same && isfinite(best) && fabs(best - *own) > 0.1 * *own;
}
