/* Operations that move elements, and change none or few. */
#include <math.h>

#include "eval/eval.h"
#include "eval/places.h"

bool ls_eval_copy(ls_evaluation *e) {
    if (!ls_eval_has(e, 1))
        return false;
    if (e->operands[0]->elements != e->node->elements)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = e->operands[0]->values[i];
    return true;
}

/* table [outer, batch, rows, n], index [outer, batch, count] -> [outer, batch, count, n] */
bool ls_eval_get_rows(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *table = e->operands[0], *index = e->operands[1];
    const uint64_t n = ls_array_size(table, 0), rows = ls_array_size(table, 1), batches = table->elements == 0 ? 0 : table->elements / n / rows;
    const uint64_t count = ls_array_size(index, 0);
    if (batches == 0 || count == 0 || index->elements * n != e->node->elements || (batches > 1 && index->elements / count != batches))
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < index->elements; i++) {
        const uint64_t batch = batches > 1 ? i / count : 0;
        const double row = index->values[i];
        if (!(row >= 0 && row < (double)rows))
            return ls_eval_refuse(e, "an index out of range");
        const double *from = ls_array_part(table, (batch * rows + (uint64_t)row) * n, n, e->out + i * n);
        if (from != e->out + i * n)
            memcpy(e->out + i * n, from, n * sizeof *from);
    }
    return true;
}

/* rows [outer, batch, count, n], index [.., .., count], which repeats along the outer axes, x [outer, batch, rows, n] ->
 * x with these rows in the places that the index names */
bool ls_eval_set_rows(ls_evaluation *e) {
    if (!ls_eval_has(e, 3))
        return false;
    const ls_array *rows = e->operands[0], *index = e->operands[1], *x = e->operands[2];
    const uint64_t n = ls_array_size(x, 0), limit = ls_array_size(x, 1), count = ls_array_size(rows, 1), batch = ls_array_size(x, 2), outer = ls_array_size(x, 3);
    if (index->elements == 0 || !ls_array_is(x, n, limit, batch, outer) || !ls_eval_gives(e, n, limit, batch, outer) || !ls_array_is(rows, n, count, batch, outer) ||
        !ls_array_is(index, count, ls_array_size(index, 1), ls_array_size(index, 2), 1))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = x->values[i];
    for (uint64_t i = 0; i < rows->elements; i++) {
        const uint64_t row = i / n, group = row / count;
        const uint64_t at[LS_EVAL_AXES] = {row % count, group % batch % ls_array_size(index, 1), group / batch % ls_array_size(index, 2), 0};
        const double to = index->values[ls_array_index(index, at)];
        if (!(to >= 0 && to < (double)limit))
            return ls_eval_refuse(e, "an index out of range");
        e->out[(group * limit + (uint64_t)to) * n + i % n] = rows->values[i];
    }
    return true;
}

/* The axis is counted from the innermost. */
bool ls_eval_concat(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    const double dim = ls_eval_parameter(e, "dim", 0);
    if (!(dim >= 0 && dim < LOCKSTEP_MAX_RANK))
        return ls_eval_refuse(e, "an axis that doesn't fit");
    uint64_t inner = 1, both, of_a;
    bool fits = a->elements + b->elements == e->node->elements;
    for (int axis = 0; axis < LOCKSTEP_MAX_RANK; axis++) {
        const uint64_t x = ls_array_size(a, axis), y = ls_array_size(b, axis);
        fits = fits && ls_eval_size(e, axis) == (axis == (int)dim ? x + y : x) && (axis == (int)dim || x == y);
        inner *= axis < (int)dim ? x : 1;
    }
    if (!fits)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    of_a = ls_array_size(a, (int)dim) * inner;
    both = of_a + ls_array_size(b, (int)dim) * inner;
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t outer = i / both, at = i % both;
        e->out[i] = at < of_a ? a->values[outer * of_a + at] : b->values[outer * (both - of_a) + at - of_a];
    }
    return true;
}

