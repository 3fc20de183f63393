/* Pairs what the two programs were given: pixels, a spectrogram. An input has the only one of its size for a partner; and pictures
 * correspond whatever they are called, and whatever was done to them before. */
#include <stdlib.h>
#include <string.h>

#include "match/matching.h"
#include "match/picture_node.h"

enum { FEWEST = 64 /* elements: less may be a constant */ };

/* Masks and positions are each engine's own. */
static bool is_data(const ls_node *n) {
    return ls_node_is_given_float(n) && ls_node_has_values(n) && n->elements >= FEWEST && strstr(n->name, "mask") == NULL && strstr(n->name, "pos") == NULL;
}

/* The axes that are longer than 1, in ascending order. `items`: the outermost are so many pictures, of which one counts. */
static int axes_of(const ls_node *n, size_t items, uint64_t *axes) {
    int count = 0;
    for (int i = items > 1 && n->rank > 0 && n->shape[0] == items; i < n->rank; i++) {
        int at = count;
        if (n->shape[i] == 1)
            continue;
        for (; at > 0 && axes[at - 1] > n->shape[i]; at--)
            axes[at] = axes[at - 1];
        axes[at] = n->shape[i];
        count++;
    }
    return count;
}

/* What an input has to be like. */
typedef struct wanted {
    uint64_t axes[LOCKSTEP_MAX_RANK];
    int count;
} wanted;

static wanted wanted_of(const ls_node *n, size_t items) {
    wanted w;
    w.count = axes_of(n, items, w.axes);
    return w;
}

/* The only input of a pass with such axes; LS_NONE. */
static size_t only_one(const ls_trace *t, size_t pass, size_t items, const wanted *like) {
    size_t found = LS_NONE;
    const ls_pass *p = &t->passes[pass];
    for (size_t i = p->first_node; p->first_node != LS_NONE && i < p->end_node && i < t->node_count; i++) {
        if (t->nodes[i].pass != pass || !is_data(&t->nodes[i]))
            continue;
        const wanted own = wanted_of(&t->nodes[i], items);
        if (own.count != like->count || memcmp(own.axes, like->axes, (size_t)own.count * sizeof *own.axes) != 0)
            continue;
        if (found != LS_NONE)
            return LS_NONE;
        found = i;
    }
    return found;
}

/* In files, what looks like a picture may have any name. */
static bool is_picture_of(const ls_trace *t, const ls_node *n) { return ls_node_is_picture(n) || (!t->is_graph && ls_node_may_be_picture(n)); }

/* The only picture of a pass; LS_NONE where there are none, or several. */
static size_t only_picture(const ls_side *s, size_t pass) {
    const ls_pass *p = &s->trace->passes[pass];
    const bool is_range_known = s->trace->is_graph && p->first_node != LS_NONE;
    const size_t first = is_range_known ? p->first_node : 0, end = is_range_known ? p->end_node : s->trace->node_count;
    size_t found = LS_NONE;
    for (size_t i = first; i < end && i < s->trace->node_count; i++) {
        const ls_node *n = &s->trace->nodes[i];
        if (n->pass != pass || s->values.value_of[i] != i || !is_picture_of(s->trace, n) || !ls_node_has_values(n))
            continue;
        if (found != LS_NONE)
            return LS_NONE;
        found = i;
    }
    return found;
}

/* The reference's input for one of the candidate's; LS_NONE. */
static size_t partner_of(const ls_matching *m, const ls_pass_pair *pp, size_t candidate) {
    const ls_side *r = &m->in->reference, *c = &m->in->candidate;
    const ls_node *n = &c->trace->nodes[candidate];
    const wanted like = wanted_of(n, pp->candidate_items);
    const bool graphs = r->trace->is_graph && c->trace->is_graph && is_data(n) && like.count >= 2;
    const size_t found = graphs && only_one(c->trace, n->pass, pp->candidate_items, &like) == candidate ? only_one(r->trace, pp->reference, pp->reference_items, &like) : LS_NONE;
    if (found != LS_NONE && (pp->reference_items > 1 || !m->reference_used[r->values.value_of[found]]))
        return found;
    return is_picture_of(c->trace, n) && only_picture(c, n->pass) == candidate ? only_picture(r, pp->reference) : LS_NONE;
}

lockstep_status ls_match_given(ls_matching *m, size_t from, lockstep_error *error) {
    const ls_trace *c = m->in->candidate.trace;
    const ls_token_alignment *tokens = &m->tokens;
    for (size_t i = from; i < c->node_count; i++) {
        const ls_node *n = &c->nodes[i];
        if (n->pass >= c->pass_count || (!is_data(n) && !is_picture_of(c, n)))
            continue;
        for (size_t k = ls_token_alignment_from(tokens, n->pass); k < tokens->pair_count && tokens->pairs[k].candidate == n->pass; k++) {
            const size_t reference = partner_of(m, &tokens->pairs[k], i);
            if (reference != LS_NONE)
                LS_TRY(ls_matching_add(m, &(ls_pair){.pass_pair = k, .reference = reference, .candidate = i, .method = LS_METHOD_INPUT}, error));
        }
    }
    return LOCKSTEP_OK;
}
