/* Of a reference without a graph: a pass is walked again where the first walk shows that a tensor was taken for the wrong operation's result, or for
 * none. */
#include "eval/sampling.h"
#include "replay/replayer.h"

#include <string.h>

enum { FAULTS = 8 /* of a pass, behind which the tensors are found again */ };

/* Forgets what its nodes stand for, but not what was learned. */
static void rewind_pass(ls_replayer *w, size_t pass) {
    for (size_t i = ls_replayer_first(w, pass); i < w->last_node[pass]; i++) {
        ls_step *s = &w->steps[i];
        if (w->candidate->nodes[i].pass != pass)
            continue;
        ls_array_release(&s->value);
        ls_array_release(&s->computed);
        ls_array_release(&s->moved);
        *s = (ls_step){.partner = LS_NONE, .likeness = LS_NONE};
        w->orders[i] = NULL;
    }
    for (size_t i = 0; i < w->cache_count; i++)
        w->caches[i].released = 0;
    memset(w->partners.is_seen, 0, w->partners.trace->node_count * sizeof *w->partners.is_seen);
}

/* Whether a pass can be walked again for a guess, which is paid for. Without rounded weights, what is right is found exactly, and there is nothing
 * to guess. */
static bool can_walk_again(ls_replayer *w, size_t pass) {
    double cost = 0;
    bool rounded = false;
    for (size_t i = ls_replayer_first(w, pass); i < w->last_node[pass]; i++)
        if (w->candidate->nodes[i].pass == pass && ls_node_is_operation(&w->candidate->nodes[i])) {
            cost += ls_eval_cost(w->candidate, &w->candidate->nodes[i]) + (double)w->candidate->nodes[i].elements;
            rounded = rounded || w->steps[i].moved.values != NULL;
        }
    w->guesses_left -= cost;
    return rounded && w->guesses_left > 0;
}

/* A node that was found by its value, although more than the rounding of its region is left. */
static size_t find_doubtful(ls_replayer *w, size_t pass) {
    for (size_t i = ls_replayer_first(w, pass); i < w->last_node[pass]; i++) {
        const ls_step *s = &w->steps[i];
        if (w->candidate->nodes[i].pass == pass && s->partner != LS_NONE && s->means == LS_REPLAY_BY_VALUE && w->places[s->partner] == LS_NONE &&
            ls_replayer_has_rounded_region(w, i) && ls_replayer_is_at_fault(w, i))
            return i;
    }
    return LS_NONE;
}

/* The node that a tensor is most like, where all is computed without it: another one than `node` only if that is clearly less like it. */
static size_t best_place(ls_replayer *w, size_t pass, size_t partner, size_t node) {
    const double clearly = 0.7;
    double least = w->steps[node].value.values != NULL ? clearly * ls_replayer_unlikeness(w, node, &w->steps[node].value, partner) : 0;
    size_t best = node;
    for (size_t i = ls_replayer_first(w, pass); i < w->last_node[pass]; i++) {
        const ls_node *n = &w->candidate->nodes[i];
        if (i == node || n->pass != pass || !ls_node_is_operation(n) || ls_node_is_integer(n) || !w->steps[i].is_open || w->steps[i].value.values == NULL)
            continue;
        const double error = ls_replayer_unlikeness(w, i, &w->steps[i].value, partner);
        if (error < least) {
            least = error;
            best = i;
        }
    }
    return best;
}

/* Layers change little, and rounding that has added up is large: a tensor may be found as an earlier layer's result. Where that leaves a
 * fault, it is given to the node that is most like it without it. */
static void give_to_best(ls_replayer *w, size_t pass) {
    for (int moves = 0; moves < FAULTS && can_walk_again(w, pass); moves++) {
        const size_t node = find_doubtful(w, pass), partner = node != LS_NONE ? w->steps[node].partner : LS_NONE;
        if (node == LS_NONE)
            return;
        w->places[partner] = w->candidate->node_count;
        rewind_pass(w, pass);
        ls_replayer_walk(w, pass);
        const size_t best = best_place(w, pass, partner, node);
        w->places[partner] = best;
        w->anchors[best] = best != node ? partner : w->anchors[best];
        rewind_pass(w, pass);
        ls_replayer_walk(w, pass);
    }
}

void ls_replayer_walk_again(ls_replayer *w, size_t pass) {
    for (int faults = 0; faults < FAULTS && can_walk_again(w, pass) && ls_replayer_anchor(w, pass); faults++) {
        rewind_pass(w, pass);
        ls_replayer_walk(w, pass);
    }
    give_to_best(w, pass);
}
