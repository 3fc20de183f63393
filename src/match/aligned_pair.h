/* The two tensors of a pair, held in memory as views of equal shape whose elements correspond. */
#ifndef LS_MATCH_ALIGNED_PAIR_H
#define LS_MATCH_ALIGNED_PAIR_H

#include "match/matching.h"

typedef struct ls_aligned_pair {
    ls_hold reference, candidate;
    ls_layout layout;
} ls_aligned_pair;

/* What ls_layout_find needs to know of a pair, for two views of its nodes' shapes. */
ls_layout_request ls_aligned_pair_request(const ls_matching *matching, const ls_pair *pair, ls_reorder reorder, const ls_view *reference, const ls_view *candidate);

/* LOCKSTEP_INCOMPARABLE: no layout. Other failures: the values of a side can't be read. `choice`: see
 * ls_layout_find. `reorder` is usually that of the pair's rule. Several threads may do this at once. */
lockstep_status ls_aligned_pair_open(const ls_matching *matching, const ls_pair *pair, ls_reorder reorder, ls_layout_choice choice,
                                     ls_aligned_pair *out_aligned, lockstep_error *error);
void ls_aligned_pair_close(ls_aligned_pair *aligned);

#endif
