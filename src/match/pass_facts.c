#include "match/pass_facts.h"

void ls_pass_facts_read(const ls_trace *trace, size_t from, ls_pass_facts *facts) {
    for (size_t i = from; i < trace->node_count; i++) {
        const ls_node *n = &trace->nodes[i];
        const double *dims = n->kind->id == LS_OP_ROPE ? ls_node_parameter(n, "n_dims") : NULL;
        if (n->pass != LS_NONE && dims != NULL && *dims >= 2 && *dims < 1e6)
            facts[n->pass].head_size = (uint64_t)*dims;
    }
}
