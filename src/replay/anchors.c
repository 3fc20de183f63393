/* Of a reference without a graph: which tensor belongs to which operation behind a fault. Where weights are rounded, everything behind a
 * fault is only similar to the reference's tensors, and so is what the next layer computes. A tensor is an operation's if, with it in the
 * operation's place, what is computed next is in the folder, too, far more exactly than without it. */
#include <math.h>
#include <stdlib.h>

#include "eval/sampling.h"
#include "replay/replayer.h"

enum { GUESSES = 4096, FREE = 512, PLACES = 6, LOOKS = 16, WITNESSES = 4 }; /* places: of a tensor; looks: at possible witnesses of a guess */
#define RELATED 0.9   /* relative L2 of tensors that have something in common, at most */
#define DECISIVE 0.6  /* of the relative L2 without the guess: what chance and similar layers do not give */
#define EXACT 1e-2    /* relative L2: less says no more */
#define AS_GOOD 0.5   /* of the best guess's weight: an earlier one that explains so much is the one */

/* A tensor for an operation's result. */
typedef struct guess {
    size_t node, partner;
    double error;  /* relative L2 of what was computed */
    double weight; /* what speaks for it: log of how much more exactly what follows is found */
} guess;

/* All for a pass, in the order of the nodes. */
typedef struct guesses {
    guess *items;
    size_t count, pass;
} guesses;

static bool is_replayed(const ls_replayer *w, size_t node, size_t pass) {
    const ls_node *n = &w->candidate->nodes[node];
    const ls_step *s = &w->steps[node];
    return n->pass == pass && ls_node_is_operation(n) && !ls_node_is_integer(n) && s->is_open && s->partner == LS_NONE && s->value.values != NULL;
}

/* The tensors that stand for nothing and have a size of the node's. */
static size_t list_free(const ls_replayer *w, size_t node, ls_reach out[FREE]) {
    uint64_t sizes[LS_SIZES];
    size_t all = 0, count = 0;
    for (size_t i = 0, n = ls_replayer_sizes(w, node, sizes); i < n && all < FREE; i++)
        all += ls_partners_of_size(&w->partners, sizes[i], 0, INFINITY, out + all, FREE - all);
    for (size_t i = 0; i < all; i++)
        if (w->taken[w->partners.alike[out[i].node]] == LS_NONE)
            out[count++] = out[i];
    return count;
}

static void list_guesses(ls_replayer *w, guesses *out) {
    ls_reach near[FREE];
    for (size_t i = ls_replayer_first(w, out->pass); i < w->last_node[out->pass]; i++) {
        if (!is_replayed(w, i, out->pass) || !ls_replayer_proves(&w->steps[i].value))
            continue;
        for (size_t k = list_free(w, i, near); k > 0 && out->count < GUESSES; k--) {
            const double error = ls_replayer_unlikeness(w, i, &w->steps[i].value, near[k - 1].node);
            if (error < RELATED)
                out->items[out->count++] = (guess){.node = i, .partner = near[k - 1].node, .error = error};
        }
    }
}

/* Whether its place is one of those that are most like the tensor. */
static bool is_likely(const guesses *all, const guess *g) {
    size_t better = 0;
    for (size_t i = 0; i < all->count; i++)
        better += all->items[i].partner == g->partner && all->items[i].error < g->error;
    return better < PLACES;
}

/* ------------------------------------------------------------------ what speaks for a guess */

static bool is_within_rounding(ls_replayer *w, const guess *g, const ls_array *value, size_t node, const ls_array *computed, double error) {
    ls_array moved = {0};
    ls_replayer_untry(w);
    ls_replayer_try(w, g->node, value);
    ls_replayer_compute_moved(w, node, NULL, &moved);
    const bool within = error <= ls_replayer_tolerance(w, node, computed, &moved);
    ls_array_release(&moved);
    ls_replayer_untry(w);
    ls_replayer_try(w, g->node, value);
    return within;
}

/* How much more exactly a node's result is one of the tensors that are like it, `own[0]` … `own[count - 1]`, with the guess than without;
 * 0 where it is not. */
static double testimony(ls_replayer *w, const guess *g, const ls_array *value, const guess *own, size_t count) {
    const size_t node = own->node;
    ls_array computed;
    const char *reason;
    double best = INFINITY, before = INFINITY;
    if (!ls_replayer_compute(w, node, false, &computed, NULL, &reason))
        return 0;
    for (size_t i = 0; i < count; i++) {
        const double error = own[i].partner != g->partner ? ls_replayer_unlikeness(w, node, &computed, own[i].partner) : INFINITY;
        before = error < best ? own[i].error : before;
        best = fmin(best, error);
    }
    const bool found = best < DECISIVE * before && is_within_rounding(w, g, value, node, &computed, best);
    ls_array_release(&computed);
    return found ? log(before / fmax(best, EXACT)) : 0;
}

static size_t count_of_node(const guesses *all, size_t at) {
    size_t count = 1;
    while (at + count < all->count && all->items[at + count].node == all->items[at].node)
        count++;
    return count;
}

static double weigh_value(ls_replayer *w, guesses *all, const guess *g, const ls_array *value) {
    double weight = 0;
    int looks = LOOKS, witnesses = WITNESSES;
    ls_replayer_try(w, g->node, value);
    for (size_t i = (size_t)(g - all->items), n; i < all->count && w->guesses_left > 0 && looks > 0 && witnesses > 0; i += n) {
        const size_t node = all->items[i].node;
        n = count_of_node(all, i);
        if (node == g->node || !ls_replayer_depends(w, node) || !ls_replayer_is_anchored_behind(w, node, g->node))
            continue;
        const double own = testimony(w, g, value, &all->items[i], n);
        weight += fmax(own, 0);
        witnesses -= own > 0;
        w->guesses_left -= 2 * (ls_eval_cost(w->candidate, &w->candidate->nodes[node]) + (double)w->candidate->nodes[node].elements); /* what is between, too */
        looks--;
    }
    ls_replayer_untry(w);
    return weight;
}

static double weigh(ls_replayer *w, guesses *all, const guess *g) {
    ls_sightings possible;
    double best = 0;
    ls_replayer_lay_out(w, g->node, g->partner, &possible);
    for (size_t i = 0; i < possible.count; i++)
        best = fmax(best, weigh_value(w, all, g, &possible.items[i].value));
    ls_sightings_release(&possible);
    return best;
}

/* The first that explains about as much as any. A tensor has one place: the one for which most speaks. */
static const guess *choose(const guesses *all) {
    const guess *g = all->items, *chosen = NULL;
    double most = 0;
    for (size_t i = 0; i < all->count; i++)
        most = fmax(most, g[i].weight);
    for (size_t i = 0; i < all->count && chosen == NULL && most > 0; i++) {
        bool best = g[i].weight >= AS_GOOD * most;
        for (size_t k = 0; k < all->count && best; k++)
            best = g[k].partner != g[i].partner || g[k].weight <= g[i].weight;
        chosen = best ? &g[i] : NULL;
    }
    return chosen;
}

bool ls_replayer_anchor(ls_replayer *w, size_t pass) {
    guesses all = {.items = calloc(GUESSES, sizeof *all.items), .pass = pass};
    if (all.items != NULL)
        list_guesses(w, &all);
    for (size_t i = 0; i < all.count; i++)
        all.items[i].weight = is_likely(&all, &all.items[i]) ? weigh(w, &all, &all.items[i]) : 0;
    const guess *chosen = choose(&all);
    if (chosen != NULL)
        w->anchors[chosen->node] = chosen->partner;
    free(all.items);
    return chosen != NULL;
}
