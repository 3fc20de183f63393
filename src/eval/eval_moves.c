/* Operations that move elements and change none. */
#include <math.h>

#include "eval/eval.h"

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
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t batch = batches > 1 ? i / n / count : 0;
        const double row = index->values[i / n];
        if (!(row >= 0 && row < (double)rows))
            return ls_eval_refuse(e, "an index out of range");
        e->out[i] = table->values[(batch * rows + (uint64_t)row) * n + i % n];
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
    bool fits = a->elements + b->elements == e->node->elements && a->elements > 0 && b->elements > 0;
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
