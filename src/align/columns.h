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
} ls_pass_facts;

/* Reads them for every pass of a trace, into an arena's array of pass_count. */
lockstep_status ls_facts_read(const ls_trace *trace, ls_arena *arena, ls_pass_facts **out_facts, lockstep_error *error);

/* Live columns for every node whose innermost axis is a padded KV cache (array of
 * node_count; `padded` is 0 elsewhere). */
lockstep_status ls_columns_read(const ls_trace *trace, ls_arena *arena, ls_columns **out_columns, lockstep_error *error);

#endif
