/* Finds pairs: which values of the candidate answer to which of the reference. */
#ifndef LS_ALIGN_PAIR_H
#define LS_ALIGN_PAIR_H

#include "align/diff.h"

/* Fills diff->pairs (without metrics), pair_of, by_how, candidate_only and
 * reference_only, by diff->map, equal names and diff->preset. Only candidate nodes
 * for which wanted[node] is true take part. */
lockstep_status ls_pair_all(ls_diff *diff, const bool *wanted, lockstep_error *error);

#endif
