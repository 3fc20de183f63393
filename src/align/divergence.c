#include "align/divergence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "align/reformulated.h"

/* NULL, too, for a pair that can't be compared: it is as if it weren't there. */
static ls_pair *pair_at(const ls_diff *d, size_t node) {
    size_t pair = d->pair_of[d->candidate_values.value_of[node]];
    return pair != 0 && ls_pair_says_something(&d->pairs[pair - 1]) ? &d->pairs[pair - 1] : NULL;
}

/* Values flow from sources to a node; an alias adds nothing. */
static bool carries(const ls_node *n) {
    return n->role != LS_ROLE_WEIGHT && (n->role != LS_ROLE_INPUT || n->source_count > 0);
}

/* What the nearest paired descendants of a node do. A passing one shows a fault, unless the
 * way to it leads through a sum, whose other term may be so large that the fault is lost in
 * it: there only a difference of more than `room` would have been seen. */
typedef struct below {
    bool passes, fails, shows;
    bool sums;   /* a sum lies between, and nothing that changes the size of a difference */
    double room; /* the least |d|_2 that would be seen after a sum */
} below;

static bool is_sum(const ls_trace *t, const ls_node *n) {
    size_t computed = 0;
    for (size_t k = 0; k < n->source_count; k++)
        computed += carries(&t->nodes[n->sources[k]]);
    return strncasecmp(n->op, "add", 3) == 0 && computed >= 2;
}

/* Shows all elements of its source, or adds a weight to it: a difference keeps its size. */
static bool keeps_size(const ls_node *n) {
    return n->role == LS_ROLE_VIEW || n->alias_of != LS_NONE || strncasecmp(n->op, "add", 3) == 0 || strcmp(n->op, "CONT") == 0;
}

static void join(below *into, const below *b) {
    into->passes = into->passes || b->passes;
    into->fails = into->fails || b->fails;
    into->shows = into->shows || b->shows;
    if (b->sums) {
        into->room = into->sums && into->room < b->room ? into->room : b->room;
        into->sums = true;
    }
}

/* What a node's sources see of it, and of what comes after it. */
static below seen_through(const ls_trace *t, const ls_node *n, const ls_pair *pair, const below *own) {
    below b = *own;
    bool sum = is_sum(t, n);
    if (pair != NULL) {
        bool ok = !ls_pair_fails(pair);
        b = (below){.passes = ok, .fails = !ok, .shows = ok && !sum, .sums = ok && sum, .room = pair->tolerance * pair->metrics.reference.l2};
    } else {
        b.shows = b.shows && !sum;
        b.sums = b.sums && keeps_size(n);
    }
    return b;
}

/* The relative error that reaches each node from its nearest paired ancestors: independent
 * errors add in quadrature. */
static void spread_errors(const ls_diff *d, double *inherited) {
    const ls_trace *t = d->candidate;
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        double sum = 0;
        for (size_t k = 0; k <= n->source_count; k++) {
            size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
            if (source == LS_NONE)
                continue;
            const ls_pair *pair = pair_at(d, source);
            double e = pair == NULL ? inherited[source] : pair->verdict < LS_VERDICT_SHAPE && isfinite(pair->metrics.rel_l2) ? pair->metrics.rel_l2 : 0;
            sum += e * e;
        }
        inherited[i] = sqrt(sum);
    }
}

/* From the last node to the first. A pair that differs although everything computed from
 * it passes may be reformulated, and is then, for those before it, as good as one that
 * passes. */
static void mark_reformulated(ls_diff *d, const double *inherited, const bool *positional, below *all) {
    const ls_trace *t = d->candidate;
    for (size_t i = t->node_count; i-- > 0;) {
        const ls_node *n = &t->nodes[i];
        ls_pair *pair = d->candidate_values.value_of[i] == i ? pair_at(d, i) : NULL;
        if (pair != NULL && pair->verdict == LS_VERDICT_DIVERGED && all[i].passes && !all[i].fails) {
            double size = pair->metrics.rel_l2 * pair->metrics.reference.l2;
            pair->excuse = positional != NULL && ls_is_shifted(d, pair->passes) ? ls_excuse_shift(d, pair, positional) : LS_EXCUSE_NONE;
            if (pair->excuse == LS_EXCUSE_NONE)
                pair->excuse = ls_reformulated(d, pair, inherited[i], all[i].shows || (all[i].sums && size > all[i].room));
            if (pair->excuse != LS_EXCUSE_NONE)
                pair->verdict = LS_VERDICT_REFORMULATED;
        }
        below seen = seen_through(t, n, pair, &all[i]);
        if (n->alias_of != LS_NONE)
            join(&all[n->alias_of], &seen);
        for (size_t k = 0; k < n->source_count; k++)
            join(&all[n->sources[k]], &seen);
    }
}

/* Rounding in f32 of one operation; what comes of identical inputs can't have more. */
#define ONE_OPERATION 1e-5

/* From the first node to the last: is all that a node was computed from identical? Then its
 * own operation alone answers for what differs, and the tolerance for whole models in f32 is
 * far too wide. */