bool ls_eval_arange(ls_evaluation *e) {
    const double start = ls_eval_parameter(e, "start", 0), step = ls_eval_parameter(e, "step", 0);
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = start + step * (double)i;
    return true;
}

/* Each element comes from `shift` places before, around the end. */
bool ls_eval_roll(ls_evaluation *e) {
    static const char *const keys[LS_EVAL_AXES] = {"shift_0", "shift_1", "shift_2", "shift_3"};
    uint64_t shifts[LS_EVAL_AXES], at[LS_EVAL_AXES];
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *x = e->operands[0];
    if (!ls_eval_gives(e, ls_array_size(x, 0), ls_array_size(x, 1), ls_array_size(x, 2), ls_array_size(x, 3)) || x->elements != e->node->elements)
        return ls_eval_misfit(e);
    for (int axis = 0; axis < LS_EVAL_AXES && x->elements > 0; axis++) {
        const int64_t size = (int64_t)ls_array_size(x, axis);
        int64_t shift;
        if (!ls_eval_integer(e, keys[axis], INT32_MIN, INT32_MAX, &shift))
            return false;
        shifts[axis] = (uint64_t)((shift % size + size) % size);
    }
    for (uint64_t i = 0; i < e->node->elements; i++) {
        ls_eval_place(e, i, at);
        for (int axis = 0; axis < LS_EVAL_AXES; axis++)
            at[axis] = (at[axis] + ls_array_size(x, axis) - shifts[axis]) % ls_array_size(x, axis);
        e->out[i] = x->values[ls_array_index(x, at)];
    }
    return true;
}

bool ls_eval_fill(ls_evaluation *e) {
    const double value = ls_eval_parameter(e, "value", 0);
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = value;
    return true;
}

/* x [.., 1, n] -> [.., n, n], with x on the diagonal */
bool ls_eval_diag(ls_evaluation *e) {
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *x = e->operands[0];
    const uint64_t n = ls_array_size(x, 0);
    if (!ls_array_is(x, n, 1, ls_array_size(x, 2), ls_array_size(x, 3)) || !ls_eval_gives(e, n, n, ls_array_size(x, 2), ls_array_size(x, 3)))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t row = i / n;
        e->out[i] = i % n == row % n ? x->values[row / n * n + i % n] : 0;
    }
    return true;
}

/* ------------------------------------------------------------------ windows of images */

/* x [rows, columns, channels] -> [windows, window, window, channels], with zeros beyond the edges */
bool ls_eval_window_partition(ls_evaluation *e) {
    int64_t across, down, size;
    if (!ls_eval_has(e, 1) || !ls_eval_integer(e, "windows_x", 1, 1 << 24, &across) || !ls_eval_integer(e, "windows_y", 1, 1 << 24, &down) ||
        !ls_eval_integer(e, "window", 1, 1 << 24, &size))
        return false;
    const ls_array *x = e->operands[0];
    const uint64_t w = (uint64_t)size, columns = ls_array_size(x, 1), rows = ls_array_size(x, 2), windows_x = (uint64_t)across;
    if (!ls_array_is(x, ls_array_size(x, 0), columns, rows, 1) || windows_x != (columns + w - 1) / w || (uint64_t)down != (rows + w - 1) / w ||
        !ls_eval_gives(e, ls_array_size(x, 0), w, w, windows_x * (uint64_t)down))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        uint64_t at[LS_EVAL_AXES];
        ls_eval_place(e, i, at);
        const uint64_t from[LS_EVAL_AXES] = {at[0], at[3] % windows_x * w + at[1], at[3] / windows_x * w + at[2], 0};
        e->out[i] = from[1] < columns && from[2] < rows ? x->values[ls_array_index(x, from)] : 0;
    }
    return true;
}

