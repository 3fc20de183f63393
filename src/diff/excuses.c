#include "diff/excuses.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIBLINGS_ALIKE = 2 }; /* the errors of siblings are within this factor of one another */
#define COARSE 1e-2          /* tolerance of q8 and coarser types */
#define LOOKS_ALIKE 0.9      /* cosine below which two tensors are not the same thing */

/* ------------------------------------------------------------------ what descendants show */

/* What the nearest paired descendants of a node show of a fault at the node. A passing one shows a
 * fault only if it would have failed with it: not where its own tolerance is as wide, nor where it is
 * a constant; and behind a sum, whose other term may be so large that the fault is lost in it, only a
 * difference of more than `room` would have been seen. */
typedef struct below {
    bool passes, fails;
    bool shows;   /* some path leads to a passing one without a sum */
    double limit, all_limits; /* the least relative error that one, or each, of these would have shown */
    bool sums;    /* a sum lies between, and nothing that changes the size of a difference */
    double room, all_rooms;   /* the least |d|_2 that would be seen after one such sum, or each */
    bool hides;   /* some path leads to one that would have shown nothing */
} below;

/* Multiplies its inputs, so that no term can hide the other. Whatever else has several computed
 * sources may add, join or choose. */
static bool multiplies(const ls_node *n) { return (n->kind->traits & LS_OP_MULTIPLIES) != 0; }

static bool is_sum(const ls_trace *t, const ls_node *n) {
    size_t computed = 0;
    for (size_t k = 0; k < n->source_count; k++)
        computed += ls_node_carries(&t->nodes[n->sources[k]]);
    return computed >= 2 && n->role != LOCKSTEP_ROLE_VIEW && !multiplies(n);
}

/* Shows all elements of its source, or adds a weight to it: a difference keeps its size. */
static bool keeps_size(const ls_node *n) {
    return n->role == LOCKSTEP_ROLE_VIEW || n->alias_of != LS_NONE || n->kind->role == LS_OP_ROLE_SUM || n->kind->role == LS_OP_ROLE_COPY;
}

static void join(below *into, const below *b) {
    into->passes = into->passes || b->passes;
    into->fails = into->fails || b->fails;
    if (b->shows) {
        into->limit = into->shows && into->limit < b->limit ? into->limit : b->limit;
        into->all_limits = fmax(into->all_limits, b->all_limits);
        into->shows = true;
    }
    if (b->sums) {
        into->room = into->sums && into->room < b->room ? into->room : b->room;
        into->all_rooms = fmax(into->all_rooms, b->all_rooms);
        into->sums = true;
    }
    into->hides = into->hides || b->hides;
}

/* What a pair that was judged shows of a fault in its sources. */
static below shown_by_pair(const ls_pair *pair, const ls_mark *mark, bool sum) {
    bool ok = !ls_mark_fails(mark), constant = !(pair->metrics.reference.std > 0);
    double limit = fmax(mark->tolerance, 10 * pair->metrics.rel_l2), room = mark->tolerance * pair->metrics.reference.l2;
    return (below){.passes = ok, .fails = !ok, .shows = ok && !sum && !constant, .sums = ok && sum, .hides = ok && constant && !sum,
                   .limit = limit, .all_limits = ok && !sum ? limit : 0, .room = room, .all_rooms = ok && sum ? room : 0};
}

/* What a node's sources see of it, and of what comes after it. */
static below seen_through(const ls_walk *w, size_t node, size_t pair, const below *own) {
    const ls_node *n = &w->graph->nodes[node];
    const ls_mark *mark = pair != 0 ? &w->marks[pair - 1] : NULL;
    bool sum = is_sum(w->graph, n), ok = mark != NULL && !ls_mark_fails(mark);
    if (mark != NULL && mark->verdict != LS_VERDICT_EXPLAINED)
        return shown_by_pair(&w->diff->pairs.items[pair - 1], mark, sum);
    below b = *own;
    b.passes = b.passes || ok; /* an explained pair shows what comes after it shows */
    b.hides = b.hides || (b.shows && sum) || (b.sums && !keeps_size(n));
    b.shows = b.shows && !sum;
    b.sums = b.sums && keeps_size(n);
    return b;
}

