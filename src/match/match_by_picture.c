/* The pictures that both sides' models are given: they correspond whatever they are called, and whatever was done to them before. */
#include "match/matching.h"
#include "match/picture_node.h"

/* The only one of a pass; LS_NONE where there are none, or several. */
static size_t find_picture(const ls_trace *t, const ls_values *values, size_t pass) {
    size_t found = LS_NONE;
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        if (n->pass != pass || !ls_values_is_own(values, i) || !ls_node_is_picture(n))
            continue;
        if (found != LS_NONE)
            return LS_NONE;
        found = i;
    }
    return found;
}

lockstep_status ls_match_by_picture(ls_matching *m, size_t from, lockstep_error *error) {
    const ls_side *r = &m->in->reference, *c = &m->in->candidate;
    for (size_t k = 0; k < m->tokens.pair_count; k++) {
        const size_t candidate = find_picture(c->trace, &c->values, m->tokens.pairs[k].candidate);
        const size_t reference = candidate != LS_NONE && candidate >= from ? find_picture(r->trace, &r->values, m->tokens.pairs[k].reference) : LS_NONE;
        if (reference != LS_NONE)
            LS_TRY(ls_matching_add(m, &(ls_pair){.pass_pair = k, .reference = reference, .candidate = candidate, .method = LS_METHOD_PICTURE}, error));
    }
    return LOCKSTEP_OK;
}