static void judge_exact_inputs(ls_diff *d, bool *exact) {
    const ls_trace *t = d->candidate;
    bool strict = d->options.profile == &ls_profiles[0] && !d->options.elementwise;
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        bool above = n->alias_of == LS_NONE || exact[n->alias_of];
        for (size_t k = 0; k < n->source_count && above; k++)
            above = exact[n->sources[k]];
        ls_pair *pair = d->candidate_values.value_of[i] == i ? pair_at(d, i) : NULL;
        exact[i] = pair != NULL ? pair->verdict == LS_VERDICT_IDENTICAL : above;
        if (pair == NULL || !above || pair->resynced)
            continue;
        pair->exact_inputs = n->source_count > 0;
        if (strict && pair->exact_inputs && pair->noise == LS_NOISE_F32 && pair->verdict == LS_VERDICT_MATCH && pair->metrics.rel_l2 > ONE_OPERATION) {
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

static void mark_consequences_in_order(ls_diff *d) {
    bool tainted = false;
    for (size_t i = 0; i < d->candidate->node_count; i++) {
        ls_pair *pair = pair_at(d, i);
        if (pair == NULL)
            continue;
        pair->consequence = tainted && ls_pair_fails(pair);
        tainted = (tainted || ls_pair_fails(pair)) && !pair->resynced;
    }
}

/* From the first node to the last: does a failing pair lie upstream? */
static void mark_consequences(ls_diff *d, bool *tainted) {
    const ls_trace *t = d->candidate;
    if (!has_edges(t)) {
        mark_consequences_in_order(d);
        return;
    }
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        bool above = n->alias_of != LS_NONE && tainted[n->alias_of];
        for (size_t k = 0; k < n->source_count && !above; k++)
            above = tainted[n->sources[k]];
        ls_pair *pair = d->candidate_values.value_of[i] == i ? pair_at(d, i) : NULL;
        if (pair != NULL)
            pair->consequence = above && ls_pair_fails(pair);
        /* what agrees again although its inputs differ is judged by itself */
        tainted[i] = pair != NULL ? ls_pair_fails(pair) && !pair->resynced : above;
    }
}

/* The nearest paired ancestors of the first divergence, and what lies between. */
static lockstep_status look_upstream(ls_diff *d, lockstep_error *error) {
    const ls_trace *t = d->candidate;
    size_t *stack = calloc(t->node_count + 1, sizeof *stack), depth = 0;
    bool *seen = calloc(t->node_count + 1, sizeof *seen);
    d->inputs = ls_arena_array(&d->arena, t->node_count + 1, sizeof *d->inputs);
    d->interval = ls_arena_array(&d->arena, t->node_count + 1, sizeof *d->interval);
    d->weights = ls_arena_array(&d->arena, t->node_count + 1, sizeof *d->weights);
    bool ok = stack != NULL && seen != NULL && d->weights != NULL && d->inputs != NULL && d->interval != NULL;
    if (ok)
        stack[depth++] = d->pairs[d->first].candidate_value;
    while (ok && depth > 0) {
        size_t at = stack[--depth];
        const ls_node *n = &t->nodes[at];
        const ls_pair *pair = pair_at(d, at);
        bool start = at == d->pairs[d->first].candidate_value;
        if (!start && pair != NULL) {
            size_t index = (size_t)(pair - d->pairs);
            if (!seen[pair->candidate_value] || pair->candidate_value == at)
                d->inputs[d->input_count++] = index;
            seen[pair->candidate_value] = true;
            continue;
        }
        if (!start && n->role == LS_ROLE_COMPUTED && n->alias_of == LS_NONE && n->elements > 0 &&
            d->implied_by[at] == 0)
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
        ls_pair *pair = &d->pairs[i], *own = pair->extra ? pair_at(d, pair->candidate_value) : NULL;
        if (own != NULL)
            pair->consequence = ls_pair_fails(pair) && ls_pair_fails(own);
    }
}

lockstep_status ls_divergence_mark(ls_diff *diff, lockstep_error *error) {
    size_t count = diff->candidate->node_count + 1;
    below *all = calloc(count, sizeof *all);
    bool *flags = calloc(count, sizeof *flags);
    double *inherited = calloc(count, sizeof *inherited);
    bool shifted = false;
    for (size_t i = 0; i < diff->rows.pair_count && !shifted; i++)
        shifted = ls_is_shifted(diff, i);
    bool *positional = shifted ? calloc(count, sizeof *positional) : NULL;
    bool ok = all != NULL && flags != NULL && inherited != NULL && (positional != NULL || !shifted);
    diff->first = LS_NONE;
    if (ok && has_edges(diff->candidate)) {
        judge_exact_inputs(diff, flags);
        memset(flags, 0, count * sizeof *flags);
    }
    if (ok) {
        spread_errors(diff, inherited);
        if (positional != NULL)
            ls_mark_positional(diff->candidate, positional);
        mark_reformulated(diff, inherited, positional, all);
        mark_consequences(diff, flags);
        mark_extra(diff);
    }
    free(all);
    free(flags);
    free(inherited);
    free(positional);
    if (!ok)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < diff->pair_count && diff->first == LS_NONE; i++)
        if (ls_pair_fails(&diff->pairs[i]) && ls_pair_says_something(&diff->pairs[i]) && !diff->pairs[i].consequence)
            diff->first = i;
    return LOCKSTEP_OK;
}

lockstep_status ls_divergence_find(ls_diff *diff, lockstep_error *error) {
    LS_TRY(ls_divergence_mark(diff, error));
    return diff->first == LS_NONE ? LOCKSTEP_OK : look_upstream(diff, error);
}
