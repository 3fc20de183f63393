/* What the pairs show together. */
#ifndef LS_DIFF_OUTCOME_H
#define LS_DIFF_OUTCOME_H

#include "diff/diff.h"

/* Fills in the result's coverage, outcome, reason and hints, once the first divergence is known. */
lockstep_status ls_outcome_decide(ls_diff *diff, lockstep_error *error);

#endif
