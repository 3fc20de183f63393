#include "align/divergence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/reformulated.h"

/* The graph that is walked: the candidate's, or the reference's where only that is one. */
typedef struct walk {
    ls_diff *d;
    const ls_trace *t;
    const ls_values *values;
    const size_t *pair_of; /* value -> pair + 1 */
    ls_siblings siblings;
} walk;

/* NULL, too, for a pair that can't be compared: it is as if it weren't there. */
static ls_pair *pair_at(const walk *w, size_t node) {
    size_t pair = w->pair_of[w->values->value_of[node]];
    return pair != 0 && ls_pair_says_something(&w->d->pairs[pair - 1]) ? &w->d->pairs[pair - 1] : NULL;
}

/* The pair whose value this node is, and not a view of it. */
static ls_pair *pair_of_own(const walk *w, size_t node) { return w->values->value_of[node] == node ? pair_at(w, node) : NULL; }

/* Values flow from sources to a node; an alias adds nothing. */
static bool carries(const ls_node *n) {
    return n->role != LS_ROLE_WEIGHT && (n->role != LS_ROLE_INPUT || n->source_count > 0);
}

/* What the nearest paired descendants of a node do. A passing one shows a fault only if it
 * would have failed with it: not where its own tolerance is as wide, or it is a constant; and not
 * behind a sum, whose other term may be so large that the fault is lost in it: there only a
 * difference of more than `room` would have been seen. */
typedef struct below {
    bool passes, fails;
    bool shows;   /* some way leads to a passing one without a sum */
    double limit, all_limits; /* the least relative error that one, or each, of these would have shown */
    bool sums;    /* a sum lies between, and nothing that changes the size of a difference */
    double room, all_rooms;   /* the least |d|_2 that would be seen after one such sum, or each */
    bool hides;   /* some way leads to one that would have shown nothing */
} below;

/* Multiplies noisy values with each other, so that no term can hide the other. Whatever else has
 * several computed sources may add, join or choose. */
static bool multiplies(const ls_node *n) { return (n->kind->traits & LS_OP_MULTIPLIES) != 0; }

static bool is_sum(const ls_trace *t, const ls_node *n) {
    size_t computed = 0;
    for (size_t k = 0; k < n->source_count; k++)
        computed += carries(&t->nodes[n->sources[k]]);
    return computed >= 2 && n->role != LS_ROLE_VIEW && !multiplies(n);
}

/* Shows all elements of its source, or adds a weight to it: a difference keeps its size. */
static bool keeps_size(const ls_node *n) {
    return n->role == LS_ROLE_VIEW || n->alias_of != LS_NONE || n->kind->role == LS_OP_ROLE_SUM || n->kind->role == LS_OP_ROLE_COPY;
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

/* What a node's sources see of it, and of what comes after it. */
static below seen_through(const ls_trace *t, const ls_node *n, const ls_pair *pair, const below *own) {
    below b = *own;
    bool sum = is_sum(t, n), ok = pair != NULL && !ls_pair_fails(pair);
    if (pair != NULL && pair->verdict != LS_VERDICT_REFORMULATED) {
        bool constant = !(pair->metrics.reference.std > 0);
        double limit = fmax(pair->tolerance, 10 * pair->metrics.rel_l2), room = pair->tolerance * pair->metrics.reference.l2;
        b = (below){.passes = ok, .fails = !ok, .shows = ok && !sum && !constant, .sums = ok && sum, .hides = ok && constant && !sum,
                    .limit = limit, .all_limits = ok && !sum ? limit : 0, .room = room, .all_rooms = ok && sum ? room : 0};
    } else {
        b.passes = b.passes || ok; /* one that is reformulated shows what comes after it shows */
        b.hides = b.hides || (b.shows && sum) || (b.sums && !keeps_size(n));
        b.shows = b.shows && !sum;
        b.sums = b.sums && keeps_size(n);
    }
    return b;
}

/* The relative error that reaches each node from its nearest paired ancestors: independent
 * errors add in quadrature. */
static void spread_errors(const walk *w, double *inherited) {
    const ls_trace *t = w->t;
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        double sum = 0;
        for (size_t k = 0; k <= n->source_count; k++) {
            size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
            if (source == LS_NONE)
                continue;
            const ls_pair *pair = pair_at(w, source);
            double e = pair == NULL ? inherited[source] : pair->verdict < LS_VERDICT_SHAPE && isfinite(pair->metrics.rel_l2) ? pair->metrics.rel_l2 : 0;
            sum += e * e;
        }
        inherited[i] = sqrt(sum);
    }
}