/* ------------------------------------------------------------------ rounding */

/* The relative error that reaches each node from its nearest paired ancestors: independent errors
 * add in quadrature. */
static void spread_errors(const ls_walk *w, double *inherited) {
    const ls_trace *t = w->graph;
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        double sum = 0;
        for (size_t k = 0; k <= n->source_count; k++) {
            size_t source = ls_node_input(n, k), pair = source != LS_NONE ? ls_walk_pair(w, source) : 0;
            if (source == LS_NONE)
                continue;
            double e = inherited[source];
            if (pair != 0) {
                double own = w->diff->pairs.items[pair - 1].metrics.rel_l2;
                e = w->marks[pair - 1].verdict < LS_VERDICT_SHAPE && isfinite(own) ? own : 0;
            }
            sum += e * e;
        }
        inherited[i] = sqrt(sum);
    }
}

/* By which factor an operation may enlarge the rounding of its inputs: products of rounded values with
 * each other (scores, attention, a gate) cancel more than products with weights. */
static double amplification(const ls_diff *d, const ls_pair *p) {
    const ls_node *nodes = d->in.candidate.trace->nodes, *n = &nodes[p->candidate_value];
    size_t computed = 0;
    for (size_t k = 0; k < n->source_count; k++) {
        lockstep_role role = nodes[n->sources[k]].role;
        computed += role == LOCKSTEP_ROLE_COMPUTED || role == LOCKSTEP_ROLE_VIEW || role == LOCKSTEP_ROLE_STATE;
    }
    return computed >= 2 ? 3 : 2;
}

/* Little beyond what is allowed, and explained by the relative error that reaches the pair from its
 * inputs, or by what the same tensor has in other layers. */
static bool is_rounding(const ls_walk *w, size_t pair, double inherited) {
    const ls_pair *p = &w->diff->pairs.items[pair];
    const ls_mark *mark = &w->marks[pair];
    double own = ls_used_of_tolerance(p, mark);
    ls_sibling_errors s;
    bool coarse = mark->tolerance >= COARSE; /* weights of such types add rounding at each product; others hardly do */
    if (p->is_resynced || p->metrics.masked_differ > 0 || own > 3 || p->metrics.cosine < LOOKS_ALIKE || (mark->exact_inputs && !coarse))
        return false;
    if (p->metrics.rel_l2 <= amplification(w->diff, p) * inherited)
        return true;
    if (!coarse)
        return false;
    ls_sibling_errors_of(w->diff, &w->siblings, w->marks, pair, &s);
    return s.count >= 2 && !s.faulty && own <= 1.5 * s.used[s.count / 2];
}

/* ------------------------------------------------------------------ shifted positions */

/* Tensors that depend on positions may differ where one side pads its batch in front. */
typedef struct shift {
    bool *positional; /* per node: depends on positions, and not on tokens; NULL: no pass is shifted */
    bool *touched;    /* per node: computed from such a node, and nothing in between agrees */
} shift;

/* Computed from nothing: positions are counted, masks and constants given. Other nodes without recorded
 * sources may well depend on tokens. */
static bool begins_positional(const ls_node *n) {
    if (n->role == LOCKSTEP_ROLE_INPUT)
        return strstr(n->name, "mask") != NULL || strstr(n->name, "pos") != NULL || strstr(n->name, "constant") != NULL;
    return n->role == LOCKSTEP_ROLE_COMPUTED && (*n->dtype == 'i' || *n->dtype == 'u');
}

static void mark_positional(const ls_trace *t, bool *positional) {
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        size_t known = 0;
        positional[i] = true;
        for (size_t k = 0; k <= n->source_count && positional[i]; k++) {
            size_t source = ls_node_input(n, k);
            if (source == LS_NONE || t->nodes[source].role == LOCKSTEP_ROLE_WEIGHT)
                continue;
            positional[i] = positional[source];
            known++;
        }
        if (known == 0)
            positional[i] = begins_positional(n);
    }
}

