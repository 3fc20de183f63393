/* ATen's operations that move elements, or make constants. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/aten.h"

/* The result's shape, as an array without values. */
static ls_array result_of(const ls_evaluation *e) {
    ls_array a = {.rank = e->node->rank, .elements = e->node->elements};
    memcpy(a.shape, e->node->shape, sizeof a.shape);
    return a;
}

/* The place of an element along each axis. */
static void place_of(int rank, const uint64_t *shape, uint64_t index, uint64_t at[LOCKSTEP_MAX_RANK]) {
    for (int i = rank - 1; i >= 0; i--) {
        at[i] = index % shape[i];
        index /= shape[i];
    }
}

static uint64_t index_of(const ls_array *a, const uint64_t at[LOCKSTEP_MAX_RANK]) {
    uint64_t index = 0;
    for (int i = 0; i < a->rank; i++)
        index = index * a->shape[i] + at[i];
    return index;
}

/* ------------------------------------------------------------------ copies */

/* Numbers as the result's type has them: an integer of what is none is not defined. */
static void cast(const ls_evaluation *e) {
    const bool flags = strcmp(e->node->dtype, "bool") == 0;
    for (uint64_t i = 0; i < e->node->elements && ls_node_is_integer(e->node); i++)
        e->out[i] = flags ? e->out[i] != 0 : isfinite(e->out[i]) ? trunc(e->out[i]) : NAN;
}

/* Of two operands, the second is written over the first. */
bool ls_aten_copy(ls_evaluation *e) {
    ls_aten_broadcast b;
    const ls_node *n = e->node;
    const ls_array *x = e->operands[n->operand_count > 1 ? 1 : 0];
    if (x == NULL || ls_eval_parameter(e, "train", 0) != 0 || ls_eval_parameter(e, "training", 0) != 0 || !ls_aten_is_result(e, 0))
        return ls_eval_refuse(e, x == NULL ? "an operand is missing" : "an operation that depends on chance");
    if (!ls_aten_broadcast_to(x, n->rank, n->shape, &b))
        return ls_eval_misfit(e);
    const uint64_t columns = ls_eval_size(e, 0), step = n->rank > 0 ? b.strides[n->rank - 1] : 0;
    for (uint64_t row = 0; row * columns < n->elements; row++) {
        const double *values = ls_aten_row(&b, n->rank, n->shape, row);
        for (uint64_t i = 0; i < columns; i++)
            e->out[row * columns + i] = values[i * step];
    }
    cast(e);
    return true;
}

/* Repeats all axes, from their beginning. */
bool ls_aten_repeat(ls_evaluation *e) {
    uint64_t at[LOCKSTEP_MAX_RANK];
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *x = e->operands[0];
    const int more = e->node->rank - x->rank;
    if (more < 0 || (x->elements == 0 && e->node->elements > 0))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        place_of(e->node->rank, e->node->shape, i, at);
        for (int k = 0; k < x->rank; k++)
            at[more + k] %= x->shape[k];
        e->out[i] = x->values[index_of(x, at + more)];
    }
    return true;
}

/* Puts operands side by side along an axis of the result. `each`: elements of each along it and the axes within; 0: as many as it has. */
static bool join(ls_evaluation *e, const ls_aten_axis *axis, uint64_t each) {
    const uint64_t width = axis->size * axis->inner;
    uint64_t begin = 0;
    for (size_t k = 0; k < e->node->operand_count; k++) {
        const ls_array *x = e->operands[k];
        if (x == NULL || x->elements == 0)
            continue;
        const uint64_t own = each > 0 ? each : x->elements / axis->outer;
        if (own * axis->outer != x->elements || own > width - begin)
            return ls_eval_misfit(e);
        for (uint64_t outer = 0; outer < axis->outer; outer++)
            memcpy(e->out + outer * width + begin, x->values + outer * own, own * sizeof *e->out);
        begin += own;
    }
    return begin == width || ls_eval_misfit(e);
}

static bool join_along(ls_evaluation *e, bool stacks) {
    ls_aten_axis axis;
    const ls_array result = result_of(e);
    if (!ls_aten_axis_of(e, &result, "dim", 0, &axis))
        return false;
    return axis.outer * axis.size * axis.inner == 0 || join(e, &axis, stacks ? axis.inner : 0);
}

bool ls_aten_cat(ls_evaluation *e) { return join_along(e, false); }
bool ls_aten_stack(ls_evaluation *e) { return join_along(e, true); }

