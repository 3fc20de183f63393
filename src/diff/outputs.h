/* The final outputs of both sides: they are compared whatever lies between. */
#ifndef LS_DIFF_OUTPUTS_H
#define LS_DIFF_OUTPUTS_H

#include "diff/diff.h"

/* Adds, and compares, a pair for each pass that is whole whose final outputs are not paired
 * although one could be the other: one side goes on, without a weight, where the other ends.
 * Each pass gets one turn. Before ls_pair_finish. */
lockstep_status ls_outputs_pair(ls_diff *diff, lockstep_error *error);

/* What a side computes after the last of its values that are compared. */
typedef enum ls_tail {
    LS_TAIL_NONE,
    LS_TAIL_POOLING, /* rows are picked or pooled: the shared result is compared */
    LS_TAIL_MORE     /* anything else: a result was not compared */
} ls_tail;

ls_tail ls_outputs_tail(const ls_diff *diff, bool of_reference, size_t output);

#endif