/* What depends on positions may differ where a batch is padded in front on one side. */
typedef struct shift {
    const bool *positional; /* per node: depends on positions, and not on tokens; NULL: nothing is shifted */
    const bool *touched;    /* comes of such a node, and nothing in between agrees */
} shift;

/* A product with what depends on positions: with a cosine or a sine. */
static bool is_turned(const walk *w, size_t node, const shift *s) {
    const ls_node *n = &w->t->nodes[node];
    bool turned = false;
    for (size_t k = 0; k < n->source_count && multiplies(n); k++)
        turned = turned || s->positional[n->sources[k]];
    return turned;
}

static void excuse(const walk *w, ls_pair *pair, size_t node, double inherited, const below *b, const shift *s) {
    const ls_diff *d = w->d;
    bool by_noise = ls_diff_is_by_noise(d); /* other rules mean what they say */
    double size = pair->metrics.rel_l2 * pair->metrics.reference.l2;
    bool shows = (b->shows && pair->metrics.rel_l2 > b->limit) || (b->sums && size > b->room);
    bool everywhere = shows && !b->hides && (!b->shows || pair->metrics.rel_l2 > b->all_limits) && (!b->sums || size > b->all_rooms);
    pair->excuse = by_noise && ls_is_noise(d, &w->siblings, pair, inherited) ? LS_EXCUSE_NOISE : LS_EXCUSE_NONE;
    if (pair->excuse == LS_EXCUSE_NONE && b->passes && !b->fails) {
        bool shifted = by_noise && s->positional != NULL && ls_is_shifted(d, pair->passes);
        if (shifted && (s->positional[node] || is_turned(w, node, s) || (s->touched[node] && ls_keeps_length(pair))))
            pair->excuse = LS_EXCUSE_SHIFTED;
        if (pair->excuse == LS_EXCUSE_NONE)
            pair->excuse = ls_reformulated(d, &w->siblings, pair, by_noise, shows, everywhere);
    }
    if (pair->excuse != LS_EXCUSE_NONE)
        pair->verdict = LS_VERDICT_REFORMULATED;
}

static void mark_touched(const walk *w, const bool *positional, bool *touched) {
    for (size_t i = 0; i < w->t->node_count; i++) {
        const ls_node *n = &w->t->nodes[i];
        touched[i] = false;
        for (size_t k = 0; k <= n->source_count && !touched[i]; k++) {
            size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
            const ls_pair *pair = source != LS_NONE ? pair_at(w, source) : NULL;
            touched[i] = source != LS_NONE && (positional[source] || (touched[source] && (pair == NULL || ls_pair_fails(pair))));
        }
    }
}

/* From the last node to the first. A pair that differs although everything computed from
 * it passes may be reformulated, and is then, for those before it, as good as one that
 * passes. */
static void mark_reformulated(const walk *w, const double *inherited, const shift *s, below *all) {
    const ls_trace *t = w->t;
    for (size_t i = t->node_count; i-- > 0;) {
        const ls_node *n = &t->nodes[i];
        ls_pair *pair = pair_of_own(w, i);
        if (pair != NULL && pair->verdict == LS_VERDICT_DIVERGED)
            excuse(w, pair, i, inherited[i], &all[i], s);
        below seen = seen_through(t, n, pair, &all[i]);
        if (n->alias_of != LS_NONE)
            join(&all[n->alias_of], &seen);
        for (size_t k = 0; k < n->source_count; k++)
            join(&all[n->sources[k]], &seen);
    }
}

/* Rounding in f32 of one operation; what comes of identical inputs can't have more. */
#define ONE_OPERATION 1e-5

/* Pixels, a spectrogram, embeddings: inputs aren't compared. */
static bool is_given_float(const ls_node *n) { return n->role == LS_ROLE_INPUT && n->source_count == 0 && (*n->dtype == 'f' || *n->dtype == 'b') && strcmp(n->dtype, "bool") != 0; }

/* The argument of a sine grows with the position, and its rounding with it. */
static bool is_angular(const ls_node *n) { return (n->kind->traits & LS_OP_ANGULAR) != 0; }

/* From the first node to the last: is all that a node was computed from identical? Then its
 * own operation alone answers for what differs, and the tolerance for whole models in f32 is
 * far too wide. */
