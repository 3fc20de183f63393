/* The token ids of a run, and an alignment of those of two runs. */
#ifndef LS_MATCH_SEQUENCE_H
#define LS_MATCH_SEQUENCE_H

#include "trace/trace.h"

typedef struct ls_sequence {
    int32_t *ids;
    size_t count;
} ls_sequence;

/* The longest sequence of a trace, assembled by position from all its passes (a warm-up run is shorter).
 * LOCKSTEP_INCOMPARABLE when the trace has no tokens. */
lockstep_status ls_sequence_of(const ls_trace *trace, ls_sequence *out_sequence, lockstep_error *error);
void ls_sequence_done(ls_sequence *sequence);

/* A row whose embedding was given, as those of a picture, may stand for any token. */
static inline bool ls_tokens_agree(int32_t a, int32_t b) { return a == b || a == LOCKSTEP_NO_TOKEN || b == LOCKSTEP_NO_TOKEN; }

/* One step of an alignment: an index on each side, LS_NONE where a side has no token. */
typedef struct ls_token_step {
    size_t reference, candidate;
} ls_token_step;

/* Aligns by the longest common subsequence. The caller frees *out_steps. */
lockstep_status ls_sequences_align(const ls_sequence *reference, const ls_sequence *candidate, ls_token_step **out_steps,
                                   size_t *out_count, lockstep_error *error);

#endif
