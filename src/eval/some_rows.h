/* Dear operations are computed for some rows of their result only, where they treat each row by itself. */
#ifndef LS_EVAL_SOME_ROWS_H
#define LS_EVAL_SOME_ROWS_H

#include "eval/eval.h"

/* Places along one axis of a result, ascending, the last one among them; the others are drawn at random. */
typedef struct ls_rows {
    int axis;           /* counted from the innermost */
    uint64_t of, count; /* places along the axis; those that are chosen */
    uint64_t *places;   /* NULL: all */
} ls_rows;

/* The axis along which the operation treats each row of its result by itself: the longest; without places. False where there is none. */
bool ls_rows_along(const ls_trace *trace, size_t node, ls_rows *out);
/* Chooses at least 32 rows. False, and all of them, where the operation is cheap, or does not treat each row by itself. */
bool ls_rows_choose(const ls_trace *trace, size_t node, ls_rows *out);
void ls_rows_done(ls_rows *rows);
/* Which share of a node's rows is computed, chosen here or as ls_eval_every says. */
double ls_rows_share(const ls_trace *trace, size_t node);

/* The axis of an operand along which it is needed at the chosen places only; -1 where all of it is. */
int ls_rows_axis_of(const ls_trace *trace, const ls_node *node, size_t slot, const ls_rows *rows);
/* The operation, with a result of the chosen rows. */
ls_node ls_rows_node(const ls_rows *rows, const ls_node *node);
/* Leaves the others out of an array, along this axis; nothing for -1. */
void ls_rows_keep(const ls_rows *rows, int axis, ls_array *array);
/* A copy of a node's values, which were borrowed, without the others; of all of them for -1. False, with a reason, if there is no room. */
bool ls_rows_copy(const ls_rows *rows, int axis, const ls_node *node, const double *values, ls_array *out, const char **out_reason);
/* The values of a whole result, with NaN for the others. */
void ls_rows_spread(const ls_rows *rows, const ls_node *node, const double *some, double *out);
/* The place of a row of the chosen ones among all rows. */
uint64_t ls_rows_place(const ls_rows *rows, const ls_node *node, uint64_t row);
/* The chosen rows of the values that were stored for a node; as ls_leaf_stored. */
bool ls_rows_stored(const ls_trace *trace, size_t node, const ls_rows *rows, int axis, ls_array *out, const char **out_reason);

#endif
