#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/dtype.h"

typedef bool (*evaluator)(ls_evaluation *evaluation);

#define LS_EVAL_ROW(op, function) [LS_OP_##op] = function,
static const evaluator of_ggml[LS_OP_COUNT] = {
#include "eval/eval_table.h"
};
#undef LS_EVAL_ROW

#define LS_ATEN_ROW(op, function) [LS_OP_##op] = function,
static const evaluator of_aten[LS_OP_COUNT] = {
#include "eval/aten_table.h"
};
#undef LS_ATEN_ROW

static evaluator function_of(const ls_node *n) {
    return n->dialect == LS_DIALECT_GGML ? of_ggml[n->kind->id] : n->dialect == LS_DIALECT_ATEN ? of_aten[n->kind->id] : NULL;
}

bool ls_eval_covers(const ls_node *n) { return function_of(n) != NULL; }

bool ls_eval_takes_stored(const ls_node *n, size_t slot) {
    return n->dialect == LS_DIALECT_GGML && slot == 0 && (n->kind->id == LS_OP_MUL_MAT || n->kind->id == LS_OP_MUL_MAT_ID || n->kind->id == LS_OP_GET_ROWS);
}

static bool are_readable(ls_evaluation *e) {
    for (size_t i = 0; i < LS_EVAL_OPERANDS; i++)
        if (e->operands[i] != NULL && e->operands[i]->values == NULL && !ls_eval_takes_stored(e->node, i))
            return ls_eval_refuse(e, "an operand without values");
    return true;
}

bool ls_eval(ls_evaluation *e) {
    const evaluator function = function_of(e->node);
    if (function == NULL)
        return ls_eval_refuse(e, "an operation that is not covered");
    if (!are_readable(e))
        return false;
    if (e->node->elements == 0)
        return true;
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->scale[i] = NAN; /* its own magnitude, unless the function says otherwise */
    if (!function(e))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->scale[i] = isnan(e->scale[i]) ? fabs(e->out[i]) : e->scale[i]; /* NaN where the result is */
    return true;
}

bool ls_eval_refuse(ls_evaluation *e, const char *reason) {
    e->reason = reason;
    return false;
}

bool ls_eval_misfit(ls_evaluation *e) { return ls_eval_refuse(e, "operands whose shapes don't fit"); }

double ls_eval_parameter(const ls_evaluation *e, const char *key, double otherwise) {
    const double *value = ls_node_parameter(e->node, key);
    return value != NULL ? *value : otherwise;
}

bool ls_eval_integer(ls_evaluation *e, const char *key, int64_t least, int64_t most, int64_t *out) {
    const double value = ls_eval_parameter(e, key, 0);
    if (!(value >= (double)least && value <= (double)most && value == floor(value)))
        return ls_eval_refuse(e, "a parameter that is out of range");
    *out = (int64_t)value;
    return true;
}

bool ls_eval_has(ls_evaluation *e, int count) {
    for (int i = 0; i < count; i++)
        if (e->operands[i] == NULL)
            return ls_eval_refuse(e, "an operand is missing");
    return true;
}

bool ls_eval_wants(const ls_evaluation *e, uint64_t row, uint64_t rows) { return e->every <= 1 || (rows - 1 - row) % e->every == 0; }

bool ls_eval_affords(ls_evaluation *e, double multiplications) {
    const double most = 0x1p37;
    return multiplications / (double)(e->every > 1 ? e->every : 1) <= most || ls_eval_refuse(e, "too large to be computed again");
}

void ls_array_release(ls_array *a) {
    free(a->values);
    *a = (ls_array){0};
}

const double *ls_array_part(const ls_array *a, uint64_t at, uint64_t count, double *buffer) {
    if (a->values != NULL)
        return a->values + at;
    ls_view_read_f64(&a->stored, at, count, buffer);
    return buffer;
}

bool ls_are_unknown(const double *values, uint64_t count) {
    uint64_t i = 0;
    while (i < count && isnan(values[i]))
        i++;
    return i == count;
}

uint64_t ls_array_size(const ls_array *a, int axis) { return axis < a->rank ? a->shape[a->rank - 1 - axis] : 1; }

uint64_t ls_eval_size(const ls_evaluation *e, int axis) { return axis < e->node->rank ? e->node->shape[e->node->rank - 1 - axis] : 1; }

static ls_array shape_of(const ls_evaluation *e) {
    ls_array a = {.rank = e->node->rank, .elements = e->node->elements};
    memcpy(a.shape, e->node->shape, sizeof a.shape);
    return a;
}

bool ls_array_is(const ls_array *a, uint64_t n0, uint64_t n1, uint64_t n2, uint64_t n3) {
    const uint64_t sizes[LS_EVAL_AXES] = {n0, n1, n2, n3};
    for (int axis = 0; axis < LOCKSTEP_MAX_RANK; axis++)
        if (ls_array_size(a, axis) != (axis < LS_EVAL_AXES ? sizes[axis] : 1))
            return false;
    return true;
}

bool ls_eval_gives(const ls_evaluation *e, uint64_t n0, uint64_t n1, uint64_t n2, uint64_t n3) {
    const ls_array result = shape_of(e);
    return ls_array_is(&result, n0, n1, n2, n3);
}

void ls_eval_place(const ls_evaluation *e, uint64_t index, uint64_t out_at[LS_EVAL_AXES]) {
    for (int axis = 0; axis < LS_EVAL_AXES; axis++) {
        out_at[axis] = index % ls_eval_size(e, axis);
        index /= ls_eval_size(e, axis);
    }
}

uint64_t ls_array_index(const ls_array *a, const uint64_t at[LS_EVAL_AXES]) {
    return ((at[3] * ls_array_size(a, 2) + at[2]) * ls_array_size(a, 1) + at[1]) * ls_array_size(a, 0) + at[0];
}
