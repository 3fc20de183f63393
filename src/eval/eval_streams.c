/* Operations of DeepSeek: the index of sparse attention, and hyper-connections, which mix several residual streams. */
#include <math.h>

#include "eval/eval.h"
#include "op/unary.h"

typedef struct sum {
    double value, squares;
} sum;

static void add_term(sum *s, double a, double b) {
    s->value += a * b;
    s->squares += a * b * (a * b);
}

static void give(ls_evaluation *e, uint64_t at, const sum *s) {
    e->out[at] = s->value;
    e->scale[at] = fmax(fabs(s->value), sqrt(s->squares));
}

/* ------------------------------------------------------------------ which keys are attended to */

/* q [sequences, tokens, heads, n], k [sequences, keys, 1, n], weights [sequences, 1, tokens, heads], mask
 * [.., 1, tokens, keys] -> [sequences, 1, tokens, keys]: for each head the positive part of q * k, weighted */
bool ls_eval_lightning_indexer(ls_evaluation *e) {
    if (!ls_eval_has(e, 4))
        return false;
    const ls_array *q = e->operands[0], *k = e->operands[1], *weights = e->operands[2], *mask = e->operands[3];
    const uint64_t n = ls_array_size(q, 0), heads = ls_array_size(q, 1), tokens = ls_array_size(q, 2), sequences = ls_array_size(q, 3), keys = ls_array_size(k, 2),
                   masks = ls_array_size(mask, 3);
    if (mask->elements == 0 || !ls_array_is(q, n, heads, tokens, sequences) || !ls_array_is(k, n, 1, keys, sequences) || !ls_array_is(weights, heads, tokens, 1, sequences) ||
        !ls_array_is(mask, keys, tokens, 1, masks) || !ls_eval_gives(e, keys, tokens, 1, sequences))
        return ls_eval_misfit(e);
    if (!ls_eval_affords(e, (double)e->node->elements * (double)heads * (double)n))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t key = i % keys, token = i / keys, sequence = token / tokens;
        const double *of_key = k->values + (sequence * keys + key) * n;
        sum score = {0, 0};
        for (uint64_t h = 0; h < heads; h++) {
            sum dot = {0, 0};
            for (uint64_t j = 0; j < n; j++)
                add_term(&dot, q->values[(token * heads + h) * n + j], of_key[j]);
            const double weight = weights->values[token * heads + h];
            add_term(&score, weight, ls_relu(dot.value));
            score.squares += weight * weight * dot.squares;
        }
        give(e, i, &score);
        e->out[i] += mask->values[(sequence % masks * tokens + token % tokens) * keys + key];
    }
    return true;
}

/* ------------------------------------------------------------------ residual streams */

enum { STREAMS = 4, MIXES = (2 + STREAMS) * STREAMS, MIX = 2 * STREAMS /* where those of streams begin */ };

/* Divides rows, or columns, by their sums. */
static void balance(double *matrix, uint64_t along, uint64_t across, double eps) {
    for (uint64_t i = 0; i < STREAMS; i++) {
        double total = eps;
        for (uint64_t j = 0; j < STREAMS; j++)
            total += matrix[i * across + j * along];
        for (uint64_t j = 0; j < STREAMS; j++)
            matrix[i * across + j * along] /= total;
    }
}

/* Softmax of each row. */
static void begin_mix(double *matrix, const double *mixes, double scale, const double *base, double eps) {
    for (uint64_t i = 0; i < STREAMS * STREAMS; i++)
        matrix[i] = mixes[MIX + i] * scale + base[MIX + i];
    for (uint64_t row = 0; row < STREAMS; row++) {
        double most = -INFINITY, total = 0;
        for (uint64_t i = 0; i < STREAMS; i++)
            most = fmax(most, matrix[row * STREAMS + i]);
        for (uint64_t i = 0; i < STREAMS; i++)
            total += matrix[row * STREAMS + i] = exp(matrix[row * STREAMS + i] - most);
        for (uint64_t i = 0; i < STREAMS; i++)
            matrix[row * STREAMS + i] = matrix[row * STREAMS + i] / total + eps;
    }
}