/* x [windows, window, window, channels] -> [rows, columns, channels] */
bool ls_eval_window_unpartition(ls_evaluation *e) {
    int64_t size;
    if (!ls_eval_has(e, 1) || !ls_eval_integer(e, "window", 1, 1 << 24, &size))
        return false;
    const ls_array *x = e->operands[0];
    const uint64_t w = (uint64_t)size, columns = ls_eval_size(e, 1), rows = ls_eval_size(e, 2), windows_x = columns / w + (columns % w > 0), windows_y = rows / w + (rows % w > 0);
    if (!ls_eval_gives(e, ls_array_size(x, 0), columns, rows, 1) || windows_x > 1 << 24 || windows_y > 1 << 24 || !ls_array_is(x, ls_array_size(x, 0), w, w, windows_x * windows_y))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        uint64_t at[LS_EVAL_AXES];
        ls_eval_place(e, i, at);
        const uint64_t from[LS_EVAL_AXES] = {at[0], at[1] % w, at[2] % w, at[2] / w * windows_x + at[1] / w};
        e->out[i] = x->values[ls_array_index(x, from)];
    }
    return true;
}

/* table [2 * n - 1, channels] -> [n, n, channels]: for each query and key, the row of their distance */
bool ls_eval_get_rel_pos(ls_evaluation *e) {
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *table = e->operands[0];
    const uint64_t n = ls_eval_size(e, 1), channels = ls_array_size(table, 0), rows = ls_array_size(table, 1);
    if (rows % 2 == 0 || n != rows / 2 + 1 || !ls_array_is(table, channels, rows, 1, 1) || !ls_eval_gives(e, channels, n, n, 1))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t key = i / channels % n, query = i / channels / n;
        e->out[i] = table->values[(n - 1 - key + query) * channels + i % channels];
    }
    return true;
}

/* ------------------------------------------------------------------ into a part */

/* The part of the result's memory into which the second operand goes, in elements. */
typedef struct part {
    uint64_t strides[LS_EVAL_AXES], offset;
} part;

static bool set_part(ls_evaluation *e, part *out) {
    static const char *const keys[LS_EVAL_AXES] = {"offset", "nb1", "nb2", "nb3"};
    const uint64_t size = ls_node_element_bytes(e->node);
    int64_t bytes[LS_EVAL_AXES];
    for (int i = 0; i < LS_EVAL_AXES; i++)
        if (!ls_eval_integer(e, keys[i], 0, INT32_MAX, &bytes[i]))
            return false;
    out->strides[0] = 1;
    for (int i = 0; i < LS_EVAL_AXES; i++) {
        if (size == 0 || (uint64_t)bytes[i] % size != 0)
            return ls_eval_refuse(e, "a place that is not a whole number of elements away");
        *(i == 0 ? &out->offset : &out->strides[i]) = (uint64_t)bytes[i] / size;
    }
    return true;
}

/* The result is the first operand, except in the part. ACC adds to it, SET replaces it. */
static bool change_part(ls_evaluation *e, bool adds) {
    part p;
    if (!ls_eval_has(e, 2) || !set_part(e, &p))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    if (a->elements != e->node->elements || b->rank > LS_EVAL_AXES)
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = a->values[i];
    for (uint64_t i = 0; i < b->elements; i++) {
        uint64_t left = i, at = p.offset;
        for (int axis = 0; axis < LS_EVAL_AXES; axis++) {
            at += left % ls_array_size(b, axis) * p.strides[axis]; /* each below 2^62 */
            left /= ls_array_size(b, axis);
        }
        if (at >= e->node->elements)
            return ls_eval_refuse(e, "a part beyond the tensor that it is of");
        e->scale[at] = adds ? fabs(e->out[at]) + fabs(b->values[i]) : NAN;
        e->out[at] = (adds ? e->out[at] : 0) + b->values[i];
    }
    return true;
}

bool ls_eval_acc(ls_evaluation *e) { return change_part(e, true); }
bool ls_eval_set(ls_evaluation *e) { return change_part(e, false); }
