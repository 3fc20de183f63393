/* Operations on rows, the innermost axis. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "eval/eval.h"

static bool has_rows(ls_evaluation *e, uint64_t *out_width) {
    if (!ls_eval_has(e, 1))
        return false;
    *out_width = ls_array_size(e->operands[0], 0);
    return *out_width > 0 || ls_eval_refuse(e, "rows without elements");
}

static bool has_equal_rows(ls_evaluation *e, uint64_t *out_width) {
    if (!has_rows(e, out_width))
        return false;
    for (int axis = 0; axis < LOCKSTEP_MAX_RANK; axis++)
        if (ls_eval_size(e, axis) != ls_array_size(e->operands[0], axis))
            return ls_eval_misfit(e);
    return true;
}

/* ------------------------------------------------------------------ norms */

void ls_eval_normalize(const ls_op *op, const double *x, uint64_t n, double eps, double *out, double *scale) {
    double mean = 0, squares = 0;
    for (uint64_t i = 0; i < n && op->id != LS_OP_RMS_NORM && op->id != LS_OP_L2_NORM; i++)
        mean += x[i] / (double)n;
    for (uint64_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    const double length = op->id == LS_OP_L2_NORM ? fmax(sqrt(squares), eps) : sqrt(squares / (double)n + eps);
    for (uint64_t i = 0; i < n; i++) {
        out[i] = (x[i] - mean) / length;
        scale[i] = (fabs(x[i]) + fabs(mean)) / length;
    }
}

bool ls_eval_norm(ls_evaluation *e) {
    uint64_t n;
    if (!has_equal_rows(e, &n))
        return false;
    const double eps = ls_eval_parameter(e, "eps", 0);
    for (uint64_t at = 0; at < e->node->elements; at += n)
        ls_eval_normalize(e->node->kind, e->operands[0]->values + at, n, eps, e->out + at, e->scale + at);
    return true;
}

/* Groups of channels, the third axis from the innermost, are normalized together. */
bool ls_eval_group_norm(ls_evaluation *e) {
    uint64_t n;
    int64_t count;
    if (!has_equal_rows(e, &n) || !ls_eval_integer(e, "groups", 0, INT32_MAX, &count))
        return false;
    const uint64_t groups = (uint64_t)count, channels = ls_eval_size(e, 2), plane = n * ls_eval_size(e, 1);
    if (groups == 0 || groups > channels)
        return ls_eval_refuse(e, "a number of groups that doesn't fit");
    const uint64_t each = (channels + groups - 1) / groups;
    const double eps = ls_eval_parameter(e, "eps", 0);
    for (uint64_t batch = 0; batch < e->node->elements; batch += plane * channels)
        for (uint64_t c = 0; c < channels; c += each) {
            const uint64_t at = batch + c * plane, size = (c + each < channels ? each : channels - c) * plane;
            ls_eval_normalize(e->node->kind, e->operands[0]->values + at, size, eps, e->out + at, e->scale + at);
        }
    return true;
}

/* ------------------------------------------------------------------ softmax */

/* ALiBi's slope of a head. */
static double slope_of(double max_bias, uint64_t head, uint64_t heads) {
    uint64_t power = 1;
    while (2 * power <= heads)
        power *= 2;
    if (max_bias <= 0)
        return 1;
    return head < power ? pow(2, -max_bias / (double)power * (double)(head + 1)) : pow(2, -max_bias / 2 / (double)power * (double)(2 * (head - power) + 1));
}

/* The mask's row of a query, or NULL: it repeats along heads and sequences. */
static const double *mask_row(const ls_array *mask, uint64_t query, uint64_t head, uint64_t sequence) {
    const uint64_t rows = ls_array_size(mask, 1), heads = ls_array_size(mask, 2), sequences = ls_array_size(mask, 3);
    return query < rows ? mask->values + (((sequence % sequences) * heads + head % heads) * rows + query) * ls_array_size(mask, 0) : NULL;
}

void ls_eval_mask_out(const ls_node *softmax, const ls_array *mask, double *values) {
    const uint64_t n = softmax->shape[softmax->rank - 1], queries = softmax->rank > 1 ? softmax->shape[softmax->rank - 2] : 1, heads = softmax->rank > 2 ? softmax->shape[softmax->rank - 3] : 1;
    for (uint64_t row = 0; row < softmax->elements / n && mask->elements > 0 && ls_array_size(mask, 0) == n; row++) {
        const double *masks = mask_row(mask, row % queries, row / queries % heads, row / queries / heads);
        for (uint64_t i = 0; masks != NULL && i < n; i++)
            if (masks[i] == -INFINITY && isnan(values[row * n + i]))
                values[row * n + i] = 0;
    }
}

/* Turns scores into probabilities; NaN where everything is masked, as a quotient of zeros. */
static void to_probabilities(double *x, uint64_t n, const double *sink) {
    double most = sink != NULL ? *sink : -INFINITY, sum = 0;
    for (uint64_t i = 0; i < n; i++)
        most = fmax(most, x[i]);
    for (uint64_t i = 0; i < n; i++)
        sum += x[i] = x[i] == -INFINITY && most > -INFINITY ? 0 : exp(x[i] - most);
    if (sink != NULL)
        sum += exp(*sink - most);
    for (uint64_t i = 0; i < n; i++)
        x[i] /= sum;
}

typedef struct softmax {
    ls_evaluation *e;
    uint64_t n, queries, heads, rows, part; /* part: rows of a task */
    double scale, max_bias;
} softmax;

static void softmax_rows(void *context, uint64_t task, int worker) {
    const softmax *s = context;
    const ls_array *mask = s->e->operands[1], *sinks = s->e->operands[2];
    const uint64_t n = s->n, last = (task + 1) * s->part < s->rows ? (task + 1) * s->part : s->rows;
    (void)worker;
    for (uint64_t r = task * s->part; r < last; r++) {
        const uint64_t head = r / s->queries % s->heads;
        const double slope = slope_of(s->max_bias, head, s->heads), *x = s->e->operands[0]->values + r * n;
        const double *row = mask != NULL ? mask_row(mask, r % s->queries, head, r / s->queries / s->heads) : NULL;
        double *out = s->e->out + r * n;
        for (uint64_t i = 0; i < n; i++)
            out[i] = row == NULL ? x[i] * s->scale : row[i] == -INFINITY ? -INFINITY : x[i] * s->scale + slope * row[i];
        to_probabilities(out, n, sinks != NULL ? &sinks->values[head] : NULL);
    }
}

bool ls_eval_softmax(ls_evaluation *e) {
    enum { PART = 1 << 14 }; /* elements */
    softmax s = {.e = e, .queries = ls_eval_size(e, 1), .heads = ls_eval_size(e, 2)};
    if (!has_equal_rows(e, &s.n))
        return false;
    const ls_array *mask = e->operands[1], *sinks = e->operands[2];
    s.rows = e->operands[0]->elements / s.n;
    s.part = s.n < PART ? PART / s.n : 1;
    s.scale = ls_eval_parameter(e, "scale", 1);
    s.max_bias = ls_eval_parameter(e, "max_bias", 0);
    if ((mask != NULL && (mask->elements == 0 || ls_array_size(mask, 0) != s.n || ls_array_size(mask, 1) < s.queries)) || (sinks != NULL && sinks->elements < s.heads))
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    ls_pool_run((s.rows + s.part - 1) / s.part, softmax_rows, &s);
    return true;
}

void ls_eval_add_values(const double *v, uint64_t keys, uint64_t width, const double *scores, const double *weights, double *out, double *scale) {
    for (uint64_t i = 0; i < width; i++)
        out[i] = scale[i] = 0;
    for (uint64_t j = 0; j < keys; j++)
        for (uint64_t i = 0; i < width && weights[j] != 0; i++)
            out[i] += weights[j] * v[j * width + i];
    for (uint64_t j = 0; j < keys; j++)
        for (uint64_t i = 0; i < width && weights[j] != 0; i++) {
            const double term = weights[j] * v[j * width + i], moved = weights[j] * scores[j] * (v[j * width + i] - out[i]);
            scale[i] += term * term + moved * moved;
        }
    for (uint64_t i = 0; i < width; i++)
        scale[i] = fmax(sqrt(scale[i]), fabs(out[i]));
}

typedef struct attention {
    const ls_array *q, *k, *v, *mask, *sinks;
    uint64_t width, of_v, queries, keys, heads, kv_heads;
    double scale, max_bias, softcap;
} attention;

/* One query of one head. `scores` and `weights` have room for the keys. */
static void attend(const attention *a, uint64_t sequence, uint64_t head, uint64_t query, double *scores, double *weights, double *out, double *scale) {
    const uint64_t kv_head = head / (a->heads / a->kv_heads);
    const double *q = a->q->values + ((sequence * a->heads + head) * a->queries + query) * a->width;
    const double *k = a->k->values + (sequence * a->kv_heads + kv_head) * a->keys * a->width, *v = a->v->values + (sequence * a->kv_heads + kv_head) * a->keys * a->of_v;
    const double slope = slope_of(a->max_bias, head, a->heads), *row = a->mask != NULL ? mask_row(a->mask, query, head, sequence) : NULL;
    for (uint64_t j = 0; j < a->keys; j++) {
        double dot = 0;
        const bool masked = row != NULL && row[j] == -INFINITY; /* there may be nothing yet */
        for (uint64_t i = 0; i < a->width && !masked; i++)
            dot += q[i] * k[j * a->width + i];
        dot *= a->scale;
        if (a->softcap != 0)
            dot = a->softcap * tanh(dot / a->softcap);
        scores[j] = masked ? 0 : dot;
        weights[j] = masked ? -INFINITY : dot + (row != NULL ? slope * row[j] : 0);
    }
    to_probabilities(weights, a->keys, a->sinks != NULL ? &a->sinks->values[head] : NULL);
    ls_eval_add_values(v, a->keys, a->of_v, scores, weights, out, scale);
}

/* q [sequences, heads, queries, n], k and v [sequences, KV heads, keys, n] -> [sequences, queries, heads, n of v]. */
bool ls_eval_flash_attention(ls_evaluation *e) {
    if (!ls_eval_has(e, 3))
        return false;
    attention a = {.q = e->operands[0], .k = e->operands[1], .v = e->operands[2], .mask = e->operands[3], .sinks = e->operands[4],
                   .scale = ls_eval_parameter(e, "scale", 1), .max_bias = ls_eval_parameter(e, "max_bias", 0), .softcap = ls_eval_parameter(e, "logit_softcap", 0)};
    a.width = ls_array_size(a.q, 0), a.of_v = ls_array_size(a.v, 0), a.queries = ls_array_size(a.q, 1), a.heads = ls_array_size(a.q, 2);
    a.keys = ls_array_size(a.k, 1), a.kv_heads = ls_array_size(a.k, 2);
    const uint64_t sequences = ls_array_size(a.q, 3);
    const bool fits = a.kv_heads > 0 && a.heads % a.kv_heads == 0 && ls_array_size(a.k, 0) == a.width && ls_array_size(a.k, 3) == sequences &&
                      ls_array_size(a.v, 1) == a.keys && ls_array_size(a.v, 2) == a.kv_heads && ls_array_size(a.v, 3) == sequences &&
                      e->node->elements == sequences * a.heads * a.queries * a.of_v && (a.sinks == NULL || a.sinks->elements >= a.heads) &&
                      (a.mask == NULL || (a.mask->elements > 0 && ls_array_size(a.mask, 0) == a.keys && ls_array_size(a.mask, 1) >= a.queries));
    double *scores = fits ? malloc((2 * a.keys + 1) * sizeof *scores) : NULL;
    if (scores == NULL)
        return ls_eval_refuse(e, fits ? "out of memory" : "operands whose shapes don't fit");
    for (uint64_t s = 0; s < sequences; s++)
        for (uint64_t q = 0; q < a.queries; q++)
            for (uint64_t h = 0; h < a.heads; h++) {
                const uint64_t at = ((s * a.queries + q) * a.heads + h) * a.of_v;
                attend(&a, s, h, q, scores, scores + a.keys, e->out + at, e->scale + at);
            }
    free(scores);
    return true;
}

/* ------------------------------------------------------------------ sums and ranks */

bool ls_eval_sum(ls_evaluation *e) {
    if (!ls_eval_has(e, 1))
        return false;
    if (e->node->elements != 1)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    e->out[0] = e->scale[0] = 0;
    for (uint64_t i = 0; i < e->operands[0]->elements; i++) {
        e->out[0] += e->operands[0]->values[i];
        e->scale[0] += fabs(e->operands[0]->values[i]);
    }
    return true;
}

bool ls_eval_sum_rows(ls_evaluation *e) {
    uint64_t n;
    if (!has_rows(e, &n))
        return false;
    if (e->node->elements * n != e->operands[0]->elements)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    const double divisor = e->node->kind->id == LS_OP_MEAN ? (double)n : 1;
    for (uint64_t r = 0; r < e->node->elements; r++) {
        double sum = 0, magnitudes = 0;
        for (uint64_t i = 0; i < n; i++) {
            sum += e->operands[0]->values[r * n + i];
            magnitudes += fabs(e->operands[0]->values[r * n + i]);
        }
        e->out[r] = sum / divisor;
        e->scale[r] = magnitudes / divisor;
    }
    return true;
}

bool ls_eval_cumsum(ls_evaluation *e) {
    uint64_t n;
    if (!has_equal_rows(e, &n))
        return false;
    double sum = 0, magnitudes = 0;
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const double x = e->operands[0]->values[i];
        sum = i % n == 0 ? x : sum + x;
        magnitudes = i % n == 0 ? fabs(x) : magnitudes + fabs(x);
        e->out[i] = sum;
        e->scale[i] = magnitudes;
    }
    return true;
}