/* mixes [tokens, 24], scales [3], base [24] -> [tokens, 4, 4]: matrices whose rows and columns are made to sum to 1 (Sinkhorn) */
bool ls_eval_hc_comb(ls_evaluation *e) {
    int64_t rounds;
    if (!ls_eval_has(e, 3) || !ls_eval_integer(e, "rounds", 0, 1 << 10, &rounds))
        return false;
    const ls_array *mixes = e->operands[0], *scales = e->operands[1], *base = e->operands[2];
    const uint64_t tokens = ls_array_size(mixes, 1);
    const double eps = ls_eval_parameter(e, "eps", 0);
    if (!ls_array_is(mixes, MIXES, tokens, 1, 1) || scales->elements < 3 || !ls_array_is(base, MIXES, 1, 1, 1) || !ls_eval_gives(e, STREAMS, STREAMS, tokens, 1))
        return ls_eval_misfit(e);
    if (!ls_eval_affords(e, (double)e->node->elements * 4 * (double)rounds))
        return false;
    for (uint64_t t = 0; t < tokens; t++) {
        double *matrix = e->out + t * STREAMS * STREAMS;
        begin_mix(matrix, mixes->values + t * MIXES, scales->values[2], base->values, eps);
        balance(matrix, STREAMS, 1, eps);
        for (int64_t round = 1; round < rounds; round++) {
            balance(matrix, 1, STREAMS, eps);
            balance(matrix, STREAMS, 1, eps);
        }
    }
    return true;
}

/* x [tokens, streams, n], weights [tokens, streams] -> [tokens, n]. If it is gated, the weights are those of all
 * elements, through a sigmoid. */
bool ls_eval_hc_pre(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *x = e->operands[0], *weights = e->operands[1];
    const uint64_t n = ls_array_size(x, 0), streams = ls_array_size(x, 1), tokens = ls_array_size(x, 2);
    const bool gated = ls_eval_parameter(e, "gated", 0) != 0;
    const double factor = ls_eval_parameter(e, "scale", 1);
    if (!ls_array_is(x, n, streams, tokens, 1) || !ls_eval_gives(e, n, tokens, 1, 1) ||
        !(gated ? ls_array_is(weights, n, streams, tokens, 1) : ls_array_is(weights, streams, tokens, 1, 1)))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        sum s = {0, 0};
        for (uint64_t stream = 0; stream < streams; stream++) {
            const uint64_t row = i / n * streams + stream, at = row * n + i % n;
            add_term(&s, x->values[at], factor * (gated ? ls_sigmoid(weights->values[at]) : weights->values[row]));
        }
        give(e, i, &s);
    }
    return true;
}

/* x [tokens, n], residual [tokens, streams, n], weights of x [tokens, streams], of residuals [tokens, streams, streams],
 * without which each stream stays as it is -> [tokens, streams, n] */
bool ls_eval_hc_post(ls_evaluation *e) {
    if (!ls_eval_has(e, 3))
        return false;
    const ls_array *x = e->operands[0], *residual = e->operands[1], *post = e->operands[2], *mix = e->operands[3];
    const uint64_t n = ls_array_size(x, 0), tokens = ls_array_size(x, 1), streams = ls_array_size(residual, 1);
    if (!ls_array_is(x, n, tokens, 1, 1) || !ls_array_is(residual, n, streams, tokens, 1) || !ls_array_is(post, streams, tokens, 1, 1) ||
        (mix != NULL && !ls_array_is(mix, streams, streams, tokens, 1)) || !ls_eval_gives(e, n, streams, tokens, 1))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t column = i % n, stream = i / n % streams, token = i / n / streams;
        sum s = {0, 0};
        add_term(&s, x->values[token * n + column], post->values[token * streams + stream]);
        for (uint64_t from = 0; from < streams; from++) {
            const uint64_t row = token * streams + from;
            add_term(&s, residual->values[row * n + column], mix != NULL ? mix->values[row * streams + stream] : from == stream);
        }
        give(e, i, &s);
    }
    return true;
}
