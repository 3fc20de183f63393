/* Shared by the files that compare vocabularies. */
#ifndef LS_CHECKPOINT_VOCABULARY_STEPS_H
#define LS_CHECKPOINT_VOCABULARY_STEPS_H

#include "checkpoint/vocabulary_findings.h"

enum { LS_VOCABULARY_SHOWN = 120 };

typedef struct ls_vocabulary_comparing {
    const ls_checkpoint *sides[2];
    ls_tokenizer tokenizers[2];
    json_t *generation[2], *tokenizer_config[2]; /* or NULL */
    ls_vocabulary *v;
    lockstep_error *error;
} ls_vocabulary_comparing;

/* Adds a finding; the caller escapes texts that come from files. */
lockstep_status ls_vocabulary_say(ls_vocabulary_comparing *c, ls_vocabulary_finding_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Names a part that both sides have and that can't be compared. */
lockstep_status ls_vocabulary_leave_out(ls_vocabulary_comparing *c, const char *part);
/* Reports a file that can't be read; only the checks that depend on it are lost. */
lockstep_status ls_vocabulary_unread(ls_vocabulary_comparing *c, int side, lockstep_status status, const lockstep_error *why, const char *what);
const ls_token *ls_vocabulary_token(const ls_vocabulary_comparing *c, int side, int64_t id); /* NULL when there is none */
/* The text of a token, escaped, or "(none)". */
void ls_vocabulary_show(const ls_token *token, char out[LS_VOCABULARY_SHOWN]);
/* The same for a side's token; false, with "(none)", if the side has no such token. */
bool ls_vocabulary_token_text(const ls_vocabulary_comparing *c, int side, int64_t id, char out[LS_VOCABULARY_SHOWN]);

/* --- the steps besides tokens, merges and special tokens */

/* How text becomes tokens: kind of model, pre-tokenizer, scores, added BOS and EOS. */
lockstep_status ls_tokenizer_rules_compare(ls_vocabulary_comparing *c);
/* The ids that end a text. */
lockstep_status ls_text_ends_compare(ls_vocabulary_comparing *c);
lockstep_status ls_chat_templates_compare(ls_vocabulary_comparing *c);

#endif
