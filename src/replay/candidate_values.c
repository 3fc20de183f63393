#include "replay/candidate_values.h"

#include <stdlib.h>
#include <string.h>

#include "replay/replayer.h"

struct ls_candidate_values {
    ls_replayer w; /* of the reference's graph */
    ls_array varied;
};

/* ------------------------------------------------------------------ opening */

lockstep_status ls_candidate_values_open(const ls_trace *reference, const ls_models *models, ls_candidate_values **out, lockstep_error *error) {
    const size_t n = reference->node_count;
    ls_candidate_values *v = calloc(1, sizeof *v);
    if (v == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_replayer *w = &v->w;
    *w = (ls_replayer){.candidate = reference, .models = models, .first_tried = LS_NONE, .sampled = LS_NONE};
    w->steps = calloc(n + 1, sizeof *w->steps);
    w->cache_of = calloc(n + 1, sizeof *w->cache_of);
    w->decoded = calloc(n + 1, sizeof *w->decoded);
    w->is_handed_on = calloc(n + 1, sizeof *w->is_handed_on);
    w->tried = calloc(n + 1, sizeof *w->tried);
    w->depends = calloc(n + 1, 1);
    const bool ok = w->steps != NULL && w->cache_of != NULL && w->decoded != NULL && w->is_handed_on != NULL && w->tried != NULL && w->depends != NULL;
    for (size_t i = 0; i < n && ok; i++)
        w->steps[i].partner = w->steps[i].likeness = LS_NONE;
    const lockstep_status status = ok ? ls_replayer_prepare(w, error) : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (status != LOCKSTEP_OK)
        ls_candidate_values_close(v);
    else
        *out = v;
    return status;
}

void ls_candidate_values_close(ls_candidate_values *v) {
    if (v == NULL)
        return;
    ls_replayer *w = &v->w;
    for (size_t i = 0; i < w->candidate->node_count; i++) {
        if (w->steps != NULL)
            ls_array_release(&w->steps[i].value);
        if (w->decoded != NULL)
            ls_array_release(&w->decoded[i]);
    }
    for (size_t i = 0; i < w->cache_count; i++)
        free(w->caches[i].nodes);
    ls_array_release(&v->varied);
    ls_map_done(&w->cache_numbers);
    free(w->caches);
    free(w->steps);
    free(w->cache_of);
    free(w->decoded);
    free(w->is_handed_on);
    free(w->tried);
    free(w->depends);
    free(v);
}

/* ------------------------------------------------------------------ computing */

static void settle(void *context, size_t node, double *values) {
    ls_candidate_values *v = context;
    ls_array *own = &v->w.steps[node].value;
    ls_array_release(own);
    ls_values_give(&v->w.candidate->nodes[node], values, own);
}

static double *exchange(void *context, size_t node, double *values) {
    ls_array *own = &((ls_candidate_values *)context)->w.steps[node].value;
    double *kept = own->values;
    if (kept != NULL)
        own->values = values;
    return kept;
}

static ls_view view_of(const ls_node *n, const ls_array *array) {
    ls_view view = {.data = (const uint8_t *)array->values, .dtype = LOCKSTEP_F64, .rank = n->rank};
    memcpy(view.shape, n->shape, sizeof view.shape);
    ls_view_set_contiguous(&view);
    return view;
}

static bool compute(void *context, size_t node, ls_view *out) {
    ls_candidate_values *v = context;
    const ls_node *n = &v->w.candidate->nodes[node];
    ls_array computed;
    const char *reason;
    if (!ls_replayer_compute(&v->w, node, false, &computed, NULL, &reason))
        return false;
    ls_array_release(&v->w.steps[node].value);
    v->w.steps[node].value = computed;
    if (n->role == LOCKSTEP_ROLE_WRITE)
        ls_replayer_release_writes(&v->w, node);
    *out = view_of(n, &computed);
    return n->role == LOCKSTEP_ROLE_COMPUTED;
}

/* Computes a node with another weight in a slot. */
static bool compute_with(ls_replayer *w, size_t node, size_t slot, size_t weight, ls_array *out) {
    const ls_node *n = &w->candidate->nodes[node];
    ls_array operands[LS_EVAL_OPERANDS] = {0};
    ls_evaluation e = {.node = n, .every = 1, .is_rough = true};
    bool ok = ls_eval_covers(n) && n->operand_count <= LS_EVAL_OPERANDS;
    for (size_t i = 0; i < n->operand_count && ok; i++)
        if (n->operands[i] != LS_NONE) {
            ok = ls_replayer_operand(w, i == slot ? weight : n->operands[i], node, false, &operands[i], &e.reason);
            e.operands[i] = &operands[i];
        }
    double *values = ok ? ls_values_new(n, &e.reason) : NULL, *scale = values != NULL ? ls_values_new(n, &e.reason) : NULL;
    e.out = values;
    e.scale = scale;
    ok = scale != NULL && ls_eval(&e);
    for (int i = 0; i < LS_EVAL_OPERANDS; i++)
        ls_array_release(&operands[i]);
    free(scale);
    if (ok)
        ls_values_give(n, values, out);
    else
        free(values);
    return ok;
}

static bool have_one_shape(const ls_node *a, const ls_node *b) { return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0; }

/* The k-th weight that may be in the place of another; LS_NONE. */
static size_t other_weight(const ls_trace *t, size_t weight, size_t k) {
    for (size_t i = 0; i < t->node_count; i++)
        if (i != weight && t->nodes[i].role == LOCKSTEP_ROLE_WEIGHT && have_one_shape(&t->nodes[i], &t->nodes[weight]) && k-- == 0)
            return i;
    return LS_NONE;
}

static size_t vary(void *context, size_t node, size_t k, ls_view *out, bool *out_computed) {
    ls_candidate_values *v = context;
    const ls_node *n = &v->w.candidate->nodes[node];
    size_t slot = 0;
    while (slot < n->operand_count && (n->operands[slot] == LS_NONE || ls_replayer_weight(&v->w, n, slot) != n->operands[slot]))
        slot++;
    const size_t weight = slot < n->operand_count ? other_weight(v->w.candidate, n->operands[slot], k) : LS_NONE;
    ls_array_release(&v->varied);
    *out_computed = weight != LS_NONE && compute_with(&v->w, node, slot, weight, &v->varied);
    if (*out_computed)
        *out = view_of(n, &v->varied);
    return weight;
}

ls_derivation ls_candidate_values_derivation(ls_candidate_values *v) { return (ls_derivation){v, settle, exchange, compute, vary}; }
