#include "report/inherited.h"

#include <math.h>
#include <stdlib.h>

/* The graph that was walked, and the pair of each of its values, + 1. */
typedef struct graph {
    const ls_diff *diff;
    const ls_side *side;
    size_t *pair_of;
    double *error; /* per node: of its own pair, or else the largest of its inputs */
} graph;

static size_t value_of_pair(const graph *g, const ls_pair *p) { return g->side == &g->diff->in.candidate ? p->candidate_value : p->reference_value; }

/* NaN where the pair could not be compared. */
static double error_of_pair(const ls_pair *p) { return ls_pair_has_metrics(p) ? p->metrics.rel_l2 : NAN; }

static double larger(double a, double b) { return isnan(a) || isnan(b) ? NAN : fmax(a, b); }

static double error_of_inputs(const graph *g, size_t node, size_t own_pair) {
    const ls_node *n = &g->side->trace->nodes[node];
    double worst = 0;
    for (size_t k = 0; k <= n->source_count; k++) {
        const size_t input = k < n->source_count ? n->sources[k] : n->alias_of;
        if (input == LS_NONE || input >= node)
            continue;
        if (own_pair == 0 || g->pair_of[g->side->values.value_of[input]] != own_pair)
            worst = larger(worst, g->error[input]);
    }
    return worst;
}

static void walk(const graph *g, double *inherited) {
    const ls_values *v = &g->side->values;
    for (size_t i = 0; i < v->count; i++) {
        const size_t pair = g->pair_of[v->value_of[i]];
        g->error[i] = pair != 0 ? error_of_pair(&g->diff->pairs.items[pair - 1]) : error_of_inputs(g, i, 0);
        if (pair != 0 && v->value_of[i] == i)
            inherited[pair - 1] = error_of_inputs(g, i, pair);
    }
}

static bool find_inherited(const ls_diff *d, double *inherited) {
    graph g = {.diff = d, .side = ls_diff_graph(d) == d->in.candidate.trace ? &d->in.candidate : &d->in.reference};
    if (!g.side->trace->is_graph)
        return true;
    g.pair_of = calloc(g.side->values.count + 1, sizeof *g.pair_of);
    g.error = calloc(g.side->values.count + 1, sizeof *g.error);
    const bool ok = g.pair_of != NULL && g.error != NULL;
    for (size_t i = 0; ok && i < d->pairs.count; i++)
        if (!d->pairs.items[i].is_extra)
            g.pair_of[g.side->values.value_of[value_of_pair(&g, &d->pairs.items[i])]] = i + 1;
    if (ok)
        walk(&g, inherited);
    free(g.pair_of);
    free(g.error);
    return ok;
}

/* Replay speaks of the candidate's nodes. */
static void find_added(const ls_diff *d, ls_error_parts *out) {
    const ls_values *v = &d->in.candidate.values;
    for (size_t i = 0; d->is_replayed && i < d->replay.count; i++) {
        const ls_replayed *r = &d->replay.items[i];
        const size_t pair = d->matching.pair_of[v->value_of[r->node]];
        if (pair == 0 || r->class != LS_REPLAY_FOUND || r->partner == LS_NONE || v->value_of[r->node] != r->node)
            continue;
        out->added[pair - 1] = r->local.error;
        out->expected[pair - 1] = r->local.expected;
    }
}

bool ls_error_parts_find(const ls_diff *d, ls_error_parts *out) {
    const size_t count = d->pairs.count + 1;
    *out = (ls_error_parts){calloc(count, sizeof(double)), calloc(count, sizeof(double)), calloc(count, sizeof(double))};
    bool ok = out->inherited != NULL && out->added != NULL && out->expected != NULL;
    for (size_t i = 0; ok && i < count; i++)
        out->inherited[i] = out->added[i] = out->expected[i] = NAN;
    ok = ok && find_inherited(d, out->inherited);
    if (ok)
        find_added(d, out);
    else
        ls_error_parts_done(out);
    return ok;
}

void ls_error_parts_done(ls_error_parts *parts) {
    free(parts->inherited);
    free(parts->added);
    free(parts->expected);
    *parts = (ls_error_parts){0};
}
