/* A sum of which one term is another on the candidate's side: it has a factor, such as a gate that was not put through its function, or its parts
 * are in another order, such as the positions of a picture's tiles. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/diagnose.h"

/* One place along an axis of the sum stands for all; or none, where the axis is negative. */
typedef struct place {
    int axis;
    uint64_t at;
} place;

/* A term's values for each element of the sum: axes of one element are repeated. False where the shapes don't allow it. */
static bool repeat(const ls_node *sum, const ls_view *term, place fixed, float *out) {
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
            at += size > 1 ? (axis == fixed.axis ? fixed.at : rest % sum->shape[axis]) * step : 0;
            rest /= sum->shape[axis];
            step *= size;
        }
        ls_view_read_f64(term, at, 1, &value);
        out[i] = (float)value;
    }
    return true;
}

/* What is in the order of the sum's elements, in the order of the evidence. */
static void put_in_order(const ls_evidence *e, const float *values, double *out) {
    ls_view seen = e->aligned->layout.reference;
    seen.data = (const uint8_t *)values + (e->aligned->layout.reference.data - e->aligned->reference.view.data);
    ls_view_read_f64(&seen, 0, e->count, out);
}

/* The term in the order of the evidence. */
static bool read_term(const ls_evidence *e, const ls_node *sum, size_t source, place fixed, double *out) {
    const ls_trace *t = e->diff->in.reference.trace;
    const ls_view *own = &e->aligned->reference.view;
    ls_hold hold;
    if (!ls_node_has_values(&t->nodes[source]) || own->dtype != LOCKSTEP_F32 || !ls_view_is_contiguous(own) || e->aligned->layout.gathered[0] != NULL ||
        ls_view_elements(own) != sum->elements || ls_trace_hold(t, source, &hold, NULL) != LOCKSTEP_OK)
        return false;
    float *values = malloc((size_t)sum->elements * sizeof *values);
    const bool ok = values != NULL && repeat(sum, &hold.view, fixed, values);
    if (ok)
        put_in_order(e, values, out);
    free(values);
    ls_hold_release(&hold);
    return ok;
}

/* For each element of the evidence, its place along an axis of the sum. */
static bool read_places(const ls_evidence *e, const ls_node *sum, int axis, double *out) {
    float *values = malloc((size_t)sum->elements * sizeof *values);
    uint64_t inner = 1;
    for (int k = axis + 1; k < sum->rank; k++)
        inner *= sum->shape[k];
    for (uint64_t i = 0; values != NULL && i < sum->elements; i++)
        values[i] = (float)(i / inner % sum->shape[axis]);
    if (values != NULL)
        put_in_order(e, values, out);
    free(values);
    return values != NULL;
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
        if (!read_term(e, sum, source, (place){.axis = -1}, e->scratch))
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

/* ------------------------------------------------------------------ order */

enum { PARTS = 16 };

typedef struct order {
    double error[PARTS][PARTS]; /* of the candidate's part, where it has the reference's: squared */
    uint64_t parts, from[PARTS];
} order;

/* Each part of the candidate's term is the nearest one of the reference's. False where two are the same one, or all are where they were. */
static bool choose(order *o) {
    bool used[PARTS] = {false}, any = false, twice = false;
    for (uint64_t i = 0; i < o->parts; i++) {
        o->from[i] = 0;
        for (uint64_t j = 1; j < o->parts; j++)
            o->from[i] = o->error[i][j] < o->error[i][o->from[i]] ? j : o->from[i];
        twice = twice || used[o->from[i]];
        used[o->from[i]] = true;
        any = any || o->from[i] != i;
    }
    return any && !twice;
}

/* What is left of the error with the best order of a term's parts along an axis; infinite where there is none. */
static double reorder(const ls_evidence *e, const ls_node *sum, size_t source, int axis, order *out) {
    double *room = malloc(3 * e->count * sizeof *room), *own = room, *part = own + e->count, *places = part + e->count, difference = 0, norm = 0;
    *out = (order){.parts = sum->shape[axis]};
    bool ok = room != NULL && read_term(e, sum, source, (place){.axis = -1}, own) && read_places(e, sum, axis, places);
    for (uint64_t j = 0; ok && j < out->parts; j++) {
        ok = read_term(e, sum, source, (place){axis, j}, part);
        for (size_t i = 0; ok && i < e->count; i++) {
            const double error = e->candidate[i] - e->reference[i] + own[i] - part[i];
            out->error[(size_t)places[i]][j] += error * error;
        }
    }
    ok = ok && choose(out);
    free(room);
    for (uint64_t i = 0; ok && i < out->parts; i++)
        difference += out->error[i][out->from[i]];
    for (size_t i = 0; i < e->count; i++)
        norm += e->reference[i] * e->reference[i];
    return ok && norm > 0 ? sqrt(difference / norm) : INFINITY;
}

/* The first part that is another one. */
static void tell_order(const order *o, const char *term, ls_cause *out) {
    uint64_t at = 0;
    while (o->from[at] == at)
        at++;
    ls_cause_set_number(out, "parts", (double)o->parts);
    ls_cause_set_number(out, "part", (double)at);
    ls_cause_set_number(out, "from", (double)o->from[at]);
    ls_cause_set_text(out, "term", term);
}

bool ls_fit_term_order(const ls_evidence *e, ls_cause *out) {
    const ls_trace *t = e->diff->in.reference.trace;
    const ls_node *sum = &t->nodes[e->pair->reference_value];
    out->residual = INFINITY;
    for (size_t k = 0; sum->kind->id == LS_OP_ADD && k < sum->source_count; k++) {
        const size_t source = e->diff->in.reference.values.value_of[sum->sources[k]];
        for (int axis = 0; axis < sum->rank; axis++) {
            order o = {.parts = 0};
            const double left = sum->shape[axis] > 1 && sum->shape[axis] <= PARTS ? reorder(e, sum, source, axis, &o) : INFINITY;
            if (!(left < out->residual))
                continue;
            out->residual = left;
            tell_order(&o, t->nodes[source].name, out);
        }
    }
    return isfinite(out->residual);
}
