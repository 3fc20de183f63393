#include "eval/aten.h"

#include <math.h>

bool ls_aten_axis_at(ls_evaluation *e, const ls_array *x, int64_t axis, ls_aten_axis *out) {
    const int64_t at = axis < 0 ? axis + x->rank : axis;
    *out = (ls_aten_axis){1, 1, 1};
    if (x->rank == 0 && (axis == 0 || axis == -1))
        return true;
    if (at < 0 || at >= x->rank)
        return ls_eval_refuse(e, "an axis that is out of range");
    for (int64_t i = 0; i < x->rank; i++)
        *(i < at ? &out->outer : i == at ? &out->size : &out->inner) *= x->shape[i];
    return true;
}

bool ls_aten_axis_of(ls_evaluation *e, const ls_array *x, const char *key, int64_t otherwise, ls_aten_axis *out) {
    const double *axis = ls_node_parameter(e->node, key);
    if (axis != NULL && !(fabs(*axis) <= LOCKSTEP_MAX_RANK && *axis == floor(*axis)))
        return ls_eval_refuse(e, "an axis that is out of range");
    return ls_aten_axis_at(e, x, axis != NULL ? (int64_t)*axis : otherwise, out);
}

bool ls_aten_is_result(const ls_evaluation *e, int index) { return ls_eval_parameter(e, "output", 0) == index; }

bool ls_aten_must_be(ls_evaluation *e, const char *key, double value) {
    const bool is_other = ls_node_text(e->node, key) != NULL || ls_eval_parameter(e, key, value) != value;
    return !is_other || ls_eval_refuse(e, "a parameter that is not covered");
}

bool ls_aten_gives(ls_evaluation *e, uint64_t elements) { return e->node->elements == elements || ls_eval_misfit(e); }

bool ls_aten_index(ls_evaluation *e, double value, uint64_t count, uint64_t *out) {
    const double at = value < 0 ? value + (double)count : value;
    if (!(at >= 0 && at < (double)count))
        return ls_eval_refuse(e, "an index out of range");
    *out = (uint64_t)at;
    return true;
}

bool ls_aten_broadcast_to(const ls_array *a, int rank, const uint64_t *shape, ls_aten_broadcast *out) {
    uint64_t stride = 1;
    *out = (ls_aten_broadcast){.values = a->values};
    for (int i = 0; i < a->rank; i++) {
        const uint64_t own = ls_array_size(a, i), size = i < rank ? shape[rank - 1 - i] : 1;
        if (own != 1 && own != size)
            return false;
        if (i < rank)
            out->strides[rank - 1 - i] = own == 1 ? 0 : stride;
        stride *= own;
    }
    return true;
}

const double *ls_aten_row(const ls_aten_broadcast *b, int rank, const uint64_t *shape, uint64_t row) {
    const double *at = b->values;
    for (int i = rank - 2; i >= 0; i--) {
        at += row % shape[i] * b->strides[i];
        row /= shape[i];
    }
    return at;
}
