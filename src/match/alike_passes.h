/* Passes that correspond because they compute with the same weights, where a side's pass has no tokens to tell by: the tower
 * of a model that reads pictures, for example, is a pass of its own in one engine, and in another a part of one with tokens. */
#ifndef LS_MATCH_ALIKE_PASSES_H
#define LS_MATCH_ALIKE_PASSES_H

#include "trace/trace.h"

typedef struct ls_alike_pass {
    size_t reference, candidate; /* indexes of passes */
    size_t items, item;          /* one side's pass is over so many pictures, of which the other's is over this one; 0: over the same */
    bool of_candidate;           /* that side is the candidate */
} ls_alike_pass;

/* Pairs of passes of which one at least has no tokens, ascending in candidate; *out_pairs is the caller's. Empty where the
 * traces don't tell which weights are read. False if out of memory. */
bool ls_alike_passes(const ls_trace *reference, const ls_trace *candidate, ls_alike_pass **out_pairs, size_t *out_count);
/* Ascending in candidate, then in reference. */
void ls_alike_passes_sort(ls_alike_pass *pairs, size_t count);

#endif
