/* Which passes are compared, where the user says it: "0:2,1:5" compares pass 0 of the reference with pass 2 of the candidate, and so on. */
#ifndef LS_MATCH_CHOSEN_PASSES_H
#define LS_MATCH_CHOSEN_PASSES_H

#include "match/alike_passes.h"

/* Reads a list, for traces with so many passes; a candidate that is still running may have any. The pairs are the arena's, ascending in candidate. */
lockstep_status ls_chosen_passes_read(const char *list, const ls_trace *reference, const ls_trace *candidate, ls_arena *arena, ls_alike_pass **out_pairs,
                                      size_t *out_count, lockstep_error *error);

#endif
