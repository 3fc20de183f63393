/* What a pass of a ggml engine says about its own rows: which columns of its KV
 * cache are live, and which rows its last layer keeps. */
#ifndef LS_ALIGN_COLUMNS_H
#define LS_ALIGN_COLUMNS_H

#include "align/layout.h"
#include "align/values.h"

typedef struct ls_pass_facts {
    int32_t *kept_rows; /* of the arena; NULL: all */
    size_t kept_count;
    uint64_t head_size; /* that RoPE rotates; 0: unknown */
    size_t output;      /* the last tensor of its own that was kept, + 1; 0: none so far */
    bool was_whole;     /* rules that need the whole pass had their turn */
} ls_pass_facts;

/* Learns from nodes[from …): facts is per pass; lists lie in the arena. */
lockstep_status ls_facts_read(const ls_trace *trace, size_t from, ls_arena *arena, ls_pass_facts *facts, lockstep_error *error);

/* The same for the live columns of every node whose innermost axis is a padded KV
 * cache (`padded` is 0 elsewhere). A softmax says it of nodes before it, too. */
lockstep_status ls_columns_read(const ls_trace *trace, size_t from, ls_columns *columns, lockstep_error *error);

/* Marks what goes into a softmax: scores, masks, and what they are made of without a product.
 * nodes[from …) are looked at. */
void ls_scores_mark(const ls_trace *trace, size_t from, bool *scores);

#endif