static void mark_touched(const ls_walk *w, shift *s) {
    for (size_t i = 0; i < w->graph->node_count; i++) {
        const ls_node *n = &w->graph->nodes[i];
        s->touched[i] = false;
        for (size_t k = 0; k <= n->source_count && !s->touched[i]; k++) {
            size_t source = ls_node_input(n, k), pair = source != LS_NONE ? ls_walk_pair(w, source) : 0;
            s->touched[i] = source != LS_NONE && (s->positional[source] || (s->touched[source] && (pair == 0 || ls_mark_fails(&w->marks[pair - 1]))));
        }
    }
}

static bool any_pass_is_shifted(const ls_diff *d) {
    for (size_t i = 0; i < d->matching.tokens.pair_count; i++)
        if (ls_pass_pair_is_shifted(&d->matching.tokens.pairs[i], d->in.reference.trace, d->in.candidate.trace))
            return true;
    return false;
}

static bool open_shift(const ls_walk *w, shift *out) {
    *out = (shift){0};
    if (w->graph != w->diff->in.candidate.trace || !any_pass_is_shifted(w->diff))
        return true;
    out->positional = calloc(w->graph->node_count + 1, sizeof *out->positional);
    out->touched = calloc(w->graph->node_count + 1, sizeof *out->touched);
    if (out->positional == NULL || out->touched == NULL)
        return false;
    mark_positional(w->graph, out->positional);
    mark_touched(w, out);
    return true;
}

static void close_shift(shift *s) {
    free(s->positional);
    free(s->touched);
}

/* Multiplies by a cosine or sine of the positions. */
static bool is_turned(const ls_walk *w, size_t node, const shift *s) {
    const ls_node *n = &w->graph->nodes[node];
    bool turned = false;
    for (size_t k = 0; k < n->source_count && multiplies(n); k++)
        turned = turned || s->positional[n->sources[k]];
    return turned;
}

/* Both sides have the same length, like vectors that were only rotated. */
static bool keeps_length(const ls_pair *p, const ls_mark *mark) {
    return fabs(p->metrics.candidate.l2 - p->metrics.reference.l2) <= mark->tolerance * p->metrics.reference.l2;
}

static bool is_shifted(const ls_walk *w, size_t pair, size_t node, const shift *s) {
    const ls_pair *p = &w->diff->pairs.items[pair];
    if (s->positional == NULL || !ls_pass_pair_is_shifted(&w->diff->matching.tokens.pairs[p->pass_pair], w->diff->in.reference.trace, w->diff->in.candidate.trace))
        return false;
    return s->positional[node] || is_turned(w, node, s) || (s->touched[node] && keeps_length(p, &w->marks[pair]));
}

/* ------------------------------------------------------------------ other steps */

/* What is left when the best single factor is undone: 1 - cosine^2 of the square. */
static bool is_one_factor(const ls_pair *p, const ls_mark *mark) {
    double left = sqrt(fmax(0, 1 - p->metrics.cosine * p->metrics.cosine));
    return left <= mark->tolerance && left < 0.1 * p->metrics.rel_l2;
}

/* The same tensor differs as much in every layer, as a fault of one layer would not. */
static bool is_alike_in_all_layers(const ls_sibling_errors *s, double own) {
    return s->count > 0 && !s->faulty && own <= SIBLINGS_ALIKE * s->used[0] && s->used[s->count - 1] <= SIBLINGS_ALIKE * own;
}

/* A softmax cancels a constant in each row; and masking may come before or after what was recorded. */
static ls_excuse of_scores(const ls_pair *p, const ls_mark *mark) {
    const ls_metrics *m = &p->metrics;
    if (m->masked_differ > 0)
        return m->rel_l2 <= mark->tolerance ? LS_EXCUSE_MASKED : LS_EXCUSE_NONE;
    return p->left_of_rows <= mark->tolerance && p->left_of_rows < 0.1 * m->rel_l2 ? LS_EXCUSE_SOFTMAX : LS_EXCUSE_NONE;
}

