/* The two tensors of a pair, held in memory as views of equal shape whose elements correspond. */
#ifndef LS_MATCH_ALIGNED_PAIR_H
#define LS_MATCH_ALIGNED_PAIR_H

#include "match/matching.h"

typedef struct ls_aligned_pair {
    ls_hold reference, candidate;
    ls_layout layout;
} ls_aligned_pair;

/* LOCKSTEP_INCOMPARABLE: no layout. Other failures: the values of a side can't be
 * read. `choice`: see ls_layout_find. `reorder` is usually the pair's own. */
lockstep_status ls_aligned_pair_open(ls_matching *matching, const ls_pair *pair, ls_reorder reorder, ls_layout_choice choice, ls_aligned_pair *out_aligned,
                              lockstep_error *error);
void ls_aligned_pair_close(ls_aligned_pair *aligned);

#endif
