#include "diff/value_pairs.h"

#include <stdlib.h>
#include <string.h>

#include "eval/sampling.h"
#include "match/match_by_values.h"
#include "replay/candidate_values.h"

/* Multiplications, and elements that are held at a time, of a pass of the reference. */
#define COST_MAX 0x1p40
#define ELEMENTS_MAX 0x1p29

/* Whether the reference's operations can be computed on the candidate's values. */
static bool can_derive(const ls_trace *reference) {
    double cost = 0, elements = 0;
    bool any = false;
    for (size_t i = 0; i < reference->node_count; i++) {
        const ls_node *n = &reference->nodes[i];
        if (n->role == LOCKSTEP_ROLE_STATE)
            elements += 2 * (double)n->elements; /* before a write, and after it */
        if (n->role != LOCKSTEP_ROLE_COMPUTED || n->pass == LS_NONE)
            continue;
        any = any || ls_eval_covers(n);
        cost += ls_eval_cost(reference, n);
        elements += (double)n->elements;
    }
    return reference->is_graph && any && cost < COST_MAX && elements < ELEMENTS_MAX;
}

/* ------------------------------------------------------------------ what was exchanged */

static void note(ls_diff *d, ls_remark_code code, const char *text, const char *detail, uint64_t count, uint64_t total) {
    const ls_remark remark = {.code = code, .text = text, .detail = detail, .count = count, .total = total};
    ls_remarks_add(&d->result.hints, &remark);
}

/* An exchange the other way round; `count` if there is none. */
static size_t counterpart(const ls_value_findings *e, size_t of) {
    size_t i = 0;
    while (i < e->count && !(e->items[i].node == e->items[of].instead && e->items[i].instead == e->items[of].node))
        i++;
    return i;
}

static int layer_of(const ls_trace *t, size_t node) { return t->nodes[node].layer; }

/* The layer in which a node is, or in which a weight is read; -1: none. */
static int place_of(const ls_diff *d, const ls_exchange *x) {
    const ls_trace *t = d->in.reference.trace;
    int layer = x->is_of_weights ? -1 : layer_of(t, x->instead);
    for (size_t n = 0; n < t->node_count && layer < 0 && x->is_of_weights; n++)
        for (size_t s = 0; s < t->nodes[n].source_count && layer < 0; s++)
            if (d->in.reference.values.value_of[t->nodes[n].sources[s]] == x->instead)
                layer = layer_of(t, n);
    return layer;
}

/* The same, or -1 if it is the reader's own. */
static int other_layer(const ls_diff *d, const ls_exchange *x) {
    const int layer = place_of(d, x);
    return layer != layer_of(d->in.reference.trace, x->reader) ? layer : -1;
}

/* Notes layers of which each reads several weights of the other, and marks their exchanges as told. */
static void note_layers(ls_diff *d, const ls_value_findings *e, const int *others, bool *told) {
    const ls_trace *t = d->in.reference.trace;
    for (size_t i = 0; i < e->count; i++) {
        const int own = layer_of(t, e->items[i].reader), other = others[i];
        size_t there = 0, back = 0;
        for (size_t k = 0; k < e->count && other >= 0 && !told[i]; k++) {
            there += others[k] == other && layer_of(t, e->items[k].reader) == own;
            back += others[k] == own && layer_of(t, e->items[k].reader) == other;
        }
        if (there < 2 || back < 2)
            continue;
        note(d, LS_REMARK_LAYERS_SWAPPED, NULL, NULL, (uint64_t)(own < other ? own : other), (uint64_t)(own < other ? other : own));
        for (size_t k = 0; k < e->count; k++)
            told[k] = told[k] || (others[k] == other && layer_of(t, e->items[k].reader) == own) || (others[k] == own && layer_of(t, e->items[k].reader) == other);
    }
}

static void note_rest(ls_diff *d, const ls_value_findings *e, bool *told) {
    const ls_node *nodes = d->in.reference.trace->nodes;
    for (size_t i = 0; i < e->count; i++) {
        const ls_exchange *x = &e->items[i];
        const size_t other = counterpart(e, i);
        const bool swapped = other < e->count || !x->is_of_weights;
        if (told[i])
            continue;
        note(d, swapped ? LS_REMARK_SWAPPED : LS_REMARK_OTHER_WEIGHT, swapped ? nodes[x->node].name : nodes[x->reader].name, nodes[x->instead].name, 0, 0);
        if (other < e->count)
            told[other] = true;
    }
}

static lockstep_status note_exchanges(ls_diff *d, const ls_value_findings *e, lockstep_error *error) {
    int *others = malloc((e->count + 1) * sizeof *others);
    bool *told = calloc(e->count + 1, sizeof *told);
    const bool ok = others != NULL && told != NULL;
    for (size_t i = 0; i < e->count && ok; i++)
        others[i] = other_layer(d, &e->items[i]);
    if (ok) {
        note_layers(d, e, others, told);
        note_rest(d, e, told);
    }
    free(others);
    free(told);
    return ok ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

/* ------------------------------------------------------------------ names, and tensors that are quite different */

static void note_names(ls_diff *d, const ls_value_findings *f) {
    if (f->drops_names)
        note(d, LS_REMARK_NAMES_DROPPED, NULL, NULL, f->refuted, f->named);
    else if (f->refuted > 0)
        note(d, LS_REMARK_NAME_REFUTED, d->in.candidate.trace->nodes[f->refuted_candidate].name, d->in.reference.trace->nodes[f->refuted_reference].name, f->refuted, 0);
    if (ls_value_findings_are_few(f))
        note(d, LS_REMARK_FEW_PAIRS, NULL, NULL, f->paired, f->possible);
}

/* ------------------------------------------------------------------ whole */

static lockstep_status pair(ls_diff *d, const ls_derivation *derivation, lockstep_error *error) {
    ls_value_findings findings = {0};
    lockstep_status status = ls_match_by_values(&d->matching, derivation, &findings, error);
    if (status == LOCKSTEP_OK) {
        note_names(d, &findings);
        status = note_exchanges(d, &findings, error);
    }
    free(findings.items);
    return status;
}

static lockstep_status pair_with(ls_diff *d, const ls_models *models, lockstep_error *error) {
    ls_candidate_values *values;
    LS_TRY(ls_candidate_values_open(d->in.reference.trace, models, &values, error));
    const ls_derivation derivation = ls_candidate_values_derivation(values);
    const lockstep_status status = pair(d, &derivation, error);
    ls_candidate_values_close(values);
    return status;
}

lockstep_status ls_value_pairs_find(ls_diff *d, lockstep_error *error) {
    ls_models models = {0};
    if (!can_derive(d->in.reference.trace))
        return pair(d, NULL, error);
    LS_TRY(ls_models_open(d->in.reference.trace, NULL, 0, &models, error));
    const lockstep_status status = pair_with(d, &models, error);
    ls_models_done(&models);
    return status;
}
