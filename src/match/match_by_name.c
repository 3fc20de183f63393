/* Pairs of tensors that have the same name, and of two files that hold one tensor each. */
#include "match/matching.h"

/* The node with this name in a pass, if all nodes of the name are one value; LS_NONE. */
static size_t find_only(const ls_values *values, size_t pass, const char *name) {
    size_t first = ls_values_find(values, pass, &(ls_label){name, NULL, NULL, LS_FIRST});
    size_t last = ls_values_find(values, pass, &(ls_label){name, NULL, NULL, LS_LAST});
    return first != LS_NONE && values->value_of[first] == values->value_of[last] ? first : LS_NONE;
}

/* The node of the reference's pass that has the name of a node of the candidate: with the same operation and
 * occurrence where both sides are graphs, or else the only one of its name on both sides. (Engines spell
 * operations differently, and an engine of one's own need not name them.) */
static size_t find_same(const ls_matching *m, size_t reference_pass, size_t candidate) {
    const ls_node *n = &m->in->candidate.trace->nodes[candidate];
    bool graphs = m->in->reference.trace->is_graph && m->in->candidate.trace->is_graph;
    ls_label label = {n->name, graphs && *n->op != '\0' ? n->op : NULL, NULL, graphs ? (long)n->occurrence : LS_FIRST};
    size_t reference = ls_values_find(&m->in->reference.values, reference_pass, &label);
    if (reference == LS_NONE && !graphs && ls_values_find_unnumbered(&m->in->candidate.values, n->pass, n->name) == candidate)
        reference = ls_values_find_unnumbered(&m->in->reference.values, reference_pass, n->name);
    if (reference == LS_NONE && graphs && find_only(&m->in->candidate.values, n->pass, n->name) == candidate)
        reference = find_only(&m->in->reference.values, reference_pass, n->name);
    return reference;
}

lockstep_status ls_match_by_name(ls_matching *m, size_t from, lockstep_error *error) {
    const ls_token_alignment *tokens = &m->tokens;
    const ls_trace *candidate = m->in->candidate.trace;
    for (size_t i = from; i < candidate->node_count; i++) {
        size_t pass = candidate->nodes[i].pass;
        if (!ls_values_is_own(&m->in->candidate.values, i))
            continue;
        for (size_t k = ls_token_alignment_from(tokens, pass); k < tokens->pair_count && tokens->pairs[k].candidate == pass; k++) {
            size_t reference = find_same(m, tokens->pairs[k].reference, i);
            if (reference != LS_NONE)
                LS_TRY(ls_matching_add(m, &(ls_pair){.pass_pair = k, .reference = reference, .candidate = i, .method = LS_METHOD_NAME}, error));
        }
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_match_the_only_two(ls_matching *m, size_t from, lockstep_error *error) {
    const ls_trace *r = m->in->reference.trace, *c = m->in->candidate.trace;
    (void)from;
    if (r->is_graph || c->is_graph || r->node_count != 1 || c->node_count != 1 || m->tokens.pair_count != 1)
        return LOCKSTEP_OK;
    return ls_matching_add(m, &(ls_pair){.method = LS_METHOD_ELIMINATION}, error);
}