/* Where the elements of an array lie in memory that several share. */
typedef struct part {
    double offset;
    const double *strides;
} part;

/* Fails outside of the memory. */
static bool locate(const part *p, const ls_array *shape, uint64_t index, uint64_t size, uint64_t *out) {
    uint64_t at[LOCKSTEP_MAX_RANK];
    double place = p->offset;
    place_of(shape->rank, shape->shape, index, at);
    for (int i = 0; i < shape->rank; i++)
        place += (double)at[i] * p->strides[i];
    *out = place >= 0 && place < (double)size ? (uint64_t)place : 0;
    return place >= 0 && place < (double)size;
}

static double end_of(const part *p, const ls_array *shape) {
    double end = p->offset + 1;
    for (int i = 0; i < shape->rank; i++)
        end += shape->shape[i] > 0 ? (double)(shape->shape[i] - 1) * p->strides[i] : 0;
    return end;
}

/* Writes the operands to memory, one after another, and reads the result. parts: the result's, then each operand's. */
static bool assemble(ls_evaluation *e, const part *parts, double *memory, uint64_t size) {
    const ls_array result = result_of(e);
    uint64_t at;
    for (uint64_t i = 0; i < size; i++)
        memory[i] = NAN;
    for (size_t k = 0; k < e->node->operand_count; k++)
        for (uint64_t i = 0; e->operands[k] != NULL && i < e->operands[k]->elements; i++) {
            if (!locate(&parts[k + 1], e->operands[k], i, size, &at))
                return ls_eval_misfit(e);
            memory[at] = e->operands[k]->values[i];
        }
    for (uint64_t i = 0; i < result.elements; i++) {
        if (!locate(&parts[0], &result, i, size, &at))
            return ls_eval_misfit(e);
        e->out[i] = memory[at];
    }
    return true;
}

/* A tensor of whose memory parts were written one by one: the operands, oldest first. */
bool ls_aten_assembled(ls_evaluation *e) {
    const double most = 1 << 27; /* elements */
    const ls_array result = result_of(e);
    const size_t count = e->node->operand_count;
    size_t offset_count, stride_count, used = 0;
    part parts[LS_EVAL_OPERANDS + 1];
    double end = 0;
    const double *offsets = ls_node_list(e->node, "offsets", &offset_count), *strides = ls_node_list(e->node, "strides", &stride_count);
    if (offset_count != count + 1 || count > LS_EVAL_OPERANDS)
        return ls_eval_refuse(e, "parts whose places were not recorded");
    for (size_t k = 0; k <= count; k++) {
        const ls_array *shape = k == 0 ? &result : e->operands[k - 1];
        parts[k] = (part){offsets[k], strides + used};
        used += shape != NULL ? (size_t)shape->rank : 0;
        if (shape == NULL || used > stride_count)
            return ls_eval_misfit(e);
        end = fmax(end, end_of(&parts[k], shape));
    }
    double *memory = end <= most ? malloc((size_t)end * sizeof *memory + 1) : NULL;
    const bool ok = memory != NULL ? assemble(e, parts, memory, (uint64_t)end) : ls_eval_refuse(e, "too large to be computed again");
    free(memory);
    return ok;
}

/* pad: how many elements to add before and after each axis, the innermost first; negative ones are cut. */
bool ls_aten_pad(ls_evaluation *e) {
    size_t count;
    uint64_t at[LOCKSTEP_MAX_RANK];
    const double *pad = ls_node_list(e->node, "pad", &count), value = ls_eval_parameter(e, "value", 0);
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *x = e->operands[0];
    if (pad == NULL || x->rank != e->node->rank || count > 2 * (size_t)x->rank)
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        bool inside = true;
        place_of(x->rank, e->node->shape, i, at);
        for (int k = 0; k < x->rank; k++) {
            const size_t from_end = (size_t)(x->rank - 1 - k);
            const double from = (double)at[k] - (2 * from_end < count ? pad[2 * from_end] : 0);
            inside = inside && from >= 0 && from < (double)x->shape[k];
            at[k] = inside ? (uint64_t)from : 0;
        }
        e->out[i] = inside ? x->values[index_of(x, at)] : value;
    }
    return true;
}