/* For a pair that diverged while everything paired that is computed from it passes. */
static ls_excuse of_other_steps(const ls_walk *w, size_t pair, const below *b) {
    const ls_pair *p = &w->diff->pairs.items[pair];
    const ls_mark *mark = &w->marks[pair];
    const ls_metrics *m = &p->metrics;
    ls_sibling_errors siblings;
    double size = m->rel_l2 * m->reference.l2;
    bool shows = (b->shows && m->rel_l2 > b->limit) || (b->sums && size > b->room);
    bool everywhere = shows && !b->hides && (!b->shows || m->rel_l2 > b->all_limits) && (!b->sums || size > b->all_rooms);
    if (p->is_resynced || fabs(m->cosine) < LOOKS_ALIKE)
        return LS_EXCUSE_NONE;
    ls_excuse excuse = p->is_score ? of_scores(p, mark) : LS_EXCUSE_NONE; /* a softmax cancels it, whatever comes then */
    if (excuse != LS_EXCUSE_NONE || !shows || m->masked_differ > 0)
        return excuse;
    if (everywhere && m->cosine > 0 && is_one_factor(p, mark))
        return LS_EXCUSE_FACTOR;
    ls_sibling_errors_of(w->diff, &w->siblings, w->marks, pair, &siblings);
    bool by_precision = ls_diff_is_by_precision(w->diff);
    return by_precision && !mark->exact_inputs && is_alike_in_all_layers(&siblings, ls_used_of_tolerance(p, mark)) ? LS_EXCUSE_ALL_LAYERS : LS_EXCUSE_NONE;
}

/* Without a graph, anything may be computed from a tensor. */
static bool is_alone(const ls_walk *w, size_t pair) {
    for (size_t i = 0; !w->graph->is_graph && i < w->diff->pairs.count; i++)
        if (i != pair && ls_mark_fails(&w->marks[i]))
            return false;
    return true;
}

/* One 8-bit step in few elements of a picture, and nothing that follows is beyond its tolerance. More of them are no
 * accident: what is cut off instead of rounded is a step below in half of its elements. */
static bool is_one_step(const ls_walk *w, size_t pair, const below *b) {
    const ls_pair *p = &w->diff->pairs.items[pair];
    return p->steps > 0 && p->steps <= 0.05 && !b->fails && is_alone(w, pair);
}

static ls_excuse find_excuse(const ls_walk *w, size_t pair, size_t node, double inherited, const below *b, const shift *s) {
    bool by_precision = ls_diff_is_by_precision(w->diff); /* the user's own rules are taken literally */
    if (by_precision && is_rounding(w, pair, inherited))
        return LS_EXCUSE_NOISE;
    if (by_precision && is_one_step(w, pair, b))
        return LS_EXCUSE_STEP;
    if (!b->passes || b->fails)
        return LS_EXCUSE_NONE;
    if (by_precision && is_shifted(w, pair, node, s))
        return LS_EXCUSE_SHIFTED;
    return of_other_steps(w, pair, b);
}

static void mark(ls_walk *w, const double *inherited, const shift *s, below *all) {
    const ls_trace *t = w->graph;
    for (size_t i = t->node_count; i-- > 0;) {
        const ls_node *n = &t->nodes[i];
        size_t pair = ls_walk_own_pair(w, i);
        ls_mark *mark = pair != 0 ? &w->marks[pair - 1] : NULL;
        if (mark != NULL && mark->verdict == LS_VERDICT_DIVERGED) {
            mark->excuse = find_excuse(w, pair - 1, i, inherited[i], &all[i], s);
            mark->verdict = mark->excuse != LS_EXCUSE_NONE ? LS_VERDICT_EXPLAINED : mark->verdict;
        }
        below seen = seen_through(w, i, pair, &all[i]);
        for (size_t k = 0; k <= n->source_count; k++)
            if (ls_node_input(n, k) != LS_NONE)
                join(&all[ls_node_input(n, k)], &seen);
    }
}

lockstep_status ls_excuses_mark(ls_walk *w, lockstep_error *error) {
    size_t count = w->graph->node_count + 1;
    below *all = calloc(count, sizeof *all);
    double *inherited = calloc(count, sizeof *inherited);
    shift s;
    bool ok = open_shift(w, &s) && all != NULL && inherited != NULL;
    if (ok) {
        spread_errors(w, inherited);
        mark(w, inherited, &s, all);
    }
    close_shift(&s);
    free(all);
    free(inherited);
    return ok ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}
