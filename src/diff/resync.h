/* The reference's values as the candidate would have had them. */
#ifndef LS_DIFF_RESYNC_H
#define LS_DIFF_RESYNC_H

#include "diff/diff.h"

/* Allocates the candidate's values with those of the reference in their place, in the
 * element type `engine`; what has no partner stays. Sets pair->is_resynced and `left`.
 * NULL, with the pair unchanged, when it can't be done. */
void *ls_resync_values(ls_diff *diff, ls_pair *pair, lockstep_dtype engine, uint64_t *out_bytes);

#endif
