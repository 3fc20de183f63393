/* Finds pairs: which values of the candidate answer to which of the reference. */
#ifndef LS_ALIGN_PAIR_H
#define LS_ALIGN_PAIR_H

#include "align/diff.h"

/* Adds the pairs (without metrics) of the candidate's nodes[from …) to diff->pairs, by
 * diff->map, equal names and diff->preset. Only nodes for which diff->wanted is true
 * take part. */
lockstep_status ls_pair_nodes(ls_diff *diff, size_t from, lockstep_error *error);
/* Adds one pair, without metrics, unless the candidate's tensor has one, or a side's values were left out. */
lockstep_status ls_pair_add(ls_diff *diff, size_t passes, size_t reference, size_t candidate, ls_how how, lockstep_error *error);
/* Once there are no more: puts the pairs in the candidate's order, and finds what is
 * implied and what has no partner. */
lockstep_status ls_pair_finish(ls_diff *diff, lockstep_error *error);

#endif
