/* Pairs tensors of two graphs by what they are computed from. */
#ifndef LS_MATCH_STRUCTURE_H
#define LS_MATCH_STRUCTURE_H

#include "match/choosing.h"

/* Where a fault has left nothing alike: those of one size that are computed from the same partners. Only where both sides are graphs. */
lockstep_status ls_structure_pair(ls_choosing *choosing, lockstep_error *error);

#endif
