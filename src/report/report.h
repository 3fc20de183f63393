/* What a comparison found, for people and for programs. Results in, text out. */
#ifndef LS_REPORT_REPORT_H
#define LS_REPORT_REPORT_H

#include "diagnose/diagnose.h"
#include "checkpoint/checkpoint_diff.h"
#include "checkpoint/tokenizer.h"
#include "match/sequence.h"

/* What there is to report of two traces. */
typedef struct ls_comparison {
    const ls_diff *diff;
    const ls_diagnosis *diagnosis;
    const ls_checkpoint_diff *weights; /* those behind the first divergence, in the traces' checkpoints; or NULL */
} ls_comparison;

/* `width`: columns of the terminal, 0 for as many as it takes. `all`: every pair, and the names
 * without a partner. */
void ls_report_terminal(const ls_comparison *comparison, bool all, int width, ls_text *out);
void ls_report_checkpoints(const ls_checkpoint_diff *diff, bool all, int width, ls_text *out);
/* The pairs of weights, a line each. */
void ls_report_weights(const ls_checkpoint_diff *weights, ls_text *out);
/* Schema 1: docs/diff.md and docs/checkpoints.md. */
void ls_report_json(const ls_comparison *comparison, ls_text *out);
void ls_report_checkpoints_json(const ls_checkpoint_diff *diff, ls_text *out);
/* Two sequences side by side, and what the differences look like; true when equal.
 * `tokenizer`: for the texts, or NULL. */
bool ls_report_tokens(const ls_sequence *reference, const ls_sequence *candidate, const ls_token_step *steps, size_t count,
                      const ls_tokenizer *tokenizer, bool all, ls_text *out);

#endif
