#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>

#define LS_EVAL_ROW(op, function) [LS_OP_##op] = function,
static bool (*const functions[LS_OP_COUNT])(ls_evaluation *evaluation) = {
#include "eval/eval_table.h"
};
#undef LS_EVAL_ROW

bool ls_eval_covers(const ls_op *op) { return functions[op->id] != NULL; }

bool ls_eval(ls_evaluation *e) {
    if (!ls_eval_covers(e->node->kind))
        return ls_eval_refuse(e, "an operation that is not covered");
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->scale[i] = NAN; /* its own magnitude, unless the function says otherwise */
    if (!functions[e->node->kind->id](e))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->scale[i] = isnan(e->scale[i]) ? fabs(e->out[i]) : e->scale[i]; /* NaN where the result is */
    return true;
}

bool ls_eval_refuse(ls_evaluation *e, const char *reason) {
    e->reason = reason;
    return false;
}

double ls_eval_parameter(const ls_evaluation *e, const char *key, double otherwise) {
    const double *value = ls_node_parameter(e->node, key);
    return value != NULL ? *value : otherwise;
}

bool ls_eval_has(ls_evaluation *e, int count) {
    for (int i = 0; i < count; i++)
        if (e->operands[i] == NULL)
            return ls_eval_refuse(e, "an operand is missing");
    return true;
}

bool ls_eval_wants(const ls_evaluation *e, uint64_t row, uint64_t rows) { return e->every <= 1 || (rows - 1 - row) % e->every == 0; }

void ls_array_release(ls_array *a) {
    free(a->values);
    *a = (ls_array){0};
}

uint64_t ls_array_size(const ls_array *a, int axis) { return axis < a->rank ? a->shape[a->rank - 1 - axis] : 1; }

uint64_t ls_eval_size(const ls_evaluation *e, int axis) { return axis < e->node->rank ? e->node->shape[e->node->rank - 1 - axis] : 1; }