typedef struct ranking {
    const double *values;
    double sign;
} ranking;

/* Equal ones stay in their order. */
static int by_value(const void *a, const void *b, void *context) {
    const ranking *r = context;
    const double at_a = *(const double *)a, at_b = *(const double *)b;
    const double x = r->values[(uint64_t)at_a] * r->sign, y = r->values[(uint64_t)at_b] * r->sign;
    const int broken = isnan(x) - isnan(y), order = broken != 0 ? broken : (x > y) - (x < y);
    return order != 0 ? order : (at_a > at_b) - (at_a < at_b);
}

void ls_eval_sort(const double *values, uint64_t n, double sign, double *out) {
    ranking r = {values, sign};
    for (uint64_t i = 0; i < n; i++)
        out[i] = (double)i;
    qsort_r(out, n, sizeof *out, by_value, &r);
}

bool ls_eval_argsort(ls_evaluation *e) {
    uint64_t n;
    if (!has_equal_rows(e, &n))
        return false;
    for (uint64_t at = 0; at < e->node->elements; at += n)
        ls_eval_sort(e->operands[0]->values + at, n, ls_eval_parameter(e, "order", 0) != 0 ? -1 : 1, e->out + at);
    return true;
}

/* The indexes of the largest elements, the largest first. ggml gives them in any order. */
bool ls_eval_top_k(ls_evaluation *e) {
    uint64_t n;
    if (!has_rows(e, &n))
        return false;
    const ls_array *x = e->operands[0];
    const uint64_t k = ls_eval_size(e, 0), rows = x->elements / n;
    double *indexes = k > 0 && k <= n && e->node->elements / k == rows ? malloc(n * sizeof *indexes) : NULL;
    if (indexes == NULL)
        return k <= n && k > 0 && e->node->elements / k == rows ? ls_eval_refuse(e, "out of memory") : ls_eval_misfit(e);
    for (uint64_t row = 0; row < rows; row++) {
        ls_eval_sort(x->values + row * n, n, -1, indexes);
        memcpy(e->out + row * k, indexes, k * sizeof *indexes);
    }
    free(indexes);
    return true;
}

