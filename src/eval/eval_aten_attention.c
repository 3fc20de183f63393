/* Softmax and fused attention as ATen defines them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "eval/aten.h"

/* Turns scores that are `step` numbers apart into probabilities, or their logarithms. Where everything is masked, they are `masked`. */
static void normalize(double *x, uint64_t n, uint64_t step, bool log_, double masked) {
    double most = -INFINITY, sum = 0;
    for (uint64_t i = 0; i < n; i++)
        most = isnan(most) || isnan(x[i * step]) ? NAN : fmax(most, x[i * step]);
    for (uint64_t i = 0; i < n; i++)
        sum += exp(x[i * step] - most);
    for (uint64_t i = 0; i < n; i++)
        x[i * step] = most == -INFINITY ? masked : log_ ? x[i * step] - most - log(sum) : exp(x[i * step] - most) / sum;
}

static bool softmax(ls_evaluation *e, bool log_) {
    ls_aten_axis axis;
    if (!ls_eval_has(e, 1) || !ls_aten_gives(e, e->operands[0]->elements) || !ls_aten_axis_of(e, e->operands[0], "dim", -1, &axis))
        return false;
    memcpy(e->out, e->operands[0]->values, e->node->elements * sizeof *e->out);
    for (uint64_t outer = 0; outer < axis.outer; outer++)
        for (uint64_t inner = 0; inner < axis.inner; inner++)
            normalize(e->out + outer * axis.size * axis.inner + inner, axis.size, axis.inner, log_, NAN);
    for (uint64_t i = 0; i < e->node->elements && log_; i++)
        e->scale[i] = fabs(e->out[i]) + fabs(e->operands[0]->values[i]);
    return true;
}

bool ls_aten_softmax(ls_evaluation *e) { return softmax(e, false); }
bool ls_aten_log_softmax(ls_evaluation *e) { return softmax(e, true); }

/* ------------------------------------------------------------------ fused */

typedef struct attention {
    ls_evaluation *e;
    const ls_array *q, *k, *v, *mask;
    ls_aten_broadcast of_mask;
    uint64_t shape[LOCKSTEP_MAX_RANK]; /* of the scores: [.., queries, keys] */
    uint64_t width, of_v, queries, keys, heads, kv_heads;
    double scale;
    bool is_causal;
    _Atomic bool failed;
} attention;

static bool is_masked(const attention *a, const double *row, uint64_t query, uint64_t key) {
    const double *value = row != NULL ? &row[key * a->of_mask.strides[a->q->rank - 1]] : NULL;
    return (a->is_causal && key > query) || (value != NULL && (a->mask->is_flags ? *value == 0 : *value == -INFINITY));
}

/* `scores` without what a mask adds, `weights` with it. */
static void score(const attention *a, uint64_t at, const double *k, double *scores, double *weights) {
    const uint64_t query = at % a->queries;
    const double *q = a->q->values + at * a->width, *row = a->mask != NULL ? ls_aten_row(&a->of_mask, a->q->rank, a->shape, at) : NULL;
    for (uint64_t j = 0; j < a->keys; j++) {
        double dot = 0;
        const bool masked = is_masked(a, row, query, j);
        for (uint64_t i = 0; i < a->width && !masked; i++)
            dot += q[i] * k[j * a->width + i];
        const double added = row != NULL && !a->mask->is_flags ? row[j * a->of_mask.strides[a->q->rank - 1]] : 0;
        scores[j] = masked ? 0 : dot * a->scale;
        weights[j] = masked ? -INFINITY : scores[j] + added;
    }
}

/* One query of one head. `scores` and `weights` have room for the keys. */
static void attend(const attention *a, uint64_t at, double *scores, double *weights) {
    const uint64_t head = at / a->queries, sequence = head / a->heads, kv_head = sequence * a->kv_heads + head % a->heads / (a->heads / a->kv_heads);
    const double *v = a->v->values + kv_head * a->keys * a->of_v;
    double *out = a->e->out + at * a->of_v, *scale = a->e->scale + at * a->of_v;
    score(a, at, a->k->values + kv_head * a->keys * a->width, scores, weights);
    normalize(weights, a->keys, 1, false, 0);
    ls_eval_add_values(v, a->keys, a->of_v, scores, weights, out, scale);
}

static void attend_all_queries(void *context, uint64_t head, int worker) {
    attention *a = context;
    double *scores = malloc((2 * a->keys + 1) * sizeof *scores);
    const uint64_t rows = a->q->elements / a->width;
    (void)worker;
    a->failed = a->failed || scores == NULL;
    for (uint64_t at = head * a->queries; at < (head + 1) * a->queries && scores != NULL; at++) {
        for (uint64_t i = 0; i < a->of_v; i++)
            a->e->out[at * a->of_v + i] = NAN;
        if (ls_eval_wants(a->e, at, rows))
            attend(a, at, scores, scores + a->keys);
    }
    free(scores);
}

/* Whether all axes but the last three are the same. */
static bool has_same_batch(const ls_array *a, const ls_array *b) {
    bool same = a->rank == b->rank;
    for (int i = 0; i < a->rank - 3 && same; i++)
        same = a->shape[i] == b->shape[i];
    return same;
}

static bool fits(const attention *a, bool shares_heads) {
    const bool heads = a->kv_heads == 1 || (a->kv_heads > 0 && (shares_heads ? a->heads % a->kv_heads == 0 : a->heads == a->kv_heads));
    return heads && a->q->rank >= 2 && has_same_batch(a->q, a->k) && has_same_batch(a->q, a->v) && ls_array_size(a->k, 0) == a->width && a->width > 0 &&
           ls_array_size(a->v, 1) == a->keys && ls_array_size(a->v, 2) == a->kv_heads && a->e->node->elements == a->q->elements / a->width * a->of_v;
}

/* q [.., heads, queries, n], k [.., KV heads, keys, n], v [.., KV heads, keys, m], mask as the scores -> [.., heads, queries, m] */
bool ls_aten_attention(ls_evaluation *e) {
    if (!ls_eval_has(e, 3) || !ls_aten_must_be(e, "dropout", 0))
        return false;
    attention a = {.e = e, .q = e->operands[0], .k = e->operands[1], .v = e->operands[2], .mask = e->operands[3], .is_causal = ls_eval_parameter(e, "is_causal", 0) != 0};
    a.width = ls_array_size(a.q, 0), a.of_v = ls_array_size(a.v, 0), a.queries = ls_array_size(a.q, 1), a.heads = ls_array_size(a.q, 2);
    a.keys = ls_array_size(a.k, 1), a.kv_heads = ls_array_size(a.k, 2);
    a.scale = ls_eval_parameter(e, "scale", 1 / sqrt((double)a.width));
    if (!fits(&a, ls_eval_parameter(e, "enable_gqa", 0) != 0))
        return ls_eval_misfit(e);
    memcpy(a.shape, a.q->shape, sizeof a.shape);
    a.shape[a.q->rank - 1] = a.keys;
    if (a.mask != NULL && !ls_aten_broadcast_to(a.mask, a.q->rank, a.shape, &a.of_mask))
        return ls_eval_misfit(e);
    ls_pool_run(a.q->elements / a.width / (a.queries > 0 ? a.queries : 1), attend_all_queries, &a);
    return !a.failed || ls_eval_refuse(e, "out of memory");
}
