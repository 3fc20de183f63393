/* A vocabulary as a file gives it: GGUF's tokenizer.ggml.* keys, or tokenizer.json
 * (vocab.txt if there is none). */
#ifndef LS_CHECKPOINT_TOKENIZER_H
#define LS_CHECKPOINT_TOKENIZER_H

#include "checkpoint/checkpoint.h"

typedef enum ls_token_type { /* those of GGUF */
    LS_TOKEN_UNDEFINED = 0,
    LS_TOKEN_NORMAL = 1,
    LS_TOKEN_UNKNOWN = 2,
    LS_TOKEN_CONTROL = 3,
    LS_TOKEN_USER_DEFINED = 4,
    LS_TOKEN_UNUSED = 5,
    LS_TOKEN_BYTE = 6
} ls_token_type;

typedef struct ls_token {
    const char *text; /* not NUL-terminated; NULL: no such id */
    uint32_t length;
    uint8_t type;     /* of ls_token_type */
} ls_token;

typedef struct ls_merge {
    const char *left, *right;
    uint32_t left_length, right_length;
} ls_merge;

/* The parts of tokenizer.json besides tokens and merges. */
typedef enum ls_tokenizer_part {
    LS_TOKENIZER_NORMALIZER,
    LS_TOKENIZER_PRE_TOKENIZER,
    LS_TOKENIZER_POST_PROCESSOR,
    LS_TOKENIZER_DECODER,
    LS_TOKENIZER_MODEL, /* the model's settings, without vocab and merges */
    LS_TOKENIZER_PARTS
} ls_tokenizer_part;

typedef struct ls_tokenizer {
    const char *file; /* where it was read, for messages */
    const char *kind; /* tokenizer.ggml.model, or model.type of tokenizer.json; "SentencePiece" of tokenizer.model; "" */
    bool is_json;     /* it was tokenizer.json */
    bool byte_level, byte_fallback; /* for a BPE: how it spells bytes */
    json_t *parts[LS_TOKENIZER_PARTS]; /* or NULL */
    ls_token *tokens; /* by id */
    uint64_t token_count, token_capacity;
    float *scores;    /* by id; NULL where there are none */
    uint64_t score_capacity;
    ls_merge *merges;
    size_t merge_count, merge_capacity;
    ls_source *source; /* holds the texts; closed with the tokenizer */
    ls_arena arena;
} ls_tokenizer;

/* *out_found is false where the checkpoint has none. */
lockstep_status ls_tokenizer_open(const ls_checkpoint *checkpoint, ls_tokenizer *out_tokenizer, bool *out_found,
                                  lockstep_error *error);
/* Parses a tokenizer.json from any source, of which it takes ownership. */
lockstep_status ls_tokenizer_parse_json(ls_source *source, ls_tokenizer *out_tokenizer, lockstep_error *error);
/* Parses a SentencePiece model from any source, of which it takes ownership. */
lockstep_status ls_tokenizer_parse_pieces(ls_source *source, ls_tokenizer *out_tokenizer, lockstep_error *error);
void ls_tokenizer_close(ls_tokenizer *tokenizer);
/* The id of a token, or -1. */
int64_t ls_tokenizer_find(const ls_tokenizer *tokenizer, const char *text);
const char *ls_token_type_name(int type);

#endif
