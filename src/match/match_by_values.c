#include "match/match_by_values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "match/lineage.h"
#include "match/resemblance.h"

#define LEAST_LIMIT 5e-3 /* the largest error of two tensors that are the same, without much rounding */
#define MOST_LIMIT 0.1
#define NOISE 5          /* the same, as a multiple of the usual error */
#define CLEARLY 2        /* the second closest has this multiple of the closest's error */
#define BEHIND 0.9       /* the largest error of a tensor behind a fault */
#define CLEARLY_BEHIND 1.2
#define FLOOR 2e-7       /* errors below it are equal */
#define AGREES 0.5       /* the contrast of two pairs that are the right way round */
#define SHELTER 50       /* an error that would show in what is computed from the tensor */

/* The choice among likenesses, for one pair of passes. */
typedef struct choosing {
    ls_matching *m;
    size_t pass_pair;
    ls_resemblance found;
    size_t *of_reference, *of_candidate; /* per node: its partner, or LS_NONE */
    double *error;                       /* per node of the candidate: the error of its pair */
    ls_lineage reference, candidate;     /* without values: that side is no graph, or the other has no order */
    struct rank *ranks;                  /* per reference piece */
    double *shelter;                     /* per node of the graph */
    double limit;                        /* of an error between two tensors that are the same */
} choosing;

/* The closest of those that are left, and the error of the next one that is different from it. */
typedef struct rank {
    const ls_likeness *best;
    size_t candidate; /* piece */
    double second;
} rank;

static const ls_piece *piece_of_reference(const choosing *k, size_t i) { return &k->found.reference.items[i]; }
static const ls_piece *piece_of_candidate(const choosing *k, size_t i) { return &k->found.candidate.items[i]; }

/* Two tensors with the same values: each may stand for the other. */
static bool are_copies(const ls_sketch *a, const ls_sketch *b) {
    return a->elements == b->elements && a->l2 == b->l2 && memcmp(a->values, b->values, sizeof a->values) == 0;
}

static bool is_free(const choosing *k, const ls_piece *r, const ls_piece *c) { return k->of_reference[r->node] == LS_NONE && k->of_candidate[c->node] == LS_NONE; }

static bool is_allowed(const choosing *k, const ls_piece *r, const ls_piece *c) {
    return (k->reference.values == NULL || ls_lineage_allows(&k->reference, r->node, c->node)) &&
           (k->candidate.values == NULL || ls_lineage_allows(&k->candidate, c->node, r->node));
}

static bool is_possible(const choosing *k, const ls_likeness *like, size_t candidate) {
    const ls_piece *r = piece_of_reference(k, like->reference), *c = piece_of_candidate(k, candidate);
    return is_free(k, r, c) && is_allowed(k, r, c);
}

/* ------------------------------------------------------------------ ranks */

static rank rank_of_candidate(const choosing *k, size_t candidate) {
    const ls_likenesses *of = &k->found.of[candidate];
    rank own = {.candidate = candidate, .second = INFINITY};
    for (size_t i = 0; i < of->count && own.second == INFINITY; i++) {
        const ls_likeness *like = &of->items[i];
        if (!is_possible(k, like, candidate))
            continue;
        if (own.best == NULL)
            own.best = like;
        else if (!are_copies(&piece_of_reference(k, own.best->reference)->sketch, &piece_of_reference(k, like->reference)->sketch))
            own.second = like->error;
    }
    return own;
}

static void offer(choosing *k, const ls_likeness *like, size_t candidate) {
    rank *own = &k->ranks[like->reference];
    if (own->best == NULL) {
        *own = (rank){like, candidate, INFINITY};
    } else if (like->error < own->best->error) {
        if (!are_copies(&piece_of_candidate(k, own->candidate)->sketch, &piece_of_candidate(k, candidate)->sketch))
            own->second = own->best->error;
        own->best = like;
        own->candidate = candidate;
    } else if (like->error < own->second && !are_copies(&piece_of_candidate(k, own->candidate)->sketch, &piece_of_candidate(k, candidate)->sketch)) {
        own->second = like->error;
    }
}

