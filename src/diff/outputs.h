/* The final outputs of both sides, which are compared even where they have other names. */
#ifndef LS_DIFF_OUTPUTS_H
#define LS_DIFF_OUTPUTS_H

#include "diff/model.h"

/* Appends and compares a pair for each complete pass whose final outputs are not paired although they could be:
 * one side continues, without a weight, where the other ends. Each pass is considered once. Call it before
 * ls_matching_finish. */
lockstep_status ls_outputs_pair(ls_diff *diff, lockstep_error *error);

/* What a side computes after the last of its values that were compared: the later, the more it could hide. */
typedef enum ls_tail {
    LS_TAIL_NONE,
    LS_TAIL_PICKING, /* elements are picked or ranked, and no value is changed */
    LS_TAIL_POOLING, /* rows are picked or pooled: the shared result is compared */
    LS_TAIL_MORE     /* anything else: a result that was not compared */
} ls_tail;

ls_tail ls_outputs_tail(const ls_diff *diff, bool of_reference, size_t output);

#endif
