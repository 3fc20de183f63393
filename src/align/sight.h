/* A pair's two tensors, held in memory and looked at so that they read alike. */
#ifndef LS_ALIGN_SIGHT_H
#define LS_ALIGN_SIGHT_H

#include "align/diff.h"
#include "align/layout.h"

typedef struct ls_sight {
    ls_hold reference, candidate;
    ls_layout layout;
} ls_sight;

/* LOCKSTEP_INCOMPARABLE: no layout. Other failures: the values of a side can't be
 * read. `choice`: see ls_layout_find. `reorder` is usually the pair's own. */
lockstep_status ls_sight_open(ls_diff *diff, const ls_pair *pair, ls_reorder reorder, ls_layout_choice choice, ls_sight *out_sight,
                              lockstep_error *error);
void ls_sight_close(ls_sight *sight);

#endif
