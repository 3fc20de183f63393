/* ATen's operations, as PyTorch defines them: arguments by name, negative axes, broadcasting. Shapes are row-major. */
#ifndef LS_EVAL_ATEN_H
#define LS_EVAL_ATEN_H

#include "eval/eval.h"

/* An axis among the others: an array is [outer, size, inner]. */
typedef struct ls_aten_axis {
    uint64_t outer, size, inner;
} ls_aten_axis;

/* The axis of `x` that a parameter names, counted from the end where it is negative; `otherwise` where there is none. */
bool ls_aten_axis_of(ls_evaluation *evaluation, const ls_array *x, const char *key, int64_t otherwise, ls_aten_axis *out);
/* The same for a number. Refuses one that is out of range. */
bool ls_aten_axis_at(ls_evaluation *evaluation, const ls_array *x, int64_t axis, ls_aten_axis *out);
/* Which of the operation's results the node is. */
bool ls_aten_is_result(const ls_evaluation *evaluation, int index);
/* Refuses a parameter that has any other value than this. */
bool ls_aten_must_be(ls_evaluation *evaluation, const char *key, double value);
/* Whether the result has as many elements. Refuses others. */
bool ls_aten_gives(ls_evaluation *evaluation, uint64_t elements);
/* An index among `count`, which may count from the end. Refuses others. */
bool ls_aten_index(ls_evaluation *evaluation, double value, uint64_t count, uint64_t *out);

/* An array repeated along the result's axes: strides in elements, 0 where it is repeated. */
typedef struct ls_aten_broadcast {
    const double *values;
    uint64_t strides[LOCKSTEP_MAX_RANK];
} ls_aten_broadcast;

/* How an array is repeated along axes of these sizes; false where it doesn't fit. */
bool ls_aten_broadcast_to(const ls_array *array, int rank, const uint64_t *shape, ls_aten_broadcast *out);
/* Where the elements of a row of the axes are, the innermost not counted. */
const double *ls_aten_row(const ls_aten_broadcast *broadcast, int rank, const uint64_t *shape, uint64_t row);

#endif
