#include "match/match_by_values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "match/derived.h"
#include "match/names_check.h"
#include "match/structure.h"

#define LEAST_LIMIT 5e-3 /* the largest error of two tensors that are the same, without much rounding */
#define MOST_LIMIT 0.1
#define NOISE 5          /* the same, as a multiple of the error that the best ones have */

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The error of two tensors that are the same, times a few. Most may be behind a fault: the best of them show what rounding alone does. */
static double measure_limit(ls_choosing *k) {
    double *errors = malloc((k->found.candidate.count + 1) * sizeof *errors), limit = LEAST_LIMIT;
    size_t count = 0;
    ls_choosing_rank_references(k);
    for (size_t c = 0; c < k->found.candidate.count && errors != NULL; c++) {
        const ls_rank own = ls_choosing_rank_candidate(k, c);
        if (own.best != NULL && k->ranks[own.best->reference].best == own.best && own.best->error < 3 * MOST_LIMIT)
            errors[count++] = own.best->error;
    }
    if (count > 0) {
        qsort(errors, count, sizeof *errors, by_size);
        limit = fmin(fmax(NOISE * errors[count / 8], LEAST_LIMIT), MOST_LIMIT);
    }
    free(errors);
    return limit;
}

/* How many tensors of one side are copies of a piece, and have, or may have, a partner among the other's copies. */
static size_t count_copies(const ls_pieces *all, const ls_sketch *of, const size_t *partners) {
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++)
        count += (partners == NULL || partners[all->items[i].node] != LS_NONE) && ls_sketches_are_copies(&all->items[i].sketch, of);
    return count;
}

/* As many copies of a tensor have a partner as the reference has. */
static bool has_all_copies(const ls_choosing *k, const ls_pieces *all, const ls_sketch *of) {
    const size_t there = count_copies(&k->first.reference, of, NULL) + count_copies(&k->found.reference, of, NULL);
    return count_copies(all, of, k->of_candidate) > there;
}

/* A row of a tensor, or the tensor itself, beside one that has been paired with it. */
static lockstep_status pair_parts(ls_choosing *k, lockstep_error *error) {
    for (size_t c = 0; c < k->found.candidate.count; c++) {
        const ls_likeness *like = k->found.of[c].count > 0 ? &k->found.of[c].items[0] : NULL;
        const ls_piece *p = ls_choosing_candidate(k, c);
        if (like == NULL || like->error > k->limit || k->of_candidate[p->node] != LS_NONE || k->of_reference[ls_choosing_reference(k, like->reference)->node] == LS_NONE ||
            has_all_copies(k, &k->found.candidate, &p->sketch))
            continue;
        k->of_candidate[p->node] = ls_choosing_reference(k, like->reference)->node;
        k->error[p->node] = like->error;
        LS_TRY(ls_matching_add(k->m, &(ls_pair){.reference = k->of_candidate[p->node], .candidate = p->node, .pass_pair = k->pass_pair, .method = LS_METHOD_CONTENT, .reorder = like->reorder}, error));
    }
    return LOCKSTEP_OK;
}

/* A tensor that is there twice has one partner; one that is there in place of many others has not. */
static lockstep_status pair_copies(ls_choosing *k, lockstep_error *error) {
    const ls_pieces *all = &k->first.candidate;
    for (size_t i = 0; i < all->count; i++)
        for (size_t c = 0; c < all->count && k->of_candidate[all->items[i].node] == LS_NONE; c++) {
            const size_t reference = k->of_candidate[all->items[c].node];
            if (reference == LS_NONE || !ls_sketches_are_copies(&all->items[i].sketch, &all->items[c].sketch))
                continue;
            if (has_all_copies(k, all, &all->items[c].sketch))
                break;
            k->of_candidate[all->items[i].node] = reference;
            LS_TRY(ls_matching_add(k->m, &(ls_pair){.reference = reference, .candidate = all->items[i].node, .pass_pair = k->pass_pair, .method = LS_METHOD_CONTENT}, error));
        }
    return LOCKSTEP_OK;
}