static void judge_exact_inputs(const walk *w, bool *exact) {
    const ls_diff *d = w->d;
    const ls_trace *t = w->t;
    bool strict = ls_diff_is_by_noise(d);
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        bool above = (n->alias_of == LS_NONE || exact[n->alias_of]) && !is_given_float(n);
        for (size_t k = 0; k < n->source_count && above; k++)
            above = exact[n->sources[k]];
        ls_pair *pair = pair_of_own(w, i);
        exact[i] = pair != NULL ? pair->verdict == LS_VERDICT_IDENTICAL : above;
        if (pair == NULL || !above || pair->resynced)
            continue;
        pair->exact_inputs = n->source_count > 0;
        if (strict && pair->exact_inputs && !is_angular(n) && pair->noise == LS_NOISE_F32 && pair->verdict == LS_VERDICT_MATCH && pair->metrics.rel_l2 > ONE_OPERATION) {
            pair->verdict = LS_VERDICT_DIVERGED;
            pair->tolerance = ONE_OPERATION;
        }
    }
}

/* An engine that records its tensors one by one tells no edges: then each is taken to
 * come of all before it. Not so for files, whose order may mean nothing. */
static bool has_edges(const ls_trace *t) {
    for (size_t i = 0; i < t->node_count; i++)
        if (t->nodes[i].source_count > 0 || t->nodes[i].alias_of != LS_NONE)
            return true;
    return !t->is_graph;
}

static void mark_consequences_in_order(const walk *w) {
    bool tainted = false;
    for (size_t i = 0; i < w->t->node_count; i++) {
        ls_pair *pair = pair_at(w, i);
        if (pair == NULL)
            continue;
        pair->consequence = tainted && ls_pair_fails(pair);
        tainted = (tainted || ls_pair_fails(pair)) && !pair->resynced;
    }
}

/* From the first node to the last: does a failing pair lie upstream? */
static void mark_consequences(const walk *w, bool *tainted) {
    const ls_trace *t = w->t;
    if (!has_edges(t)) {
        mark_consequences_in_order(w);
        return;
    }
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        bool above = n->alias_of != LS_NONE && tainted[n->alias_of];
        for (size_t k = 0; k < n->source_count && !above; k++)
            above = tainted[n->sources[k]];
        ls_pair *pair = pair_of_own(w, i);
        if (pair != NULL)
            pair->consequence = above && ls_pair_fails(pair);
        /* what agrees again although its inputs differ is judged by itself */
        bool noise = pair != NULL && pair->excuse == LS_EXCUSE_NOISE && above;
        tainted[i] = pair != NULL ? (ls_pair_fails(pair) || noise) && !pair->resynced : above;
    }
}

