#include "align/divergence.h"

#include <math.h>
#include <stdlib.h>

static ls_pair *pair_at(const ls_diff *d, size_t node) {
    size_t pair = d->pair_of[d->candidate_values.value_of[node]];
    return pair != 0 ? &d->pairs[pair - 1] : NULL;
}

/* Values flow from sources to a node; an alias adds nothing. */
static bool carries(const ls_node *n) {
    return n->role != LS_ROLE_WEIGHT && (n->role != LS_ROLE_INPUT || n->source_count > 0);
}

enum { PASSES = 1, FAILS = 2 }; /* what the nearest paired descendants do */

/* Of what is scaled or masked later, the values still look alike. */
static bool looks_alike(const ls_pair *p) { return fabs(p->metrics.cosine) >= 0.9; }

/* From the last node to the first: what each node's nearest paired descendants do.
 * A pair that differs although everything computed from it passes is reformulated,
 * and for those before it as good as one that passes. */
static void mark_reformulated(ls_diff *d, unsigned char *below) {
    const ls_trace *t = d->candidate;
    for (size_t i = t->node_count; i-- > 0;) {
        const ls_node *n = &t->nodes[i];
        ls_pair *pair = d->candidate_values.value_of[i] == i ? pair_at(d, i) : NULL;
        if (pair != NULL && pair->verdict == LS_VERDICT_DIVERGED && below[i] == PASSES && !pair->resynced)
            pair->verdict = LS_VERDICT_REFORMULATED;
        if (pair != NULL && pair->verdict == LS_VERDICT_REFORMULATED && !looks_alike(pair))
            pair->elements = 0; /* more likely another tensor: not compared */
        unsigned char said = pair == NULL ? below[i] : ls_pair_fails(pair) ? FAILS : PASSES;
        if (n->alias_of != LS_NONE)
            below[n->alias_of] |= said;
        for (size_t k = 0; k < n->source_count; k++)
            below[n->sources[k]] |= said;
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

lockstep_status ls_divergence_mark(ls_diff *diff, lockstep_error *error) {
    size_t count = diff->candidate->node_count + 1;
    unsigned char *below = calloc(count, sizeof *below);
    bool *tainted = calloc(count, sizeof *tainted);
    bool ok = below != NULL && tainted != NULL;
    diff->first = LS_NONE;
    if (ok) {
        mark_reformulated(diff, below);
        mark_consequences(diff, tainted);
    }
    free(below);
    free(tainted);
    if (!ok)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < diff->pair_count && diff->first == LS_NONE; i++)
        if (ls_pair_fails(&diff->pairs[i]) && !diff->pairs[i].consequence)
            diff->first = i;
    return LOCKSTEP_OK;
}

lockstep_status ls_divergence_find(ls_diff *diff, lockstep_error *error) {
    LS_TRY(ls_divergence_mark(diff, error));
    return diff->first == LS_NONE ? LOCKSTEP_OK : look_upstream(diff, error);
}