/* Do the pairs that were found without the order agree with it? A dictionary may be written in any order. */
static bool is_in_order(const ls_choosing *k) {
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

static lockstep_status use_order(ls_choosing *k, lockstep_error *error) {
    const ls_match_inputs *in = k->m->in;
    const bool by_reference = in->reference.trace->is_graph && in->candidate.trace->is_ordered, by_candidate = in->candidate.trace->is_graph && in->reference.trace->is_ordered;
    if (!by_reference && !by_candidate)
        return LOCKSTEP_OK;
    if ((by_reference && !ls_lineage_init(&in->reference.values, &k->reference)) || (by_candidate && !ls_lineage_init(&in->candidate.values, &k->candidate)))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_choosing_trace(k);
    if (!is_in_order(k)) {
        ls_lineage_done(&k->reference);
        ls_lineage_done(&k->candidate);
        return LOCKSTEP_OK;
    }
    LS_TRY(ls_choosing_pair_closest(k, k->limit, LS_CLEARLY, LS_METHOD_CONTENT, error));
    return ls_choosing_pair_blurred(k, k->limit, LS_METHOD_CONTENT, error);
}

static lockstep_status choose(ls_choosing *k, const ls_derivation *derivation, lockstep_error *error) {
    k->limit = measure_limit(k);
    LS_TRY(ls_choosing_pair_closest(k, k->limit, LS_CLEARLY, LS_METHOD_CONTENT, error));
    LS_TRY(ls_choosing_pair_blurred(k, k->limit, LS_METHOD_CONTENT, error));
    LS_TRY(use_order(k, error));
    LS_TRY(pair_parts(k, error));
    if (derivation != NULL) /* shows more than a likeness */
        return ls_derived_pair_equal(k, derivation, error);
    return ls_choosing_pair_closest(k, MOST_LIMIT, LS_CLEARLY, LS_METHOD_CONTENT, error);
}

/* What is inferred proves more, and what is proven leaves less to infer from. */
static lockstep_status infer(ls_choosing *k, const ls_derivation *derivation, ls_value_findings *findings, lockstep_error *error) {
    enum { ROUNDS = 6 };
    const double limit = k->m->in->reference.trace->is_graph || k->m->in->candidate.trace->is_graph ? LS_BEHIND : LS_BEHIND_ALONE;
    size_t before = SIZE_MAX;
    for (int round = 0; round < ROUNDS && k->m->pairs->count != before; round++) {
        before = k->m->pairs->count;
        if (derivation != NULL)
            LS_TRY(ls_derived_pair_behind(k, derivation, findings, error));
        LS_TRY(ls_choosing_pair_closest(k, limit, LS_CLEARLY_BEHIND, LS_METHOD_INFERRED, error));
        LS_TRY(ls_choosing_pair_blurred(k, limit, LS_METHOD_INFERRED, error));
    }
    return LOCKSTEP_OK;
}

/* Looks at what is left again: at what it has in common, whatever its size. */
static lockstep_status choose_behind(ls_choosing *k, const ls_derivation *derivation, ls_value_findings *findings, lockstep_error *error) {
    k->first = k->found;
    k->found = (ls_resemblance){0};
    free(k->ranks);
    k->ranks = NULL;
    LS_TRY(ls_resemblance_find(k->m, k->pass_pair, true, &k->found, error));
    k->ranks = calloc(k->found.reference.count + 1, sizeof *k->ranks);
    if (k->ranks == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    LS_TRY(infer(k, derivation, findings, error));
    LS_TRY(ls_structure_pair(k, error));
    return pair_copies(k, error);
}

/* Where few have a partner for certain, what resembles the rest (attention weights, say) does so by chance. */
static lockstep_status drop_chances(ls_choosing *k, ls_value_findings *findings, lockstep_error *error) {
    const ls_pieces *r = &k->first.reference, *c = &k->first.candidate;
    bool *dropped = calloc(k->m->pairs->count + 1, sizeof *dropped);
    if (dropped == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    findings->possible = (r->count < c->count ? r->count : c->count) + (findings->drops_names ? 0 : findings->named);
    for (size_t i = 0; i < k->m->pairs->count; i++) {
        dropped[i] = k->m->pairs->items[i].method == LS_METHOD_INFERRED;
        findings->paired += !dropped[i];
    }
    if (ls_value_findings_are_few(findings))
        ls_matching_retract(k->m, dropped);
    free(dropped);
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ a pair of passes */

static size_t *nowhere(size_t count) {
    size_t *all = malloc((count + 1) * sizeof *all);
    for (size_t i = 0; all != NULL && i <= count; i++)
        all[i] = LS_NONE;
    return all;
}

/* Pairs that names have made stay. */
static void take_pairs(ls_choosing *k) {
    for (size_t i = 0; i < k->m->pairs->count; i++) {
        const ls_pair *p = &k->m->pairs->items[i];
        k->of_reference[k->m->in->reference.values.value_of[p->reference]] = p->candidate_value;
        k->of_candidate[p->candidate_value] = k->m->in->reference.values.value_of[p->reference];
        k->error[p->candidate_value] = INFINITY; /* not known yet */
    }
}

static void choosing_done(ls_choosing *k) {
    free(k->of_reference);
    free(k->of_candidate);
    free(k->error);
    free(k->ranks);
    free(k->shelter);
    free(k->is_settled);
    ls_lineage_done(&k->reference);
    ls_lineage_done(&k->candidate);
    ls_resemblance_done(&k->found);
    ls_resemblance_done(&k->first);
}

static lockstep_status match_pass(ls_matching *m, size_t pass_pair, const ls_derivation *derivation, ls_value_findings *findings, lockstep_error *error) {
    const size_t references = m->in->reference.trace->node_count, candidates = m->in->candidate.trace->node_count;
    ls_choosing k = {.m = m, .pass_pair = pass_pair};
    LS_TRY(ls_resemblance_find(m, pass_pair, false, &k.found, error));
    k.of_reference = nowhere(references);
    k.of_candidate = nowhere(candidates);
    k.error = calloc(candidates + 1, sizeof *k.error);
    k.ranks = calloc(k.found.reference.count + 1, sizeof *k.ranks);
    k.is_settled = calloc(references + 1, sizeof *k.is_settled);
    k.shelter = calloc((references > candidates ? references : candidates) + 1, sizeof *k.shelter);
    lockstep_status status = LOCKSTEP_OK;
    if (k.of_reference == NULL || k.of_candidate == NULL || k.error == NULL || k.ranks == NULL || k.shelter == NULL || k.is_settled == NULL) {
        status = ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    } else {
        take_pairs(&k);
        status = choose(&k, derivation, error);
        if (status == LOCKSTEP_OK)
            status = choose_behind(&k, derivation, findings, error);
        if (status == LOCKSTEP_OK)
            status = drop_chances(&k, findings, error);
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

/* The last axis that most tensors of four axes have in the reference's pass, other than its rows: the size of its heads. 0: unknown. */
static uint64_t head_size_of(const ls_matching *m, size_t pass_pair) {
    enum { LARGEST = 1024 };
    const ls_trace *t = m->in->reference.trace;
    const size_t pass = m->tokens.pairs[pass_pair].reference;
    size_t counts[LARGEST] = {0}, best = 0;
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        const uint64_t size = n->rank == 4 && n->pass == pass ? n->shape[3] : 0;
        if (size > 1 && size < LARGEST && size != t->passes[pass].rows && ++counts[size] > counts[best])
            best = (size_t)size;
    }
    return best;
}

static size_t same_in(const ls_values *v, size_t node, size_t pass) {
    return ls_values_find(v, pass, &(ls_label){v->trace->nodes[node].name, v->trace->nodes[node].op, NULL, v->labels[node].of_name_op});
}

/* What has as many elements as its partner in one pass has as many in others, or it is something else there: a cache to which more was added. */
static bool may_carry_over(const ls_matching *m, const ls_pair *from, const ls_pair *to) {
    const ls_node *r = m->in->reference.trace->nodes, *c = m->in->candidate.trace->nodes;
    return r[from->reference].elements != c[from->candidate].elements || r[to->reference].elements == c[to->candidate].elements;
}

/* What was found in one pass holds for all that have the same names. */
static lockstep_status carry_over(ls_matching *m, size_t from, size_t first, size_t end, lockstep_error *error) {
    for (size_t to = 0; to < m->tokens.pair_count; to++)
        for (size_t i = first; i < end && to != from; i++) {
            ls_pair pair = m->pairs->items[i];
            pair.pass_pair = to;
            pair.reference = same_in(&m->in->reference.values, pair.reference, m->tokens.pairs[to].reference);
            pair.candidate = same_in(&m->in->candidate.values, pair.candidate, m->tokens.pairs[to].candidate);
            if (pair.reference != LS_NONE && pair.candidate != LS_NONE && may_carry_over(m, &m->pairs->items[i], &pair))
                LS_TRY(ls_matching_add(m, &pair, error));
        }
    return LOCKSTEP_OK;
}

lockstep_status ls_match_by_values(ls_matching *m, const ls_derivation *derivation, ls_value_findings *findings, lockstep_error *error) {
    if (m->in->candidate.trace->memory != NULL || m->tokens.pair_count == 0 || !may_mean_nothing(m))
        return LOCKSTEP_OK;
    LS_TRY(ls_names_check(m, findings, error));
    const size_t from = most_telling(m), first = m->pairs->count;
    uint64_t *head_size = &m->facts[m->tokens.pairs[from].candidate].head_size;
    *head_size = *head_size > 0 ? *head_size : head_size_of(m, from);
    LS_TRY(match_pass(m, from, derivation, findings, error));
    LS_TRY(carry_over(m, from, first, m->pairs->count, error));
    return ls_match_by_place(m, error);
}
