/* One pair: its two tensors aligned, measured and judged by its tolerance. */
#ifndef LS_DIFF_JUDGEMENT_H
#define LS_DIFF_JUDGEMENT_H

#include "diff/model.h"

/* Compares one pair, under the layout for which most pairs of its kind voted so far. */
lockstep_status ls_diff_compare(ls_diff *diff, size_t pair, lockstep_error *error);
/* Compares all pairs, on all cores, in two rounds: in the second, each pair takes the layout of most pairs of
 * its kind. */
lockstep_status ls_diff_compare_all(ls_diff *diff, lockstep_error *error);

#endif
