/* Compares two traces. */
#ifndef LS_DIFF_DIFF_H
#define LS_DIFF_DIFF_H

#include "diff/judgement.h"
#include "diff/model.h"

/* Compares two traces, or other containers, by path. The caller frees *out_diff. */
lockstep_status ls_diff_paths(const char *reference, const char *candidate, const ls_diff_options *options, ls_diff **out_diff, lockstep_error *error);
/* Compares two open traces, which belong to the diff from here on: they are closed with it, or at once on failure. */
lockstep_status ls_diff_traces(ls_trace *reference, ls_trace *candidate, const ls_diff_options *options, ls_diff **out_diff, lockstep_error *error);

/* The same in steps, for a candidate that grows while it is compared: open; grow after each part of
 * it; compare the pairs that it brought; finish. */

/* Takes both traces over like ls_diff_traces. The candidate may still be empty. */
lockstep_status ls_diff_open(ls_trace *reference, ls_trace *candidate, const ls_diff_options *options, ls_diff **out_diff, lockstep_error *error);
/* Takes in the candidate's new nodes and passes, and pairs them. */
lockstep_status ls_diff_grow(ls_diff *diff, lockstep_error *error);
/* Finds the first divergence among the pairs, and decides the outcome. */
lockstep_status ls_diff_finish(ls_diff *diff, lockstep_error *error);
/* NULL is allowed. */
void ls_diff_free(ls_diff *diff);

#endif
