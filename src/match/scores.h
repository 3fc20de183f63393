/* Which tensors are attention scores: large negative values in them are a mask. */
#ifndef LS_MATCH_SCORES_H
#define LS_MATCH_SCORES_H

#include "trace/trace.h"

/* Marks what feeds a softmax (scores, masks, and what they are computed from up to a product), for
 * each softmax among nodes[from …). */
void ls_scores_mark(const ls_trace *trace, size_t from, bool *is_score);

#endif
