/* What the graph of a pass reveals about the pass: which rows its last layer computes, how wide its
 * heads are, and which tensor is its output. */
#ifndef LS_MATCH_PASS_FACTS_H
#define LS_MATCH_PASS_FACTS_H

#include "match/output_rows.h"

typedef struct ls_pass_facts {
    size_t selector;      /* the last node that selects rows, + 1; 0: none so far */
    ls_output_rows output_rows;
    uint64_t head_size;   /* dimensions that RoPE rotates; 0: unknown */
    size_t output;        /* its last computed tensor whose values were recorded, + 1; 0: none so far */
    bool was_whole;       /* naming rules that need the whole pass have been applied */
} ls_pass_facts;

/* Reads output rows and head sizes from nodes[from …). `facts` has one entry per pass; lists are allocated in the arena. */
lockstep_status ls_pass_facts_read(const ls_trace *trace, size_t from, ls_arena *arena, ls_pass_facts *facts, lockstep_error *error);

#endif
