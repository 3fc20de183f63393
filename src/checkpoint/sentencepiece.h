/* The pieces of a SentencePiece model. */
#ifndef LS_CHECKPOINT_SENTENCEPIECE_H
#define LS_CHECKPOINT_SENTENCEPIECE_H

#include "io/source.h"

typedef struct ls_piece {
    const char *text; /* in the source; not NUL-terminated */
    uint64_t length, type;
    float score;
} ls_piece;

typedef lockstep_status ls_piece_reader(void *context, uint64_t id, const ls_piece *piece, lockstep_error *error);

/* Calls `read` for each piece, in the order of their ids, until it fails. */
lockstep_status ls_sentencepiece_read(ls_source *source, ls_piece_reader *read, void *context, lockstep_error *error);

#endif
