/* Pairs by values, where operations can't be replayed. */
#ifndef LS_DIFF_VALUE_PAIRS_H
#define LS_DIFF_VALUE_PAIRS_H

#include "diff/model.h"

/* Pairs what has no partner by what it holds, and notes what was exchanged. */
lockstep_status ls_value_pairs_find(ls_diff *diff, lockstep_error *error);

#endif
