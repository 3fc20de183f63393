/* Pairs what the two programs were given: pixels, a spectrogram. An input that has the only one of its size for a partner is that. */
#include <stdlib.h>
#include <string.h>

#include "match/matching.h"

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

lockstep_status ls_match_given(ls_matching *m, size_t from, lockstep_error *error) {
    const ls_trace *r = m->in->reference.trace, *c = m->in->candidate.trace;
    const ls_token_alignment *tokens = &m->tokens;
    for (size_t i = from; i < c->node_count && r->is_graph && c->is_graph; i++) {
        const ls_node *n = &c->nodes[i];
        if (!is_data(n) || n->pass >= c->pass_count)
            continue;
        for (size_t k = ls_token_alignment_from(tokens, n->pass); k < tokens->pair_count && tokens->pairs[k].candidate == n->pass; k++) {
            const ls_pass_pair *pp = &tokens->pairs[k];
            const wanted like = wanted_of(n, pp->candidate_items);
            const size_t reference = like.count >= 2 ? only_one(r, pp->reference, pp->reference_items, &like) : LS_NONE;
            const bool is_free = reference != LS_NONE && (pp->reference_items > 1 || !m->reference_used[m->in->reference.values.value_of[reference]]);
            if (is_free && only_one(c, n->pass, pp->candidate_items, &like) == i)
                LS_TRY(ls_matching_add(m, &(ls_pair){.pass_pair = k, .reference = reference, .candidate = i, .method = LS_METHOD_INPUT}, error));
        }
    }
    return LOCKSTEP_OK;
}
