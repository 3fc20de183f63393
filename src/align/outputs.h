/* The final outputs of both sides: they are compared whatever lies between. */
#ifndef LS_ALIGN_OUTPUTS_H
#define LS_ALIGN_OUTPUTS_H

#include "align/diff.h"

/* Adds, and compares, a pair for each pass whose final outputs are not paired although one
 * could be the other: one side goes on, without a weight, where the other ends. Before
 * ls_pair_finish. */
lockstep_status ls_outputs_pair(ls_diff *diff, lockstep_error *error);

/* What a side computes after the last of its values that are compared. */
typedef enum ls_tail {
    LS_TAIL_NONE,
    LS_TAIL_POOLING, /* rows are picked, pooled or brought to length 1: the shared result is compared */
    LS_TAIL_MORE     /* anything else: a result was not compared */
} ls_tail;

ls_tail ls_outputs_tail(const ls_values *values, const bool *compared, size_t output);

#endif
