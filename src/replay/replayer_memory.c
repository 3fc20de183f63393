/* Which values a replay still needs. */
#include "replay/replayer.h"

#define HELD_MAX ((uint64_t)1 << 25) /* elements */

/* Found, right, and computed from nothing that is open: nothing will be tried here again. */
static bool is_settled(const ls_replayer *w, size_t node) {
    size_t region[LS_REPLAYER_REGION];
    const ls_step *s = &w->steps[node];
    return s->partner != LS_NONE && s->means == LS_REPLAY_BY_VALUE && s->is_measured && !ls_local_error_is_fault(&s->local) &&
           ls_replayer_region(w, node, region, LS_REPLAYER_REGION) == 0;
}

/* Whether all that reads a node is settled, too. */
static bool is_read(const ls_replayer *w, size_t node, size_t now, int *looks) {
    if (--*looks < 0)
        return false;
    for (size_t k = w->first_consumer[node]; k < w->first_consumer[node + 1]; k++) {
        const size_t c = w->consumers[k];
        const ls_node *n = &w->candidate->nodes[c];
        const bool done = n->role == LOCKSTEP_ROLE_VIEW ? is_read(w, c, now, looks) : c <= now && (n->role == LOCKSTEP_ROLE_WRITE || ls_node_is_integer(n) || is_settled(w, c));
        if (!done)
            return false;
    }
    return true;
}

void ls_replayer_release_oldest(ls_replayer *w, size_t pass, size_t now) {
    for (; w->held > HELD_MAX && w->oldest < now; w->oldest++) {
        int looks = LS_REPLAYER_VIEWS;
        ls_step *s = &w->steps[w->oldest];
        const ls_node *n = &w->candidate->nodes[w->oldest];
        if (n->pass != pass || n->role == LOCKSTEP_ROLE_WRITE || s->value.values == NULL || w->is_handed_on[w->oldest] || !is_settled(w, w->oldest) || !is_read(w, w->oldest, now, &looks))
            continue;
        ls_array_release(&s->value);
        w->held -= n->elements;
    }
}

void ls_replayer_release_writes(ls_replayer *w, size_t write) {
    ls_cache_writes *c = w->cache_of[write] != LS_NONE ? &w->caches[w->cache_of[write]] : NULL;
    for (; c != NULL && c->released < c->count && c->nodes[c->released] < write; c->released++)
        ls_array_release(&w->steps[c->nodes[c->released]].value);
}

void ls_replayer_release_pass(ls_replayer *w, size_t pass) {
    for (size_t i = ls_replayer_first(w, pass); i < w->last_node[pass]; i++) {
        const ls_node *n = &w->candidate->nodes[i];
        ls_step *s = &w->steps[i];
        if (n->pass != pass)
            continue;
        ls_array_release(&s->moved);
        ls_array_release(&s->computed);
        if (n->role == LOCKSTEP_ROLE_WRITE)
            ls_replayer_release_writes(w, i);
        else if (!w->is_handed_on[i])
            ls_array_release(&s->value);
        s->roots = NULL;
        s->root_count = 0;
        w->orders[i] = NULL;
    }
    ls_arena_done(&w->scratch);
}
