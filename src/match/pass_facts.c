#include "match/pass_facts.h"

/* Of fused attention, or of a softmax of scores: the size of the heads that are multiplied; 0 of any other operation. */
static uint64_t multiplied_heads(const ls_trace *t, const ls_node *n) {
    enum { STEPS = 8 }; /* scales, soft caps and masks between the two */
    const bool is_fused = n->kind->role == LS_OP_ROLE_ATTENTION;
    if (!is_fused && n->kind->id != LS_OP_SOFT_MAX)
        return 0;
    for (int i = 0; i < STEPS && n->kind->role != LS_OP_ROLE_PRODUCT && !is_fused && n->source_count > 0; i++)
        n = &t->nodes[n->sources[0]];
    const bool ends = is_fused || n->kind->role == LS_OP_ROLE_PRODUCT;
    const ls_node *heads = ends && n->operand_count > 0 && n->operands[0] != LS_NONE ? &t->nodes[n->operands[0]] : NULL;
    return heads != NULL && heads->role != LOCKSTEP_ROLE_WEIGHT && heads->rank >= 3 ? heads->shape[heads->rank - 1] : 0;
}

void ls_pass_facts_read(const ls_trace *trace, size_t from, ls_pass_facts *facts) {
    for (size_t i = from; i < trace->node_count; i++) {
        const ls_node *n = &trace->nodes[i];
        const double *dims = n->kind->id == LS_OP_ROPE ? ls_node_parameter(n, "n_dims") : NULL;
        if (n->pass != LS_NONE && dims != NULL && *dims >= 2 && *dims < 1e6)
            facts[n->pass].head_size = (uint64_t)*dims;
        else if (n->pass != LS_NONE && facts[n->pass].head_size == 0)
            facts[n->pass].head_size = multiplied_heads(trace, n);
    }
}