/* The nearest paired ancestors of the first divergence, and what lies between. */
static lockstep_status look_upstream(const walk *w, lockstep_error *error) {
    ls_diff *d = w->d;
    const ls_trace *t = w->t;
    const ls_pair *first = &d->pairs[d->first];
    size_t start_at = w->t == d->candidate ? first->candidate_value : w->values->value_of[first->reference_value];
    size_t *stack = calloc(t->node_count + 1, sizeof *stack), depth = 0;
    bool *seen = calloc(t->node_count + 1, sizeof *seen);
    d->inputs = ls_arena_array(&d->arena, t->node_count + 1, sizeof *d->inputs);
    d->interval = ls_arena_array(&d->arena, t->node_count + 1, sizeof *d->interval);
    d->weights = ls_arena_array(&d->arena, t->node_count + 1, sizeof *d->weights);
    bool ok = stack != NULL && seen != NULL && d->weights != NULL && d->inputs != NULL && d->interval != NULL;
    if (ok)
        stack[depth++] = start_at;
    while (ok && depth > 0) {
        size_t at = stack[--depth];
        const ls_node *n = &t->nodes[at];
        const ls_pair *pair = pair_at(w, at);
        bool start = at == start_at;
        if (!start && pair != NULL) {
            size_t index = (size_t)(pair - d->pairs);
            if (!seen[w->values->value_of[at]] || w->values->value_of[at] == at)
                d->inputs[d->input_count++] = index;
            seen[w->values->value_of[at]] = true;
            continue;
        }
        if (!start && n->role == LS_ROLE_COMPUTED && n->alias_of == LS_NONE && n->elements > 0 &&
            (w->t != d->candidate || d->implied_by[at] == 0))
            d->interval[d->interval_count++] = at;
        for (size_t k = 0; k <= n->source_count; k++) {
            size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
            if (source != LS_NONE && !seen[source] && t->nodes[source].role == LS_ROLE_WEIGHT) {
                seen[source] = true;
                d->weights[d->weight_count++] = source;
            } else if (source != LS_NONE && !seen[source] && carries(&t->nodes[source])) {
                seen[source] = true;
                stack[depth++] = source;
            }
        }
    }
    free(stack);
    free(seen);
    return ok ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

/* A pair beside the one that stands for its tensor fails by itself only where that one passes. */
static void mark_extra(ls_diff *d) {
    for (size_t i = 0; i < d->pair_count; i++) {
        ls_pair *pair = &d->pairs[i];
        const ls_pair *own = pair->extra ? &d->pairs[d->pair_of[pair->candidate_value] - 1] : NULL;
        if (own != NULL)
            pair->consequence = ls_pair_fails(pair) && ls_pair_fails(own);
    }
}

/* Where the candidate has no graph, and the reference has, that one is walked. */
static bool open_walk(ls_diff *d, walk *out, size_t **out_pair_of) {
    *out_pair_of = NULL;
    *out = (walk){.d = d, .t = d->candidate, .values = &d->candidate_values, .pair_of = d->pair_of};
    if (!ls_siblings_find(d, &out->siblings))
        return false;
    if (ls_diff_graph(d) == d->candidate)
        return true;
    *out_pair_of = calloc(d->reference->node_count + 1, sizeof **out_pair_of);
    out->t = d->reference;
    out->values = &d->reference_values;
    out->pair_of = *out_pair_of;
    for (size_t i = 0; *out_pair_of != NULL && i < d->pair_count; i++)
        if (!d->pairs[i].extra)
            (*out_pair_of)[d->reference_values.value_of[d->pairs[i].reference_value]] = i + 1;
    return *out_pair_of != NULL;
}

static lockstep_status mark(const walk *w, lockstep_error *error) {
    size_t count = w->t->node_count + 1;
    below *all = calloc(count, sizeof *all);
    bool *flags = calloc(count, sizeof *flags), shifted = false;
    double *inherited = calloc(count, sizeof *inherited);
    for (size_t i = 0; i < w->d->rows.pair_count && !shifted; i++)
        shifted = w->t == w->d->candidate && ls_is_shifted(w->d, i);
    bool *positional = shifted ? calloc(count, sizeof *positional) : NULL, *touched = shifted ? calloc(count, sizeof *touched) : NULL;
    bool ok = all != NULL && flags != NULL && inherited != NULL && ((positional != NULL && touched != NULL) || !shifted);
    if (ok && has_edges(w->t)) {
        judge_exact_inputs(w, flags);
        memset(flags, 0, count * sizeof *flags);
    }
    if (ok) {
        spread_errors(w, inherited);
        if (positional != NULL) {
            ls_mark_positional(w->t, positional);
            mark_touched(w, positional, touched);
        }
        mark_reformulated(w, inherited, &(shift){positional, touched}, all);
        mark_consequences(w, flags);
        mark_extra(w->d);
    }
    free(all);
    free(flags);
    free(inherited);
    free(positional);
    free(touched);
    return ok ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

/* In the order in which pairs lie; where none is known, only one that is alone. */
static void find_first(ls_diff *d) {
    d->first = LS_NONE;
    d->failing = 0;
    for (size_t i = 0; i < d->pair_count; i++) {
        const ls_pair *pair = &d->pairs[i];
        bool fails = ls_pair_fails(pair) && ls_pair_says_something(pair);
        if (fails && !pair->consequence && d->first == LS_NONE)
            d->first = i;
        d->failing += fails;
    }
    if (!d->order_known && d->failing > 1)
        d->first = LS_NONE;
}

static lockstep_status find(ls_diff *diff, bool upstream, lockstep_error *error) {
    walk w;
    size_t *pair_of;
    lockstep_status status = open_walk(diff, &w, &pair_of) ? mark(&w, error) : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (status == LOCKSTEP_OK)
        find_first(diff);
    if (status == LOCKSTEP_OK && upstream && diff->first != LS_NONE)
        status = look_upstream(&w, error);
    free(pair_of);
    ls_siblings_done(&w.siblings);
    return status;
}

lockstep_status ls_divergence_mark(ls_diff *diff, lockstep_error *error) {
    diff->order_known = true; /* of a candidate that is being recorded */
    return find(diff, false, error);
}

lockstep_status ls_divergence_find(ls_diff *diff, lockstep_error *error) { return find(diff, true, error); }
