/* A sum of which one term has a factor on the candidate's side, such as a gate that was not put through its function. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/diagnose.h"

/* A term's values for each element of the sum: axes of one element are repeated. False where the shapes don't allow it. */
static bool repeat(const ls_node *sum, const ls_view *term, float *out) {
    if (term->rank > sum->rank)
        return false;
    const int missing = sum->rank - term->rank;
    for (int axis = 0; axis < term->rank; axis++)
        if (term->shape[axis] != 1 && term->shape[axis] != sum->shape[missing + axis])
            return false;
    for (uint64_t i = 0; i < sum->elements; i++) {
        uint64_t rest = i, at = 0, step = 1;
        double value;
        for (int axis = sum->rank - 1; axis >= 0; axis--) {
            const uint64_t size = axis >= missing ? term->shape[axis - missing] : 1;
            at += size > 1 ? rest % sum->shape[axis] * step : 0;
            rest /= sum->shape[axis];
            step *= size;
        }
        ls_view_read_f64(term, at, 1, &value);
        out[i] = (float)value;
    }
    return true;
}

/* The term in the order of the evidence. */
static bool read_term(const ls_evidence *e, const ls_node *sum, size_t source, double *out) {
    const ls_trace *t = e->diff->in.reference.trace;
    const ls_view *own = &e->aligned->reference.view;
    ls_hold hold;
    if (!ls_node_has_values(&t->nodes[source]) || own->dtype != LOCKSTEP_F32 || !ls_view_is_contiguous(own) || e->aligned->layout.gathered[0] != NULL ||
        ls_view_elements(own) != sum->elements || ls_trace_hold(t, source, &hold, NULL) != LOCKSTEP_OK)
        return false;
    float *values = malloc((size_t)sum->elements * sizeof *values);
    const bool ok = values != NULL && repeat(sum, &hold.view, values);
    if (ok) {
        ls_view seen = e->aligned->layout.reference;
        seen.data = (const uint8_t *)values + (e->aligned->layout.reference.data - own->data);
        ls_view_read_f64(&seen, 0, e->count, out);
    }
    free(values);
    ls_hold_release(&hold);
    return ok;
}

/* By how much more of the term the candidate has, by least squares; what is left of the error without it in *out_left. */
static double surplus(const ls_evidence *e, double *term, double *out_left) {
    double dot = 0, norm = 0;
    for (size_t i = 0; i < e->count; i++) {
        dot += (e->candidate[i] - e->reference[i]) * term[i];
        norm += term[i] * term[i];
    }
    const double more = norm > 0 ? dot / norm : 0;
    for (size_t i = 0; i < e->count; i++)
        term[i] = e->candidate[i] - more * term[i];
    *out_left = ls_residual(term, e->reference, e->count);
    return more;
}

bool ls_fit_term_scale(const ls_evidence *e, ls_cause *out) {
    const ls_trace *t = e->diff->in.reference.trace;
    const ls_node *sum = &t->nodes[e->pair->reference_value];
    out->residual = INFINITY;
    if (sum->kind->id != LS_OP_ADD && sum->kind->id != LS_OP_SUB)
        return false;
    for (size_t k = 0; k < sum->source_count; k++) {
        const size_t source = e->diff->in.reference.values.value_of[sum->sources[k]];
        double left;
        if (!read_term(e, sum, source, e->scratch))
            continue;
        const double more = surplus(e, e->scratch, &left);
        if (!(left < out->residual) || fabs(more + 1) < 1e-3 || fabs(more - 1) < 1e-3) /* a term that is missing, or there twice, has a cause of its own */
            continue;
        out->residual = left;
        ls_cause_set_text(out, "term", t->nodes[source].name);
        ls_cause_set_number(out, "factor", more + 1);
    }
    return isfinite(out->residual);
}
