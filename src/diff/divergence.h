/* Which of the failing pairs is where it began. */
#ifndef LS_DIFF_DIVERGENCE_H
#define LS_DIFF_DIVERGENCE_H

#include "diff/diff.h"

/* Computes the marks of all pairs, in their order, and the first divergence: the earliest failing pair
 * all of whose nearest paired ancestors pass (LS_NONE where there is none). Changes nothing of the diff.
 * The caller frees *out_marks. */
lockstep_status ls_divergence_mark(const ls_diff *diff, ls_mark **out_marks, size_t *out_first, lockstep_error *error);
/* The same, kept in the pairs and the result, with the pairs, nodes and weights that lead to the first
 * divergence. Call it after ls_matching_finish. */
lockstep_status ls_divergence_find(ls_diff *diff, lockstep_error *error);

#endif