bool ls_eval_argmax(ls_evaluation *e) {
    uint64_t n;
    if (!has_rows(e, &n))
        return false;
    const double *x = e->operands[0]->values;
    if (e->operands[0]->elements / n != e->node->elements)
        return ls_eval_misfit(e);
    for (uint64_t row = 0; row < e->node->elements; row++) {
        uint64_t most = 0;
        for (uint64_t i = 1; i < n; i++)
            most = x[row * n + i] > x[row * n + most] ? i : most;
        e->out[row] = (double)most;
    }
    return true;
}

bool ls_eval_count_equal(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    if (e->node->elements != 1 || a->elements != b->elements)
        return ls_eval_misfit(e);
    e->out[0] = 0;
    for (uint64_t i = 0; i < a->elements; i++)
        e->out[0] += a->values[i] == b->values[i];
    return true;
}

/* Kinds of ggml_tri: which elements are kept. */
enum { UPPER_WITH_DIAGONAL, UPPER, LOWER_WITH_DIAGONAL, LOWER, TRIANGLES };

bool ls_eval_tri(ls_evaluation *e) {
    uint64_t n;
    int64_t kind;
    if (!has_equal_rows(e, &n) || !ls_eval_integer(e, "kind", 0, TRIANGLES - 1, &kind))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t column = i % n, row = i / n % ls_eval_size(e, 1);
        const bool kept = kind == UPPER_WITH_DIAGONAL ? column >= row : kind == UPPER ? column > row : kind == LOWER_WITH_DIAGONAL ? column <= row : column < row;
        e->out[i] = kept ? e->operands[0]->values[i] : 0;
    }
    return true;
}

/* What a query may not see yet: later columns. */
bool ls_eval_diag_mask(ls_evaluation *e) {
    uint64_t n;
    int64_t before;
    if (!has_equal_rows(e, &n) || !ls_eval_integer(e, "n_past", 0, INT32_MAX, &before))
        return false;
    const uint64_t past = (uint64_t)before, queries = ls_eval_size(e, 1);
    const double masked = e->node->kind->id == LS_OP_DIAG_MASK_INF ? -INFINITY : 0;
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = i % n > past + i / n % queries ? masked : e->operands[0]->values[i];
    return true;
}
