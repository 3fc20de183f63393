/* What the graph of a pass reveals about the pass: how wide its heads are, and which tensor is its output. */
#ifndef LS_MATCH_PASS_FACTS_H
#define LS_MATCH_PASS_FACTS_H

#include "trace/trace.h"

typedef struct ls_pass_facts {
    uint64_t head_size; /* dimensions that RoPE rotates; of a pass without RoPE, those of a head; 0: unknown */
    size_t output;      /* its last computed tensor whose values were recorded, + 1; 0: none so far */
    bool was_whole;     /* naming rules that need the whole pass have been applied */
} ls_pass_facts;

/* Reads head sizes from nodes[from …). `facts` has one entry per pass. */
void ls_pass_facts_read(const ls_trace *trace, size_t from, ls_pass_facts *facts);

#endif
