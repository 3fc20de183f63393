/* The reference's values as the candidate would have had them. */
#ifndef LS_ALIGN_RESYNC_H
#define LS_ALIGN_RESYNC_H

#include "align/diff.h"

/* Allocates the values of a node of the candidate with those of the reference in their
 * place, in the element type `engine`; what has no partner stays. Sets `resynced` and
 * `left` of its pairs. NULL, with the pairs unchanged, when it can't be done. */
void *ls_resync_values(ls_diff *diff, size_t value, lockstep_dtype engine, uint64_t *out_bytes);

#endif
