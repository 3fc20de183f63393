#include "eval/places.h"

#include <string.h>

#include "eval/leaves.h"
#include "tensor/dtype.h"

uint64_t ls_node_element_bytes(const ls_node *n) {
    lockstep_dtype dtype;
    return ls_dtype_find(n->dtype, &dtype) && dtype != LOCKSTEP_OPAQUE && ls_dtype(dtype)->block_elements == 1 ? ls_dtype(dtype)->block_bytes : 0;
}

/* The index in the memory of `base` of each of a view's elements, one after another; false outside of it. */
typedef struct walk {
    const ls_node *view;
    int rank; /* axes that are walked: the inner ones may be taken at once */
    uint64_t limit, at[LOCKSTEP_MAX_RANK];
    int64_t strides[LOCKSTEP_MAX_RANK], offset; /* in elements */
    __int128 index;
} walk;

/* Elements that have an address together, and their bytes; 0 for a type whose elements have none. */
static int64_t block_of(const ls_node *n, int64_t *out_bytes) {
    lockstep_dtype dtype;
    const bool known = ls_dtype_find(n->dtype, &dtype) && dtype != LOCKSTEP_OPAQUE;
    *out_bytes = known ? (int64_t)ls_dtype(dtype)->block_bytes : 0;
    return known ? (int64_t)ls_dtype(dtype)->block_elements : 0;
}

/* Along the innermost axis, the stride of a type with blocks is that of its blocks. */
static bool begin_walk(const ls_node *view, const ls_node *base, walk *out) {
    int64_t bytes;
    const int64_t elements = block_of(base, &bytes);
    *out = (walk){.view = view, .rank = view->rank, .limit = base->elements};
    if (elements == 0 || bytes == 0 || view->offset > INT64_MAX || __builtin_mul_overflow((int64_t)view->offset / bytes, elements, &out->offset))
        return false;
    bool whole = (int64_t)view->offset % bytes == 0;
    int64_t step = 1;
    for (int i = view->rank - 1; i >= 0 && whole; i--) {
        const bool is_inner = elements > 1 && i == view->rank - 1;
        whole = view->strides == NULL || (is_inner ? view->strides[i] == bytes : view->strides[i] % bytes == 0);
        out->strides[i] = step;
        if (view->strides != NULL && !is_inner && whole)
            whole = !__builtin_mul_overflow(view->strides[i] / bytes, elements, &out->strides[i]);
        step *= (int64_t)view->shape[i];
    }
    out->index = out->offset;
    return whole;
}

static bool next_index(walk *w, uint64_t *out) {
    *out = (uint64_t)w->index;
    const bool inside = w->index >= 0 && w->index < (__int128)w->limit;
    for (int i = w->rank - 1; i >= 0; i--) {
        w->index += w->strides[i];
        if (++w->at[i] < w->view->shape[i])
            break;
        w->index -= (__int128)w->strides[i] * (__int128)w->view->shape[i];
        w->at[i] = 0;
    }
    return inside;
}

/* How many successive elements of a view lie side by side: the walk takes them in one step. */
static uint64_t run_of(walk *w) {
    const int inner = w->view->rank - 1;
    if (inner < 1 || w->strides[inner] != 1 || w->view->shape[inner] == 0)
        return 1;
    w->rank = inner;
    return w->view->shape[inner];
}

bool ls_place_read(const ls_node *view, const ls_node *base, const double *values, double *out, const char **out_reason) {
    walk w;
    uint64_t index;
    if (!begin_walk(view, base, &w))
        return ls_no_values(out_reason, "a view of elements that have no addresses");
    const uint64_t run = run_of(&w);
    for (uint64_t i = 0; i < view->elements; i += run) {
        if (!next_index(&w, &index) || run > w.limit - index)
            return ls_no_values(out_reason, "a view beyond the tensor that it is of");
        memcpy(out + i, values + index, run * sizeof *out);
    }
    return true;
}

/* What is written is values * scale + bias: engines clear a state with a scale of 0, which makes it known. */
static bool write_all(double *contents, walk *w, const ls_array *values, double scale, double bias) {
    uint64_t index;
    for (uint64_t i = 0; i < values->elements; i++) {
        if (!next_index(w, &index))
            return false;
        contents[index] = (scale == 0 ? 0 : values->values[i] * scale) + bias;
    }
    return true;
}

static bool write_scaled(double *contents, walk *w, const ls_array *values) {
    const double *scale = ls_node_parameter(w->view, "scale"), *bias = ls_node_parameter(w->view, "bias");
    return scale != NULL && write_all(contents, w, values, *scale, bias != NULL ? *bias : 0);
}

/* Rows [count, n] go to the rows of the destination that the index names. */
static bool write_rows(double *contents, const walk *w, const ls_array *values, const ls_array *index) {
    const ls_node *view = w->view;
    const uint64_t n = values->rank > 0 ? values->shape[values->rank - 1] : 0;
    if (view->rank < 1 || n == 0 || index->elements * n != values->elements || view->shape[view->rank - 1] != n || (view->rank > 2 && view->elements != view->shape[view->rank - 2] * n))
        return false;
    for (uint64_t i = 0; i < values->elements; i++) {
        const double row = index->values[i / n], rows = view->rank > 1 ? (double)view->shape[view->rank - 2] : 1;
        if (!(row >= 0 && row < rows))
            return false;
        const int64_t at = w->offset + (view->rank > 1 ? w->strides[view->rank - 2] * (int64_t)row : 0) + w->strides[view->rank - 1] * (int64_t)(i % n);
        if (at < 0 || (uint64_t)at >= w->limit)
            return false;
        contents[at] = values->values[i];
    }
    return true;
}

bool ls_place_write(const ls_node *write, const ls_node *base, const ls_array *values, const ls_array *index, double *contents) {
    walk w;
    if (!begin_walk(write, base, &w))
        return false;
    if (write->kind->id == LS_OP_SET_ROWS)
        return index != NULL && write_rows(contents, &w, values, index);
    if (values->elements != write->elements)
        return false;
    return write->kind->id == LS_OP_SCALE ? write_scaled(contents, &w, values) : write->kind->role == LS_OP_ROLE_COPY && write_all(contents, &w, values, 1, 0);
}
