/* What a comparison of two vocabularies found. */
#ifndef LS_CHECKPOINT_VOCABULARY_FINDINGS_H
#define LS_CHECKPOINT_VOCABULARY_FINDINGS_H

#include "base/text.h"
#include "checkpoint/tokenizer.h"

typedef struct ls_vocabulary_side {
    bool known; /* a vocabulary was found */
    /* UINT64_MAX if a side doesn't give it */
    uint64_t tokens, declared, embedding_rows, output_rows, merges;
} ls_vocabulary_side;

typedef struct ls_special {
    const char *name;   /* "bos", "eos", … */
    int64_t id[2];      /* -1 if a side doesn't give it */
    const char *text[2]; /* the token's text, not escaped, or NULL */
    int type[2];        /* of ls_token_type, or -1 */
    bool differs;
} ls_special;

enum { LS_SPECIALS_MAX = 16 };

typedef enum ls_vocabulary_finding_kind {
    LS_VOCABULARY_REMARK,
    LS_VOCABULARY_DIFFERS,
    LS_VOCABULARY_UNREAD, /* a file can't be read: what depends on it was not compared */
} ls_vocabulary_finding_kind;

typedef struct ls_vocabulary_finding {
    const char *text; /* escaped */
    ls_vocabulary_finding_kind kind;
} ls_vocabulary_finding;

typedef struct ls_vocabulary {
    ls_vocabulary_side sides[2]; /* reference, candidate */
    ls_special specials[LS_SPECIALS_MAX];
    size_t special_count;
    uint64_t tokens_compared, tokens_differ, first_token;   /* first: valid when differ > 0 */
    uint64_t types_differ, first_type;
    uint64_t merges_compared, merges_differ, first_merge;
    uint64_t scores_compared, scores_differ;
    uint64_t templates_compared; /* chat templates */
    const char *left_out;        /* parts that both sides have and that can't be compared: "a, b"; or NULL */
    ls_vocabulary_finding *findings;
    size_t finding_count;

    ls_arena arena;
} ls_vocabulary;

#endif