static void rank_references(choosing *k) {
    memset(k->ranks, 0, (k->found.reference.count + 1) * sizeof *k->ranks);
    for (size_t c = 0; c < k->found.candidate.count; c++)
        for (size_t i = 0; i < k->found.of[c].count; i++)
            if (is_possible(k, &k->found.of[c].items[i], c))
                offer(k, &k->found.of[c].items[i], c);
}

static bool is_clear(double best, double second, double clearly) { return second >= clearly * fmax(best, FLOOR); }

/* ------------------------------------------------------------------ pairing */

static lockstep_status pair_up(choosing *k, const ls_likeness *like, size_t candidate, ls_method method, lockstep_error *error) {
    const ls_piece *r = piece_of_reference(k, like->reference), *c = piece_of_candidate(k, candidate);
    k->of_reference[r->node] = c->node;
    k->of_candidate[c->node] = r->node;
    k->error[c->node] = like->error;
    return ls_matching_add(k->m, &(ls_pair){.reference = r->node, .candidate = c->node, .pass_pair = k->pass_pair, .method = method, .reorder = like->reorder}, error);
}

/* The side whose graph is walked: the candidate's, or the reference's where only that is one. */
static bool is_reference_walked(const choosing *k) { return k->m->in->reference.trace->is_graph && !k->m->in->candidate.trace->is_graph; }
static const ls_values *graph_of(const choosing *k) { return is_reference_walked(k) ? &k->m->in->reference.values : &k->m->in->candidate.values; }

static void trace_lineages(choosing *k) {
    if (k->reference.values != NULL)
        ls_lineage_trace(&k->reference, k->of_reference);
    if (k->candidate.values != NULL)
        ls_lineage_trace(&k->candidate, k->of_candidate);
}

/* Per node of the graph: the least error of what was found to be right and is computed from it. */
static void find_shelters(choosing *k) {
    const ls_values *v = graph_of(k);
    const size_t *partners = is_reference_walked(k) ? k->of_reference : k->of_candidate;
    for (size_t i = 0; i < v->trace->node_count; i++)
        k->shelter[i] = INFINITY;
    for (size_t i = 0; i < v->trace->node_count; i++) {
        const size_t candidate = is_reference_walked(k) ? partners[i] : i;
        for (size_t s = 0; s < v->trace->nodes[i].source_count && v->value_of[i] == i && partners[i] != LS_NONE; s++) {
            double *of = &k->shelter[v->value_of[v->trace->nodes[i].sources[s]]];
            *of = fmin(*of, k->error[candidate]);
        }
    }
}

/* A fault of this size would show in what is computed from the tensor. */
static bool is_sheltered(const choosing *k, const ls_piece *r, const ls_piece *c, double error) {
    return error > SHELTER * fmax(k->shelter[is_reference_walked(k) ? r->node : c->node], FLOOR);
}

