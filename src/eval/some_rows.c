#include "eval/some_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random_place.h"
#include "eval/leaves.h"
#include "eval/sampling.h"

enum { LEAST = 32, ELEMENTS_MAX = 1 << 18 }; /* rows; elements of a result */

/* ------------------------------------------------------------------ which operations */

static bool has_same_shape(const ls_node *a, const ls_node *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

static uint64_t size_of(const ls_node *n, int axis) { return axis < n->rank ? n->shape[n->rank - 1 - axis] : 1; }

static const ls_node *operand_of(const ls_trace *t, const ls_node *n, size_t slot) {
    return slot < n->operand_count && n->operands[slot] != LS_NONE ? &t->nodes[n->operands[slot]] : NULL;
}

static bool is_elementwise(const ls_node *n) {
    const ls_op_role role = n->kind->role;
    return role == LS_OP_ROLE_ACTIVATION || role == LS_OP_ROLE_GATE || role == LS_OP_ROLE_FACTOR || n->kind->id == LS_OP_ADD || n->kind->id == LS_OP_SUB;
}

static bool is_by_rows(const ls_trace *t, const ls_node *n) {
    const ls_op_id id = n->kind->id;
    const ls_node *first = operand_of(t, n, 0);
    const bool copies = n->kind->role == LS_OP_ROLE_COPY && first != NULL && has_same_shape(first, n);
    return copies || is_elementwise(n) || id == LS_OP_NORM || id == LS_OP_RMS_NORM || id == LS_OP_L2_NORM || id == LS_OP_SOFT_MAX || id == LS_OP_ROPE || id == LS_OP_MUL_MAT ||
           id == LS_OP_FLASH_ATTN_EXT;
}

/* Whether each row along an axis of the result is computed from the operands' rows at the same place, and from what serves all rows. */
static bool is_along(const ls_trace *t, const ls_node *n, int axis) {
    const ls_node *first = operand_of(t, n, 0), *second = operand_of(t, n, 1), *mask = operand_of(t, n, 3);
    const uint64_t of = size_of(n, axis);
    if (first == NULL)
        return false;
    if (n->kind->id == LS_OP_MUL_MAT)
        return second != NULL && size_of(second, axis) == of && (axis == 1 || size_of(first, axis) == 1);
    if (n->kind->id == LS_OP_FLASH_ATTN_EXT)
        return axis == 2 && size_of(first, 1) == of && (mask == NULL || size_of(mask, 1) >= of);
    if (n->kind->id == LS_OP_ROPE)
        return axis == 2 && size_of(first, 2) == of && second != NULL && second->elements == of && size_of(second, 0) == of;
    if (n->kind->id == LS_OP_SOFT_MAX)
        return axis == 1 && size_of(first, 1) == of && (second == NULL || size_of(second, 1) >= of);
    bool all = size_of(first, axis) == of;
    for (size_t i = 1; i < n->operand_count && all; i++)
        all = operand_of(t, n, i) == NULL || size_of(operand_of(t, n, i), axis) == of || size_of(operand_of(t, n, i), axis) == 1;
    return all;
}

int ls_rows_axis_of(const ls_trace *t, const ls_node *n, size_t slot, const ls_rows *rows) {
    const ls_node *operand = operand_of(t, n, slot);
    if (rows->places == NULL || operand == NULL)
        return -1;
    if (n->kind->id == LS_OP_MUL_MAT)
        return slot == 1 ? rows->axis : -1;
    if (n->kind->id == LS_OP_FLASH_ATTN_EXT)
        return slot == 0 || slot == 3 ? 1 : -1;
    if (n->kind->id == LS_OP_ROPE)
        return slot == 0 ? rows->axis : slot == 1 ? 0 : -1;
    if (n->kind->id == LS_OP_SOFT_MAX)
        return slot <= 1 ? rows->axis : -1;
    return size_of(operand, rows->axis) == rows->of ? rows->axis : -1;
}

/* ------------------------------------------------------------------ which rows */

static uint64_t rows_that_are_cheap(const ls_trace *t, const ls_node *n, uint64_t of) {
    const uint64_t forced = ls_eval_rows_forced();
    if (forced > 0 || of <= LEAST)
        return forced > 0 && forced < of ? forced : of;
    const double parts = ceil(fmax(ls_eval_cost(t, n) / LS_EVAL_COST_MAX, (double)n->elements / ELEMENTS_MAX));
    return parts <= 1 ? of : (uint64_t)fmax(LEAST, (double)of / parts);
}

bool ls_rows_along(const ls_trace *t, size_t node, ls_rows *out) {
    const ls_node *n = &t->nodes[node];
    *out = (ls_rows){0};
    if (n->dialect != LS_DIALECT_GGML || n->rank > LS_EVAL_AXES || n->elements == 0 || !is_by_rows(t, n))
        return false;
    for (int axis = 1; axis < n->rank; axis++)
        if (size_of(n, axis) > out->of && is_along(t, n, axis)) {
            out->axis = axis;
            out->of = size_of(n, axis);
        }
    return out->of > 0;
}

bool ls_rows_choose(const ls_trace *t, size_t node, ls_rows *out) {
    const ls_node *n = &t->nodes[node];
    if (!ls_rows_along(t, node, out))
        return false;
    out->count = rows_that_are_cheap(t, n, out->of);
    out->places = out->count < out->of ? malloc(out->count * sizeof *out->places) : NULL;
    for (uint64_t i = 0; out->places != NULL && i < out->count; i++) {
        const uint64_t from = (uint64_t)((double)i * (double)out->of / (double)out->count), to = (uint64_t)((double)(i + 1) * (double)out->of / (double)out->count);
        out->places[i] = i + 1 == out->count ? out->of - 1 : from + ls_random_place(node * LEAST + i, to - from);
    }
    return out->places != NULL;
}

void ls_rows_done(ls_rows *r) {
    free(r->places);
    *r = (ls_rows){0};
}

double ls_rows_share(const ls_trace *t, size_t node) {
    ls_rows rows;
    const double share = ls_rows_choose(t, node, &rows) ? (double)rows.count / (double)rows.of : 1 / (double)ls_eval_every(t, &t->nodes[node]);
    ls_rows_done(&rows);
    return share;
}

/* ------------------------------------------------------------------ their values */

/* How an axis divides a shape: `outer` times its size times `inner` elements. */
typedef struct division {
    uint64_t outer, size, inner;
} division;

static division divide(int rank, const uint64_t *shape, int axis) {
    division d = {1, axis < rank ? shape[rank - 1 - axis] : 1, 1};
    for (int i = 0; i < rank; i++)
        *(i < rank - 1 - axis ? &d.outer : &d.inner) *= i == rank - 1 - axis ? 1 : shape[i];
    return d;
}

/* Of the i-th of the chosen rows, counted through all outer ones: its place among all. */
static uint64_t place_of(const ls_rows *r, const division *d, uint64_t i) { return i / r->count * d->size + r->places[i % r->count]; }

/* The node with the chosen places along an axis only. */
static ls_node node_along(const ls_rows *r, int axis, const ls_node *n) {
    ls_node some = *n;
    const division d = divide(n->rank, n->shape, axis);
    some.shape[n->rank - 1 - axis] = r->count;
    some.elements = d.outer * r->count * d.inner;
    return some;
}

ls_node ls_rows_node(const ls_rows *r, const ls_node *n) {
    return r->places != NULL ? node_along(r, r->axis, n) : *n;
}

void ls_rows_keep(const ls_rows *r, int axis, ls_array *a) {
    if (r->places == NULL || axis < 0 || a->values == NULL)
        return;
    const division d = divide(a->rank, a->shape, axis);
    for (uint64_t i = 0; i < d.outer * r->count; i++)
        memmove(a->values + i * d.inner, a->values + place_of(r, &d, i) * d.inner, d.inner * sizeof *a->values);
    a->shape[a->rank - 1 - axis] = r->count;
    a->elements = d.outer * r->count * d.inner;
}

bool ls_rows_copy(const ls_rows *r, int axis, const ls_node *n, const double *values, ls_array *out, const char **out_reason) {
    const bool some = r->places != NULL && axis >= 0;
    const ls_node kept = some ? node_along(r, axis, n) : *n;
    const division d = some ? divide(n->rank, n->shape, axis) : (division){1, 1, n->elements};
    double *copy = ls_values_new(&kept, out_reason);
    if (copy == NULL)
        return false;
    for (uint64_t i = 0; i < d.outer * (some ? r->count : 1); i++)
        memcpy(copy + i * d.inner, values + (some ? place_of(r, &d, i) : 0) * d.inner, d.inner * sizeof *copy);
    ls_values_give(&kept, copy, out);
    return true;
}

void ls_rows_spread(const ls_rows *r, const ls_node *n, const double *some, double *out) {
    if (r->places == NULL) {
        memcpy(out, some, n->elements * sizeof *out);
        return;
    }
    const division d = divide(n->rank, n->shape, r->axis);
    uint64_t next = 0;
    for (uint64_t i = 0; i < d.outer * r->count; i++) {
        const uint64_t at = place_of(r, &d, i) * d.inner;
        for (; next < at; next++)
            out[next] = NAN;
        memcpy(out + at, some + i * d.inner, d.inner * sizeof *out);
        next = at + d.inner;
    }
}

uint64_t ls_rows_place(const ls_rows *r, const ls_node *n, uint64_t row) {
    if (r->places == NULL)
        return row;
    const division d = divide(n->rank, n->shape, r->axis);
    const uint64_t width = size_of(n, 0), inner = width > 0 && d.inner >= width ? d.inner / width : 1;
    const uint64_t at = row / inner;
    return place_of(r, &d, at) * inner + row % inner;
}

bool ls_rows_stored(const ls_trace *t, size_t node, const ls_rows *r, int axis, ls_array *out, const char **out_reason) {
    ls_hold hold;
    lockstep_error error;
    const ls_node *n = &t->nodes[node];
    if (ls_trace_hold(t, node, &hold, &error) != LOCKSTEP_OK)
        return ls_no_values(out_reason, "values that can't be read");
    const ls_node some = node_along(r, axis, n);
    const division d = divide(n->rank, n->shape, axis);
    const bool fits = ls_view_elements(&hold.view) == n->elements || ls_no_values(out_reason, "values of another size");
    double *values = fits ? ls_values_new(&some, out_reason) : NULL;
    for (uint64_t i = 0; values != NULL && i < d.outer * r->count; i++)
        ls_view_read_f64(&hold.view, place_of(r, &d, i) * d.inner, d.inner, values + i * d.inner);
    if (values != NULL)
        ls_values_give(&some, values, out);
    ls_hold_release(&hold);
    return values != NULL;
}
