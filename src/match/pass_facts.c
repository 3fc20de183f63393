#include "match/pass_facts.h"

static void look(const ls_trace *trace, size_t node, ls_pass_facts *f) {
    const ls_node *n = &trace->nodes[node];
    const double *dims = n->kind->id == LS_OP_ROPE ? ls_node_parameter(n, "n_dims") : NULL;
    if (dims != NULL && *dims >= 2 && *dims < 1e6)
        f->head_size = (uint64_t)*dims;
    if (ls_output_rows_selects(trace, n))
        f->selector = node + 1; /* the last one: experts select rows, too */
}

lockstep_status ls_pass_facts_read(const ls_trace *trace, size_t from, ls_arena *arena, ls_pass_facts *facts, lockstep_error *error) {
    for (size_t i = from; i < trace->node_count; i++)
        if (trace->nodes[i].pass != LS_NONE)
            look(trace, i, &facts[trace->nodes[i].pass]);
    for (size_t pass = 0; pass < trace->pass_count; pass++)
        if (facts[pass].selector > from)
            LS_TRY(ls_output_rows_read(trace, &trace->nodes[facts[pass].selector - 1], arena, &facts[pass].output_rows, error));
    return LOCKSTEP_OK;
}
