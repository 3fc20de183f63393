/* The pictures that both sides' models are given: they correspond whatever they are called, and whatever was done to them before. */
#include "match/matching.h"
#include "match/picture_node.h"

static bool is_picture(const ls_side *s, size_t node) {
    const ls_node *n = &s->trace->nodes[node];
    return n->pass != LS_NONE && s->values.value_of[node] == node && ls_node_is_picture(n) && ls_node_has_values(n);
}

/* The only one of a pass; LS_NONE where there are none, or several. */
static size_t find_picture(const ls_side *s, size_t pass) {
    const ls_pass *p = &s->trace->passes[pass];
    const bool is_range_known = s->trace->is_graph && p->first_node != LS_NONE;
    const size_t first = is_range_known ? p->first_node : 0, end = is_range_known ? p->end_node : s->trace->node_count;
    size_t found = LS_NONE;
    for (size_t i = first; i < end && i < s->trace->node_count; i++) {
        if (s->trace->nodes[i].pass != pass || !is_picture(s, i))
            continue;
        if (found != LS_NONE)
            return LS_NONE;
        found = i;
    }
    return found;
}

lockstep_status ls_match_by_picture(ls_matching *m, size_t from, lockstep_error *error) {
    const ls_side *candidate = &m->in->candidate;
    const ls_token_alignment *tokens = &m->tokens;
    for (size_t i = from; i < candidate->trace->node_count; i++) {
        const size_t pass = candidate->trace->nodes[i].pass;
        if (!is_picture(candidate, i) || find_picture(candidate, pass) != i)
            continue;
        for (size_t k = ls_token_alignment_from(tokens, pass); k < tokens->pair_count && tokens->pairs[k].candidate == pass; k++) {
            const size_t reference = find_picture(&m->in->reference, tokens->pairs[k].reference);
            if (reference != LS_NONE)
                LS_TRY(ls_matching_add(m, &(ls_pair){.pass_pair = k, .reference = reference, .candidate = i, .method = LS_METHOD_PICTURE}, error));
        }
    }
    return LOCKSTEP_OK;
}
