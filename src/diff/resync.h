/* The reference's values in the candidate's layout and element type. */
#ifndef LS_DIFF_RESYNC_H
#define LS_DIFF_RESYNC_H

#include "diff/model.h"

/* Allocates a copy of the candidate's values, in the element type `engine`, in which those of the reference
 * replace their counterparts; elements without one keep their value. Sets pair->is_resynced and `left`. Returns
 * NULL, and leaves the pair unchanged, when it can't be done. The caller frees it. */
void *ls_resync_values(ls_diff *diff, ls_pair *pair, lockstep_dtype engine, uint64_t *out_bytes);

#endif