/* Turns round the axes that are named. */
bool ls_aten_flip(ls_evaluation *e) {
    size_t count;
    uint64_t at[LOCKSTEP_MAX_RANK];
    const double *axes = ls_node_list(e->node, "dims", &count);
    bool turned[LOCKSTEP_MAX_RANK] = {false};
    if (!ls_eval_has(e, 1) || !ls_aten_gives(e, e->operands[0]->elements))
        return false;
    const ls_array *x = e->operands[0];
    for (size_t i = 0; i < count; i++) {
        uint64_t axis;
        if (!ls_aten_index(e, axes[i], (uint64_t)x->rank, &axis))
            return false;
        turned[axis] = true;
    }
    for (uint64_t i = 0; i < x->elements; i++) {
        place_of(x->rank, x->shape, i, at);
        for (int k = 0; k < x->rank; k++)
            at[k] = turned[k] ? x->shape[k] - 1 - at[k] : at[k];
        e->out[i] = x->values[index_of(x, at)];
    }
    return true;
}

/* Zeros outside of a triangle of the last two axes. */
bool ls_aten_triangle(ls_evaluation *e) {
    if (!ls_eval_has(e, 1) || !ls_aten_gives(e, e->operands[0]->elements))
        return false;
    const uint64_t columns = ls_eval_size(e, 0), rows = ls_eval_size(e, 1);
    const double diagonal = ls_eval_parameter(e, "diagonal", 0);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const double off = (double)(i % columns) - (double)(i / columns % rows) - diagonal;
        e->out[i] = (e->node->kind->id == LS_OP_TRIU ? off >= 0 : off <= 0) ? e->operands[0]->values[i] : 0;
    }
    return true;
}

/* ------------------------------------------------------------------ by index */

/* table [.., rows, ..], index -> the rows of an axis that the index names. */
static bool select_rows(ls_evaluation *e, const ls_aten_axis *axis, const ls_array *index) {
    const double *from = e->operands[0]->values;
    if (!ls_aten_gives(e, axis->outer * index->elements * axis->inner))
        return false;
    for (uint64_t k = 0; k < index->elements; k++) {
        uint64_t row;
        if (!ls_aten_index(e, index->values[k], axis->size, &row))
            return false;
        for (uint64_t outer = 0; outer < axis->outer; outer++)
            memcpy(e->out + (outer * index->elements + k) * axis->inner, from + (outer * axis->size + row) * axis->inner, axis->inner * sizeof *from);
    }
    return true;
}

bool ls_aten_embedding(ls_evaluation *e) {
    ls_aten_axis axis;
    return ls_eval_has(e, 2) && ls_aten_must_be(e, "max_norm", 0) && ls_aten_axis_at(e, e->operands[0], 0, &axis) && select_rows(e, &axis, e->operands[1]);
}

bool ls_aten_index_select(ls_evaluation *e) {
    ls_aten_axis axis;
    return ls_eval_has(e, 2) && ls_aten_axis_of(e, e->operands[0], "dim", 0, &axis) && select_rows(e, &axis, e->operands[1]);
}

/* The axis that a parameter names, as a number. */
static bool number_of_axis(ls_evaluation *e, const ls_array *x, int *out) {
    uint64_t axis;
    const double *given = ls_node_parameter(e->node, "dim");
    if (given == NULL || !ls_aten_index(e, *given, (uint64_t)(x->rank > 0 ? x->rank : 1), &axis))
        return ls_eval_refuse(e, "an axis that is out of range");
    *out = (int)axis;
    return true;
}

/* For element i of an index of the same rank as x: the index of the element of x that it names along an axis. */
static bool named_by(ls_evaluation *e, const ls_array *x, const ls_array *index, int axis, uint64_t i, uint64_t *out) {
    uint64_t at[LOCKSTEP_MAX_RANK] = {0};
    place_of(index->rank, index->shape, i, at);
    if (!ls_aten_index(e, index->values[i], x->rank > 0 ? x->shape[axis] : 1, &at[axis]))
        return false;
    for (int k = 0; k < x->rank; k++)
        if (at[k] >= x->shape[k])
            return ls_eval_misfit(e);
    *out = index_of(x, at);
    return true;
}

bool ls_aten_gather(ls_evaluation *e) {
    int axis;
    uint64_t from;
    if (!ls_eval_has(e, 2) || !number_of_axis(e, e->operands[0], &axis) || !ls_aten_gives(e, e->operands[1]->elements))
        return false;
    const ls_array *x = e->operands[0], *index = e->operands[1];
    if (x->rank != index->rank)
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < index->elements; i++) {
        if (!named_by(e, x, index, axis, i, &from))
            return false;
        e->out[i] = x->values[from];
    }
    return true;
}

