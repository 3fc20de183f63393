#include "replay/replayer.h"

#include <math.h>
#include <string.h>

#include "base/grow.h"
#include "eval/sampling.h"

typedef struct ls_alteration alteration;

/* An alteration, and of which variants. */
typedef struct experiment {
    alteration altered;
    size_t variants[LS_TOGETHER], k[LS_TOGETHER], together;
} experiment;

/* Of each variant, those that leave least, but too much: each may be one of two causes. */
enum { HALVES = 16, HALVES_OF_VARIANT = 2 };
typedef struct halves {
    experiment items[HALVES];
    double left[HALVES];
    size_t count;
} halves;

static void copy(const experiment *from, experiment *out) {
    *out = *from;
    ls_alteration_copy(&from->altered, &out->altered);
}

/* ------------------------------------------------------------------ one experiment */

/* How far the operation at fault is from the reference's values, where an operation of its region is computed in another way. */
static bool measure_region(ls_replayer *w, size_t node, size_t at, ls_local_error *out) {
    ls_array altered, computed;
    double *scale = NULL;
    const char *reason;
    if (!ls_replayer_compute(w, at, false, &altered, NULL, &reason))
        return false;
    ls_replayer_try(w, at, &altered);
    bool ok = ls_replayer_compute(w, node, false, &computed, &scale, &reason);
    ls_replayer_untry(w);
    if (ok) {
        ok = ls_replayer_measure(w, node, &computed, scale, out);
        free(scale);
        ls_array_release(&computed);
    }
    ls_array_release(&altered);
    return ok;
}

/* The ids of the variants, with a plus in between. */
static const char *rule_of(ls_replayer *w, const experiment *x) {
    return x->together == 1 ? ls_replay_rule(x->variants[0]) : ls_arena_printf(w->arena, "%s+%s", ls_replay_rule(x->variants[0]), ls_replay_rule(x->variants[1]));
}

static const char *text_of(ls_replayer *w, const alteration *a, const ls_replayed *item) {
    return a->at == item->node ? ls_arena_copy(w->arena, a->text, strlen(a->text)) : ls_arena_printf(w->arena, "%s in %s", a->text, a->node.op);
}

static void keep_trial(ls_replayer *w, const experiment *x, const ls_local_error *left, bool explains, const ls_replayed *item) {
    ls_trials *t = w->trials;
    void *items = t->items;
    if (t->node != item->node || !ls_grow(&items, t->count, &t->capacity, sizeof *t->items))
        return;
    t->items = items;
    t->items[t->count++] = (ls_trial){rule_of(w, x), text_of(w, &x->altered, item), left->error, explains};
}

static void keep_half(const experiment *x, double left, halves *out) {
    size_t same = 0, worst = SIZE_MAX;
    for (size_t i = 0; i < out->count; i++) {
        const bool is_same = out->items[i].variants[0] == x->variants[0];
        same += is_same;
        worst = is_same && (worst == SIZE_MAX || out->left[i] > out->left[worst]) ? i : worst;
    }
    const bool is_room = same < HALVES_OF_VARIANT && out->count < HALVES;
    const size_t at = is_room ? out->count++ : worst;
    if (at == SIZE_MAX || (!is_room && out->left[at] <= left))
        return;
    out->left[at] = left;
    copy(x, &out->items[at]);
}

/* The operation, or its region, as an alteration has it gives the reference's values, and better than what was found before. */
static bool make(ls_replayer *w, const experiment *x, ls_replayed *item, halves *out_halves) {
    const alteration *a = &x->altered;
    ls_local_error left = {0};
    w->altered = a;
    const bool is_known = a->at == item->node ? ls_replayer_local_error(w, a->at, &left) : measure_region(w, item->node, a->at, &left);
    w->altered = NULL;
    const bool explains = is_known && !ls_local_error_is_fault(&left);
    if (is_known)
        keep_trial(w, x, &left, explains, item);
    if (is_known && !explains && out_halves != NULL)
        keep_half(x, left.error, out_halves);
    if (!explains || (item->rule != NULL && !(left.error < 0.5 * item->left)))
        return false;
    const char *rule = rule_of(w, x), *text = text_of(w, a, item);
    if (rule == NULL || text == NULL)
        return false;
    item->rule = rule;
    item->instead = text;
    item->left = left.error;
    return true;
}