/* Pairs all that are clearly the closest to each other, until there are no more. */
static lockstep_status pair_closest(choosing *k, double limit, double clearly, ls_method method, lockstep_error *error) {
    for (bool any = true; any;) {
        any = false;
        trace_lineages(k);
        find_shelters(k);
        rank_references(k);
        for (size_t c = 0; c < k->found.candidate.count; c++) {
            const rank own = rank_of_candidate(k, c);
            const rank *other = own.best != NULL ? &k->ranks[own.best->reference] : NULL;
            if (other == NULL || own.best->error > limit || (other->best != own.best && other->best->error < own.best->error))
                continue;
            if (!is_clear(own.best->error, own.second, clearly) || !is_clear(own.best->error, other->second, clearly))
                continue;
            if (is_sheltered(k, piece_of_reference(k, own.best->reference), piece_of_candidate(k, c), own.best->error))
                continue;
            LS_TRY(pair_up(k, own.best, c, method, error));
            any = true;
        }
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ what rounding blurs */

/* The reference piece that each candidate piece would have if rounding did not count; LS_NONE. */
typedef struct guesses {
    size_t *of_candidate, *of_reference; /* per piece */
} guesses;

static const ls_likeness *likeness_of(const choosing *k, size_t candidate, size_t reference) {
    const ls_likenesses *of = &k->found.of[candidate];
    for (size_t i = 0; i < of->count; i++)
        if (of->items[i].reference == reference)
            return &of->items[i];
    return NULL;
}

/* Each takes the closest that nobody else has taken. */
static void guess(const choosing *k, double limit, guesses *g) {
    for (size_t c = 0; c < k->found.candidate.count; c++)
        g->of_candidate[c] = LS_NONE;
    for (size_t r = 0; r < k->found.reference.count; r++)
        g->of_reference[r] = LS_NONE;
    for (size_t c = 0; c < k->found.candidate.count; c++)
        for (size_t i = 0; i < k->found.of[c].count; i++) {
            const ls_likeness *like = &k->found.of[c].items[i];
            if (like->error > limit || !is_possible(k, like, c) || g->of_reference[like->reference] != LS_NONE)
                continue;
            g->of_candidate[c] = like->reference;
            g->of_reference[like->reference] = c;
            break;
        }
}

static double contrast_of(const choosing *k, size_t c, size_t r, size_t other_c, size_t other_r) {
    return ls_sketch_contrast(&piece_of_reference(k, r)->sketch, &piece_of_candidate(k, c)->sketch, &piece_of_reference(k, other_r)->sketch, &piece_of_candidate(k, other_c)->sketch);
}

/* Exchanges the partners of two candidates whose difference is that of the references the other way round. */
static bool exchange(const choosing *k, guesses *g, size_t c) {
    bool any = false;
    for (size_t i = 0; i < k->found.of[c].count; i++) {
        const size_t r = g->of_candidate[c], other_r = k->found.of[c].items[i].reference, other_c = g->of_reference[other_r];
        if (other_c == LS_NONE || other_c == c || likeness_of(k, other_c, r) == NULL || contrast_of(k, c, r, other_c, other_r) < 1 || contrast_of(k, c, other_r, other_c, r) > AGREES)
            continue;
        g->of_candidate[c] = other_r;
        g->of_reference[other_r] = c;
        g->of_candidate[other_c] = r;
        g->of_reference[r] = other_c;
        any = true;
    }
    return any;
}

/* Each reference that is about as close has a partner itself, and the differences between the two pairs agree. */
static bool is_confirmed(const choosing *k, const guesses *g, size_t c, const ls_likeness *own) {
    const ls_sketch *sketch = &piece_of_reference(k, own->reference)->sketch;
    bool confirmed = !own->by_layout;
    for (size_t i = 0; i < k->found.of[c].count && confirmed; i++) {
        const ls_likeness *other = &k->found.of[c].items[i];
        const size_t rival = g->of_reference[other->reference];
        const bool is_rival = other != own && is_possible(k, other, c) && !is_clear(own->error, other->error, CLEARLY) && !are_copies(sketch, &piece_of_reference(k, other->reference)->sketch);
        confirmed = !is_rival || (rival != LS_NONE && contrast_of(k, c, own->reference, rival, other->reference) < AGREES);
    }
    return confirmed;
}

/* Drops guesses that are not confirmed. */
static void confirm(const choosing *k, guesses *g) {
    bool *kept = calloc(k->found.candidate.count + 1, sizeof *kept);
    for (size_t c = 0; c < k->found.candidate.count && kept != NULL; c++) {
        const ls_likeness *own = g->of_candidate[c] != LS_NONE ? likeness_of(k, c, g->of_candidate[c]) : NULL;
        kept[c] = own != NULL && is_confirmed(k, g, c, own);
    }
    for (size_t c = 0; c < k->found.candidate.count; c++)
        if (kept == NULL || !kept[c])
            g->of_candidate[c] = LS_NONE;
    free(kept);
}

static lockstep_status pair_guesses(choosing *k, double limit, ls_method method, guesses *g, lockstep_error *error) {
    enum { ROUNDS = 8 };
    guess(k, limit, g);
    for (int round = 0, any = 1; round < ROUNDS && any; round++) {
        any = 0;
        for (size_t c = 0; c < k->found.candidate.count; c++)
            any |= g->of_candidate[c] != LS_NONE && exchange(k, g, c);
    }
    confirm(k, g);
    for (size_t c = 0; c < k->found.candidate.count; c++) {
        const ls_likeness *own = g->of_candidate[c] != LS_NONE ? likeness_of(k, c, g->of_candidate[c]) : NULL;
        if (own != NULL && is_possible(k, own, c))
            LS_TRY(pair_up(k, own, c, method, error));
    }
    return LOCKSTEP_OK;
}

/* Pairs tensors that differ from each other by less than their rounding: what they have in common, the rounding has, too. */
static lockstep_status pair_blurred(choosing *k, double limit, ls_method method, lockstep_error *error) {
    guesses g = {malloc((k->found.candidate.count + 1) * sizeof(size_t)), malloc((k->found.reference.count + 1) * sizeof(size_t))};
    const lockstep_status status = g.of_candidate != NULL && g.of_reference != NULL ? pair_guesses(k, limit, method, &g, error) : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    free(g.of_candidate);
    free(g.of_reference);
    return status;
}

/* ------------------------------------------------------------------ steps */

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The usual error of two tensors that are the same, times a few. */
static double measure_limit(choosing *k) {
    double *errors = malloc((k->found.candidate.count + 1) * sizeof *errors), limit = LEAST_LIMIT;
    size_t count = 0;
    rank_references(k);
    for (size_t c = 0; c < k->found.candidate.count && errors != NULL; c++) {
        const rank own = rank_of_candidate(k, c);
        if (own.best != NULL && k->ranks[own.best->reference].best == own.best && own.best->error < 3 * MOST_LIMIT)
            errors[count++] = own.best->error;
    }
    if (count > 0) {
        qsort(errors, count, sizeof *errors, by_size);
        limit = fmin(fmax(NOISE * errors[count / 2], LEAST_LIMIT), MOST_LIMIT);
    }
    free(errors);
    return limit;
}

static bool is_copy_of(const choosing *k, size_t candidate, size_t node) {
    bool any = false;
    for (size_t i = 0; i < k->found.candidate.count && !any; i++)
        any = piece_of_candidate(k, i)->node == node && are_copies(&piece_of_candidate(k, i)->sketch, &piece_of_candidate(k, candidate)->sketch);
    return any;
}

/* A tensor that is there twice. */
static lockstep_status pair_copies(choosing *k, lockstep_error *error) {
    for (size_t c = 0; c < k->found.candidate.count; c++)
        for (size_t i = 0; i < k->found.of[c].count && k->of_candidate[piece_of_candidate(k, c)->node] == LS_NONE; i++) {
            const ls_likeness *like = &k->found.of[c].items[i];
            const size_t taken_by = k->of_reference[piece_of_reference(k, like->reference)->node];
            if (taken_by != LS_NONE && like->error <= k->limit && is_copy_of(k, c, taken_by))
                LS_TRY(pair_up(k, like, c, LS_METHOD_CONTENT, error));
        }
    return LOCKSTEP_OK;
}

/* Do the pairs that were found without the order agree with it? A dictionary may be written in any order. */
static bool is_in_order(const choosing *k) {
    size_t count = 0, against = 0;
    for (size_t c = 0; c < k->m->in->candidate.trace->node_count; c++) {
        const size_t r = k->of_candidate[c];
        if (r == LS_NONE)
            continue;
        count++;
        against += (k->reference.values != NULL && !ls_lineage_allows(&k->reference, r, c)) || (k->candidate.values != NULL && !ls_lineage_allows(&k->candidate, c, r));
    }
    return 20 * against <= count;
}

static lockstep_status use_order(choosing *k, lockstep_error *error) {
    const ls_match_inputs *in = k->m->in;
    const bool by_reference = in->reference.trace->is_graph && in->candidate.trace->is_ordered, by_candidate = in->candidate.trace->is_graph && in->reference.trace->is_ordered;
    if (!by_reference && !by_candidate)
        return LOCKSTEP_OK;
    if ((by_reference && !ls_lineage_init(&in->reference.values, &k->reference)) || (by_candidate && !ls_lineage_init(&in->candidate.values, &k->candidate)))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    trace_lineages(k);
    if (!is_in_order(k)) {
        ls_lineage_done(&k->reference);
        ls_lineage_done(&k->candidate);
        return LOCKSTEP_OK;
    }
    LS_TRY(pair_closest(k, k->limit, CLEARLY, LS_METHOD_CONTENT, error));
    return pair_blurred(k, k->limit, LS_METHOD_CONTENT, error);
}

static lockstep_status choose(choosing *k, lockstep_error *error) {
    k->limit = measure_limit(k);
    LS_TRY(pair_closest(k, k->limit, CLEARLY, LS_METHOD_CONTENT, error));
    LS_TRY(pair_blurred(k, k->limit, LS_METHOD_CONTENT, error));
    LS_TRY(use_order(k, error));
    LS_TRY(pair_copies(k, error));
    return pair_closest(k, MOST_LIMIT, CLEARLY, LS_METHOD_CONTENT, error);
}

/* Looks at what is left again: at what it has in common, whatever its size. */
static lockstep_status choose_behind(choosing *k, lockstep_error *error) {
    ls_resemblance_done(&k->found);
    free(k->ranks);
    k->ranks = NULL;
    LS_TRY(ls_resemblance_find(k->m, k->pass_pair, true, &k->found, error));
    k->ranks = calloc(k->found.reference.count + 1, sizeof *k->ranks);
    if (k->ranks == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    LS_TRY(pair_closest(k, BEHIND, CLEARLY_BEHIND, LS_METHOD_INFERRED, error));
    return pair_blurred(k, BEHIND, LS_METHOD_INFERRED, error);
}

/* Too few for two runs of one model: what resembles the rest (attention weights, say) does so by chance. */
static void drop_chances(choosing *k, size_t least) {
    size_t paired = 0;
    for (size_t c = 0; c < k->m->in->candidate.trace->node_count; c++)
        paired += k->of_candidate[c] != LS_NONE;
    if (4 * paired < least)
        ls_matching_retract(k->m, LS_METHOD_INFERRED);
}

/* ------------------------------------------------------------------ a pair of passes */

static size_t *nowhere(size_t count) {
    size_t *all = malloc((count + 1) * sizeof *all);
    for (size_t i = 0; all != NULL && i <= count; i++)
        all[i] = LS_NONE;
    return all;
}

/* Pairs that names have made stay. */
static void take_pairs(choosing *k) {
    for (size_t i = 0; i < k->m->pairs->count; i++) {
        const ls_pair *p = &k->m->pairs->items[i];
        k->of_reference[k->m->in->reference.values.value_of[p->reference]] = p->candidate_value;
        k->of_candidate[p->candidate_value] = k->m->in->reference.values.value_of[p->reference];
        k->error[p->candidate_value] = INFINITY; /* not known yet */
    }
}

static void choosing_done(choosing *k) {
    free(k->of_reference);
    free(k->of_candidate);
    free(k->error);
    free(k->ranks);
    free(k->shelter);
    ls_lineage_done(&k->reference);
    ls_lineage_done(&k->candidate);
    ls_resemblance_done(&k->found);
}

static lockstep_status match_pass(ls_matching *m, size_t pass_pair, lockstep_error *error) {
    const size_t references = m->in->reference.trace->node_count, candidates = m->in->candidate.trace->node_count;
    choosing k = {.m = m, .pass_pair = pass_pair};
    LS_TRY(ls_resemblance_find(m, pass_pair, false, &k.found, error));
    k.of_reference = nowhere(references);
    k.of_candidate = nowhere(candidates);
    k.error = calloc(candidates + 1, sizeof *k.error);
    k.ranks = calloc(k.found.reference.count + 1, sizeof *k.ranks);
    k.shelter = calloc((references > candidates ? references : candidates) + 1, sizeof *k.shelter);
    lockstep_status status = LOCKSTEP_OK;
    if (k.of_reference == NULL || k.of_candidate == NULL || k.error == NULL || k.ranks == NULL || k.shelter == NULL) {
        status = ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    } else {
        take_pairs(&k);
        const size_t least = k.found.reference.count < k.found.candidate.count ? k.found.reference.count : k.found.candidate.count;
        status = choose(&k, error);
        if (status == LOCKSTEP_OK)
            status = choose_behind(&k, error);
        drop_chances(&k, least);
    }
    choosing_done(&k);
    return status;
}

/* ------------------------------------------------------------------ all passes */

/* A container without a graph takes part, or neither side has names that the other knows. */
static bool may_mean_nothing(const ls_matching *m) {
    const ls_match_inputs *in = m->in;
    size_t all = 0, paired = 0;
    for (size_t i = 0; i < in->candidate.trace->node_count; i++) {
        const bool own = m->wanted[i] && ls_values_is_own(&in->candidate.values, i) && ls_node_has_values(&in->candidate.trace->nodes[i]);
        all += own;
        paired += own && m->pair_of[i] != 0;
    }
    return !in->reference.trace->is_graph || !in->candidate.trace->is_graph || (in->preset.count == 0 && 2 * paired < all);
}

/* The one with the most rows shows most. */
static size_t most_telling(const ls_matching *m) {
    const ls_trace *t = m->in->candidate.trace;
    size_t best = 0;
    for (size_t i = 1; i < m->tokens.pair_count; i++)
        best = t->passes[m->tokens.pairs[i].candidate].rows > t->passes[m->tokens.pairs[best].candidate].rows ? i : best;
    return best;
}

static size_t same_in(const ls_values *v, size_t node, size_t pass) {
    return ls_values_find(v, pass, &(ls_label){v->trace->nodes[node].name, v->trace->nodes[node].op, NULL, v->labels[node].of_name_op});
}

/* What was found in one pass holds for all that have the same names. */
static lockstep_status carry_over(ls_matching *m, size_t from, size_t first, size_t end, lockstep_error *error) {
    for (size_t to = 0; to < m->tokens.pair_count; to++)
        for (size_t i = first; i < end && to != from; i++) {
            ls_pair pair = m->pairs->items[i];
            pair.pass_pair = to;
            pair.reference = same_in(&m->in->reference.values, pair.reference, m->tokens.pairs[to].reference);
            pair.candidate = same_in(&m->in->candidate.values, pair.candidate, m->tokens.pairs[to].candidate);
            if (pair.reference != LS_NONE && pair.candidate != LS_NONE)
                LS_TRY(ls_matching_add(m, &pair, error));
        }
    return LOCKSTEP_OK;
}

lockstep_status ls_match_by_values(ls_matching *m, lockstep_error *error) {
    if (m->in->candidate.trace->memory != NULL || m->tokens.pair_count == 0 || !may_mean_nothing(m))
        return LOCKSTEP_OK;
    const size_t from = most_telling(m), first = m->pairs->count;
    LS_TRY(match_pass(m, from, error));
    LS_TRY(carry_over(m, from, first, m->pairs->count, error));
    return ls_match_by_place(m, error);
}