static void begin_with(ls_evaluation *e, const ls_array *x, bool adds) {
    memcpy(e->out, x->values, e->node->elements * sizeof *e->out);
    for (uint64_t i = 0; i < e->node->elements && adds; i++)
        e->scale[i] = fabs(e->out[i]);
}

static void put(ls_evaluation *e, uint64_t at, double value, bool adds) {
    e->out[at] = adds ? e->out[at] + value : value;
    if (adds)
        e->scale[at] += fabs(value);
}

/* x, with elements of a source, or one number, where an index of the source's shape says. */
bool ls_aten_scatter(ls_evaluation *e) {
    int axis;
    uint64_t to, at[LOCKSTEP_MAX_RANK];
    const bool adds = e->node->kind->id == LS_OP_SCATTER_ADD;
    const double *value = ls_node_parameter(e->node, "value");
    if (!ls_eval_has(e, value != NULL ? 2 : 3) || !number_of_axis(e, e->operands[0], &axis) || !ls_aten_gives(e, e->operands[0]->elements))
        return false;
    const ls_array *x = e->operands[0], *index = e->operands[1], *source = e->operands[2];
    if (x->rank != index->rank || (value == NULL && source->rank != index->rank) || ls_node_text(e->node, "reduce") != NULL)
        return ls_eval_misfit(e);
    begin_with(e, x, adds);
    for (uint64_t i = 0; i < index->elements; i++) {
        if (!named_by(e, x, index, axis, i, &to))
            return false;
        place_of(index->rank, index->shape, i, at);
        for (int k = 0; value == NULL && k < index->rank; k++)
            if (at[k] >= source->shape[k])
                return ls_eval_misfit(e);
        put(e, to, value != NULL ? *value : source->values[index_of(source, at)], adds);
    }
    return true;
}

/* x, with rows of a source in place of those along an axis that an index names, or added to them. */
bool ls_aten_index_rows(ls_evaluation *e) {
    ls_aten_axis axis;
    uint64_t row;
    const bool adds = e->node->kind->id == LS_OP_INDEX_ADD;
    const double alpha = ls_eval_parameter(e, "alpha", 1);
    if (!ls_eval_has(e, 3) || !ls_aten_axis_of(e, e->operands[0], "dim", 0, &axis) || !ls_aten_gives(e, e->operands[0]->elements))
        return false;
    const ls_array *index = e->operands[1], *source = e->operands[2];
    if (source->elements != axis.outer * index->elements * axis.inner)
        return ls_eval_misfit(e);
    begin_with(e, e->operands[0], adds);
    for (uint64_t i = 0; i < source->elements; i++) {
        const uint64_t k = i / axis.inner % index->elements, outer = i / axis.inner / index->elements;
        if (!ls_aten_index(e, index->values[k], axis.size, &row))
            return false;
        put(e, (outer * axis.size + row) * axis.inner + i % axis.inner, alpha * source->values[i], adds);
    }
    return true;
}

/* ------------------------------------------------------------------ constants */

static bool fill(ls_evaluation *e, double value) {
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = value;
    cast(e);
    return true;
}

bool ls_aten_zeros(ls_evaluation *e) { return fill(e, 0); }
bool ls_aten_ones(ls_evaluation *e) { return fill(e, 1); }

/* The value is a number under one of these names, or the second operand. */
bool ls_aten_fill(ls_evaluation *e) {
    static const char *const keys[] = {"fill_value", "value", "s"};
    const double *value = NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && value == NULL; i++)
        value = ls_node_parameter(e->node, keys[i]);
    if (value == NULL && e->operands[1] != NULL && e->operands[1]->elements == 1)
        value = e->operands[1]->values;
    return value != NULL ? fill(e, *value) : ls_eval_refuse(e, "an operand is missing");
}

bool ls_aten_arange(ls_evaluation *e) {
    const double start = ls_eval_parameter(e, "start", 0), step = ls_eval_parameter(e, "step", 1);
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = start + (double)i * step;
    return true;
}

bool ls_aten_linspace(ls_evaluation *e) {
    const double *start = ls_node_parameter(e->node, "start"), *end = ls_node_parameter(e->node, "end");
    const double last = e->node->elements > 1 ? (double)(e->node->elements - 1) : 1;
    if (start == NULL || end == NULL)
        return ls_eval_refuse(e, "an operand is missing");
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = *start + (*end - *start) * (double)i / last;
    return true;
}
