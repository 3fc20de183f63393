/* The ends of passes: what the two graphs compute last is the same, whatever was found before it. */
#include "replay/joint.h"
#include "replay/replayer.h"

/* Of a pass over a picture: what the reference joins with what it has computed from tokens. */
static size_t handed_on_by_reference(const ls_replayer *w, size_t node) {
    const ls_pass_pair *pp = &w->m->tokens.pairs[w->pass_pair];
    const ls_node *n = &w->candidate->nodes[node];
    const uint64_t pictures = pp->reference_items > 0 ? pp->reference_items : 1, own = pp->candidate_items > 0 ? pp->candidate_items : 1;
    for (size_t i = ls_replayer_first(w, n->pass); i < node; i++) {
        const size_t pair = w->candidate->nodes[i].pass == n->pass ? w->m->pair_of[i] : 0;
        if (pair != 0 && w->m->pairs->items[pair - 1].method == LS_METHOD_INPUT)
            return ls_joint_below(&w->partners, w->m->pairs->items[pair - 1].reference, n->elements / own * pictures);
    }
    return LS_NONE;
}

/* The end of the reference's pass. Without a graph, it is the only tensor left that can be the end of the candidate's. */
static size_t end_of_reference(const ls_replayer *w, size_t node) {
    if (ls_replayer_is_silent(w))
        return w->is_handed_on[node] && w->partners.has_edges ? handed_on_by_reference(w, node) : LS_NONE;
    return w->partners.is_set ? ls_replayer_only_lost(w, node) : w->m->reference_outputs[w->m->tokens.pairs[w->pass_pair].reference];
}

void ls_replayer_pair_ends(ls_replayer *w, size_t pass) {
    const size_t last = w->m->facts[pass].output, partner = last > 0 ? end_of_reference(w, last - 1) : LS_NONE;
    ls_sightings possible;
    if (last == 0 || partner == LS_NONE || !w->partners.is_value[partner])
        return;
    const size_t node = last - 1;
    if (!w->steps[node].is_open || w->steps[node].value.values == NULL || !(ls_partners_norm(&w->partners, partner) > 0))
        return;
    ls_replayer_lay_out(w, node, partner, &possible);
    if (possible.count > 0)
        ls_replayer_settle(w, node, &possible.items[0], LS_REPLAY_BY_END);
    ls_sightings_release(&possible);
}