/* ------------------------------------------------------------------ all of them */

/* Adds the k-th alteration of a variant to an experiment. */
static bool add(const experiment *to, size_t variant, size_t k, experiment *out) {
    copy(to, out);
    if (!ls_alteration_add(variant, k, &out->altered))
        return false;
    out->variants[out->together] = variant;
    out->k[out->together++] = k;
    return true;
}

static experiment nothing_altered(const ls_replayer *w, size_t node) { return (experiment){.altered = {.at = node, .node = w->candidate->nodes[node], .nodes = w->candidate->nodes}}; }

/* What explained one operation of a kind explains the others, and what did not explain several need not be tried again. */
static ls_experience *experience_of(ls_replayer *w, size_t node) {
    const ls_op_id id = w->candidate->nodes[node].kind->id;
    for (size_t i = 0; i < w->experience_count; i++)
        if (w->experiences[i].id == id)
            return &w->experiences[i];
    if (w->experience_count == LS_EXPERIENCES)
        return NULL;
    w->experiences[w->experience_count] = (ls_experience){.id = id};
    return &w->experiences[w->experience_count++];
}

static void learn(ls_experience *e, const experiment *x) {
    if (e == NULL)
        return;
    e->explains = true;
    e->together = x->together;
    memcpy(e->variants, x->variants, sizeof e->variants);
    memcpy(e->k, x->k, sizeof e->k);
}

static bool try_known(ls_replayer *w, const ls_experience *e, size_t at, ls_replayed *item) {
    experiment x = nothing_altered(w, at), next;
    for (size_t i = 0; e != NULL && i < e->together; i++) {
        if (!add(&x, e->variants[i], e->k[i], &next))
            return false;
        copy(&next, &x);
    }
    return e != NULL && e->explains && make(w, &x, item, NULL);
}

/* Every alteration, on top of what an experiment has altered already. */
static void try_all(ls_replayer *w, const experiment *from, ls_experience *e, ls_replayed *item, halves *out_halves) {
    experiment x;
    for (size_t v = 0; ls_replay_rule(v) != NULL; v++)
        for (size_t k = 0; (from->together == 0 || v != from->variants[0]) && add(from, v, k, &x); k++)
            if (!x.altered.is_void && make(w, &x, item, out_halves))
                learn(e, &x);
}

static bool is_to_explain(const ls_replayer *w, const ls_replayed *item) {
    const ls_node *node = &w->candidate->nodes[item->node], *partner = item->partner != LS_NONE ? &w->partners.trace->nodes[item->partner] : NULL;
    return w->explain != NULL && w->trials->node == LS_NONE && (w->explain[0] == '\0' || ls_node_is_called(node, w->explain) || (partner != NULL && ls_node_is_called(partner, w->explain)));
}

/* Experiments with two alterations are many: only where the operation is a small one. */
static bool is_worth_two(const ls_replayer *w, size_t node) {
    const double most = 0x1p23; /* multiplications */
    const ls_node *n = &w->candidate->nodes[node];
    return fmax(ls_eval_cost(w->candidate, n), (double)n->elements) < most;
}

static void vary_at(ls_replayer *w, size_t at, ls_replayed *item) {
    enum { FAILURES = 8, FAILURES_OF_TWO = 2 };
    const bool all = w->trials->node == item->node;
    ls_experience *e = experience_of(w, at);
    halves h = {0};
    if (!all && (try_known(w, e, at, item) || (e != NULL && e->failures >= FAILURES)))
        return;
    const experiment nothing = nothing_altered(w, at);
    try_all(w, &nothing, e, item, &h);
    const bool two = item->rule == NULL && (all || ((e == NULL || e->failures < FAILURES_OF_TWO) && is_worth_two(w, at)));
    for (size_t i = 0; i < h.count && two; i++)
        try_all(w, &h.items[i], e, item, NULL);
    if (e != NULL && item->rule == NULL)
        e->failures++;
}

void ls_replayer_vary(ls_replayer *w, ls_replayed *item) {
    if (is_to_explain(w, item))
        w->trials->node = item->node;
    vary_at(w, item->node, item);
    for (size_t i = 0; i < item->region_count && item->rule == NULL; i++)
        vary_at(w, item->region[i], item);
}
