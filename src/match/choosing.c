#include "match/choosing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FLOOR 2e-7       /* errors below it are equal */
#define ROW_BEHIND 0.1   /* a single row has few values, and is like many others */
#define SHELTER 50       /* an error that would show in what is computed from the tensor */

static bool is_free(const ls_choosing *k, const ls_piece *r, const ls_piece *c) { return k->of_reference[r->node] == LS_NONE && k->of_candidate[c->node] == LS_NONE; }

static bool is_allowed(const ls_choosing *k, const ls_piece *r, const ls_piece *c) {
    return (k->reference.values == NULL || ls_lineage_allows(&k->reference, r->node, c->node)) &&
           (k->candidate.values == NULL || ls_lineage_allows(&k->candidate, c->node, r->node));
}

bool ls_choosing_is_possible(const ls_choosing *k, const ls_likeness *like, size_t candidate) {
    const ls_piece *r = ls_choosing_reference(k, like->reference), *c = ls_choosing_candidate(k, candidate);
    return is_free(k, r, c) && is_allowed(k, r, c);
}

/* ------------------------------------------------------------------ ranks */

ls_rank ls_choosing_rank_candidate(const ls_choosing *k, size_t candidate) {
    const ls_likenesses *of = &k->found.of[candidate];
    ls_rank own = {.candidate = candidate, .second = INFINITY};
    for (size_t i = 0; i < of->count && own.second == INFINITY; i++) {
        const ls_likeness *like = &of->items[i];
        if (!ls_choosing_is_possible(k, like, candidate))
            continue;
        if (own.best == NULL)
            own.best = like;
        else if (!ls_sketches_are_copies(&ls_choosing_reference(k, own.best->reference)->sketch, &ls_choosing_reference(k, like->reference)->sketch))
            own.second = like->error;
    }
    return own;
}

static void offer(ls_choosing *k, const ls_likeness *like, size_t candidate) {
    ls_rank *own = &k->ranks[like->reference];
    if (own->best == NULL) {
        *own = (ls_rank){like, candidate, INFINITY};
    } else if (like->error < own->best->error) {
        if (!ls_sketches_are_copies(&ls_choosing_candidate(k, own->candidate)->sketch, &ls_choosing_candidate(k, candidate)->sketch))
            own->second = own->best->error;
        own->best = like;
        own->candidate = candidate;
    } else if (like->error < own->second && !ls_sketches_are_copies(&ls_choosing_candidate(k, own->candidate)->sketch, &ls_choosing_candidate(k, candidate)->sketch)) {
        own->second = like->error;
    }
}

void ls_choosing_rank_references(ls_choosing *k) {
    memset(k->ranks, 0, (k->found.reference.count + 1) * sizeof *k->ranks);
    for (size_t c = 0; c < k->found.candidate.count; c++)
        for (size_t i = 0; i < k->found.of[c].count; i++)
            if (ls_choosing_is_possible(k, &k->found.of[c].items[i], c))
                offer(k, &k->found.of[c].items[i], c);
}

bool ls_choosing_is_clear(double best, double second, double clearly) { return second >= clearly * fmax(best, FLOOR); }

/* ------------------------------------------------------------------ pairing */

lockstep_status ls_choosing_pair(ls_choosing *k, const ls_likeness *like, size_t candidate, ls_method method, lockstep_error *error) {
    const ls_piece *r = ls_choosing_reference(k, like->reference), *c = ls_choosing_candidate(k, candidate);
    k->of_reference[r->node] = c->node;
    k->of_candidate[c->node] = r->node;
    k->error[c->node] = like->error;
    return ls_matching_add(k->m, &(ls_pair){.reference = r->node, .candidate = c->node, .pass_pair = k->pass_pair, .method = method, .reorder = like->reorder}, error);
}

/* The side whose graph is walked: the candidate's, or the reference's where only that is one. */
static bool is_reference_walked(const ls_choosing *k) { return k->m->in->reference.trace->is_graph && !k->m->in->candidate.trace->is_graph; }
static const ls_values *graph_of(const ls_choosing *k) { return is_reference_walked(k) ? &k->m->in->reference.values : &k->m->in->candidate.values; }

/* Per node of the graph: the least error of the nearest pairs that are computed from it. */
static void find_shelters(ls_choosing *k) {
    const ls_values *v = graph_of(k);
    const size_t *partners = is_reference_walked(k) ? k->of_reference : k->of_candidate;
    for (size_t i = 0; i < v->trace->node_count; i++)
        k->shelter[i] = INFINITY;
    for (size_t i = v->trace->node_count; i-- > 0;) {
        const size_t value = v->value_of[i], candidate = is_reference_walked(k) ? partners[value] : value;
        const double own = partners[value] != LS_NONE ? k->error[candidate] : k->shelter[i];
        for (size_t s = 0; s < v->trace->nodes[i].source_count; s++) {
            double *of = &k->shelter[v->value_of[v->trace->nodes[i].sources[s]]];
            *of = v->value_of[v->trace->nodes[i].sources[s]] != value ? fmin(*of, own) : *of;
        }
    }
}

void ls_choosing_trace(ls_choosing *k) {
    if (k->reference.values != NULL)
        ls_lineage_trace(&k->reference, k->of_reference);
    if (k->candidate.values != NULL)
        ls_lineage_trace(&k->candidate, k->of_candidate);
    find_shelters(k);
}

bool ls_choosing_is_sheltered(const ls_choosing *k, const ls_piece *r, const ls_piece *c, double error) {
    return error > SHELTER * fmax(k->shelter[is_reference_walked(k) ? r->node : c->node], FLOOR);
}

double ls_choosing_limit(const ls_choosing *k, const ls_likeness *like, size_t candidate, double limit) {
    const bool row = ls_choosing_reference(k, like->reference)->last_of >= 0 || ls_choosing_candidate(k, candidate)->last_of >= 0;
    return row ? fmin(limit, ROW_BEHIND) : limit;
}

lockstep_status ls_choosing_pair_closest(ls_choosing *k, double limit, double clearly, ls_method method, lockstep_error *error) {
    for (bool any = true; any;) {
        any = false;
        ls_choosing_trace(k);
        ls_choosing_rank_references(k);
        for (size_t c = 0; c < k->found.candidate.count; c++) {
            const ls_rank own = ls_choosing_rank_candidate(k, c);
            const ls_rank *other = own.best != NULL ? &k->ranks[own.best->reference] : NULL;
            if (other == NULL || own.best->error > ls_choosing_limit(k, own.best, c, limit) || (other->best != own.best && other->best->error < own.best->error))
                continue;
            if (!ls_choosing_is_clear(own.best->error, own.second, clearly) || !ls_choosing_is_clear(own.best->error, other->second, clearly))
                continue;
            if (ls_choosing_is_sheltered(k, ls_choosing_reference(k, own.best->reference), ls_choosing_candidate(k, c), own.best->error))
                continue;
            LS_TRY(ls_choosing_pair(k, own.best, c, method, error));
            any = true;
        }
    }
    return LOCKSTEP_OK;
}
