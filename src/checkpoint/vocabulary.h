/* The vocabularies of two checkpoints: sizes, tokens, special tokens, merges. */
#ifndef LS_CHECKPOINT_VOCABULARY_H
#define LS_CHECKPOINT_VOCABULARY_H

#include "checkpoint/vocabulary_findings.h"

lockstep_status ls_vocabulary_compare(const ls_checkpoint *reference, const ls_checkpoint *candidate,
                                      ls_vocabulary *out_vocabulary, lockstep_error *error);
void ls_vocabulary_done(ls_vocabulary *vocabulary);

#endif
