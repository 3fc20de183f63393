/* Operations that carry a state from token to token. A part of the result is the state after the last token, and
 * serves as the state until then. */
#include <math.h>

#include "base/pool.h"
#include "eval/eval.h"
#include "op/unary.h"

/* For each head of each sequence: what it reads, and where its part of the result is. */
typedef struct recurrence {
    ls_evaluation *e;
    void (*run)(const struct recurrence *, uint64_t sequence, uint64_t head);
    uint64_t sequences, heads, tokens, size; /* tokens of each sequence; the width of a head */
    uint64_t cells;                          /* of a head's state */
    uint64_t states;                         /* index of the first state in the result */
    uint64_t snapshots;                      /* how many states of each head are kept: 0 is 1 */
    uint64_t groups, inner;                  /* of SSM_SCAN: groups of heads, the size of a channel's state */
    double factor;
} recurrence;

/* While the operation runs, `scale` holds the squares of what the rounding errors are relative to: those of the terms,
 * and those that the cells had before. */

static void decay(ls_evaluation *e, uint64_t at, double factor) {
    e->out[at] *= factor;
    e->scale[at] = factor * factor * e->scale[at] + e->out[at] * e->out[at];
}

static void add_product(ls_evaluation *e, uint64_t at, double factor, double value, double squares) {
    const double term = factor * value;
    e->out[at] += term;
    e->scale[at] += term * term + factor * factor * squares;
}

static void add_cell(ls_evaluation *e, uint64_t at, double factor, uint64_t cell) { add_product(e, at, factor, e->out[cell], e->scale[cell]); }

static void run_head(void *context, uint64_t task, int worker) {
    const recurrence *r = context;
    (void)worker;
    r->run(r, task / r->heads, task % r->heads);
}

static bool run_all(recurrence *r) {
    ls_evaluation *e = r->e;
    if (!ls_eval_affords(e, (double)r->cells * (double)r->heads * (double)r->tokens * (double)r->sequences))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = e->scale[i] = 0;
    ls_pool_run(r->sequences * r->heads, run_head, r);
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->scale[i] = fmax(fabs(e->out[i]), sqrt(e->scale[i]));
    return true;
}

/* Where a head's state is in the result. Begins it with one of the operand's. */
static uint64_t begin_state(const recurrence *r, uint64_t sequence, uint64_t head, const ls_array *from, uint64_t row) {
    ls_evaluation *e = r->e;
    const uint64_t at = r->states + (sequence * r->heads + head) * r->cells;
    for (uint64_t i = 0; i < r->cells; i++) {
        e->out[at + i] = from->values[(row * r->heads + head) * r->cells + i];
        e->scale[at + i] = 0;
    }
    return at;
}

/* The states after the last tokens, the latest first. */
static void keep_snapshot(const recurrence *r, uint64_t state, uint64_t token) {
    ls_evaluation *e = r->e;
    const uint64_t age = r->tokens - 1 - token, copy = state + age * r->cells * r->heads * r->sequences;
    for (uint64_t i = 0; i < r->cells && age > 0 && age < r->snapshots; i++) {
        e->out[copy + i] = e->out[state + i];
        e->scale[copy + i] = e->scale[state + i];
    }
}

/* There are none from before the first token: ggml leaves them as they were. */
static void forget_snapshots(const recurrence *r, uint64_t state) {
    for (uint64_t age = r->tokens; age < r->snapshots; age++)
        for (uint64_t i = 0; i < r->cells; i++)
            r->e->out[state + age * r->cells * r->heads * r->sequences + i] = NAN;
}

/* ------------------------------------------------------------------ Mamba */

/* One channel of a head: its state decays, and takes in x * B; the output is the state times C. */
static void scan_channel(const recurrence *r, uint64_t head, uint64_t token, double x, double dt, uint64_t state, uint64_t out) {
    ls_evaluation *e = r->e;
    const ls_array *a = e->operands[3];
    const uint64_t n = r->inner, kinds = ls_array_size(a, 0), at = (token * r->groups + head / (r->heads / r->groups)) * n;
    const double *b = e->operands[4]->values + at, *c = e->operands[5]->values + at, *rates = a->values + head * kinds;
    for (uint64_t i = 0; i < n; i++) {
        decay(e, state + i, exp(dt * rates[kinds == 1 ? 0 : i]));
        add_product(e, state + i, b[i], x * dt, 0);
        add_cell(e, out, c[i], state + i);
    }
}

static void scan_head(const recurrence *r, uint64_t sequence, uint64_t head) {
    ls_evaluation *e = r->e;
    const uint64_t state = begin_state(r, sequence, head, e->operands[0], (uint64_t)e->operands[6]->values[sequence]);
    for (uint64_t t = 0; t < r->tokens; t++) {
        const uint64_t token = sequence * r->tokens + t;
        const double dt = ls_softplus(e->operands[2]->values[token * r->heads + head]);
        for (uint64_t i = 0; i < r->size; i++) {
            const uint64_t at = (token * r->heads + head) * r->size + i;
            scan_channel(r, head, token, e->operands[1]->values[at], dt, state + i * r->inner, at);
        }
        keep_snapshot(r, state, t);
    }
    forget_snapshots(r, state);
}

static bool are_indexes(const ls_array *ids, uint64_t limit) {
    for (uint64_t i = 0; i < ids->elements; i++)
        if (!(ids->values[i] >= 0 && ids->values[i] < (double)limit))
            return false;
    return true;
}

static bool set_snapshots(recurrence *r) {
    int64_t count;
    if (!ls_eval_integer(r->e, "snapshots", 0, INT32_MAX, &count))
        return false;
    r->snapshots = count > 0 ? (uint64_t)count : 1;
    return true;
}

/* states [.., heads, size, n], x [sequences, tokens, heads, size], dt [sequences, tokens, heads], A [heads, n], or
 * [heads, 1] for Mamba 2, B and C [sequences, tokens, groups, n], ids of states [sequences] -> the outputs, like x, and
 * then the states [snapshots, sequences, heads, size, n] */
bool ls_eval_ssm_scan(ls_evaluation *e) {
    recurrence r = {.e = e, .run = scan_head};
    if (!ls_eval_has(e, 7) || !set_snapshots(&r))
        return false;
    const ls_array *s = e->operands[0], *x = e->operands[1], *a = e->operands[3], *b = e->operands[4], *ids = e->operands[6];
    const uint64_t n = ls_array_size(s, 0), kinds = ls_array_size(a, 0), states = ls_array_size(s, 3);
    r.size = ls_array_size(x, 0), r.heads = ls_array_size(x, 1), r.tokens = ls_array_size(x, 2), r.sequences = ls_array_size(x, 3);
    r.states = x->elements, r.groups = ls_array_size(b, 1), r.inner = n, r.cells = n * r.size;
    if (!ls_array_is(s, n, r.size, r.heads, states) || !ls_array_is(x, r.size, r.heads, r.tokens, r.sequences) || x->elements == 0 || s->elements == 0 ||
        !ls_array_is(e->operands[2], r.heads, r.tokens, r.sequences, 1) || (kinds != 1 && kinds != n) || !ls_array_is(a, kinds, r.heads, 1, 1) || r.groups == 0 ||
        r.heads % r.groups != 0 || !ls_array_is(b, n, r.groups, r.tokens, r.sequences) || !ls_array_is(e->operands[5], n, r.groups, r.tokens, r.sequences) ||
        !ls_array_is(ids, r.sequences, 1, 1, 1) || (double)e->node->elements != (double)x->elements + (double)r.snapshots * (double)(r.cells * r.heads) * (double)r.sequences)
        return ls_eval_misfit(e);
    return are_indexes(ids, states) ? run_all(&r) : ls_eval_refuse(e, "an index out of range");
}

/* ------------------------------------------------------------------ linear attention: RWKV 6, GLA */

/* Whether the first operands have the shape [tokens, heads, size], the one of the states is
 * [sequences, heads * size * size], and the result holds outputs and states. */
static bool is_of_heads(recurrence *r, int count, int state) {
    ls_evaluation *e = r->e;
    const ls_array *first = e->operands[0], *states = e->operands[state];
    const uint64_t tokens = ls_array_size(first, 2);
    r->size = ls_array_size(first, 0), r->heads = ls_array_size(first, 1), r->sequences = ls_array_size(states, 1);
    r->states = first->elements, r->cells = r->size * r->size;
    bool fits = first->elements > 0 && states->elements > 0 && tokens % r->sequences == 0;
    for (int i = 0; i < count; i++)
        fits = fits && ls_array_is(e->operands[i], r->size, r->heads, tokens, 1);
    fits = fits && ls_array_is(states, r->cells * r->heads, r->sequences, 1, 1) && ls_eval_gives(e, r->size * r->heads, tokens + r->size * r->sequences, 1, 1);
    r->tokens = fits ? tokens / r->sequences : 0;
    return fits || ls_eval_misfit(e);
}

static uint64_t row_of(const recurrence *r, uint64_t sequence, uint64_t token, uint64_t head) { return ((sequence * r->tokens + token) * r->heads + head) * r->size; }

/* The output sees the token with a weight of its own, before the state takes it in. */
static void wkv6_head(const recurrence *r, uint64_t sequence, uint64_t head) {
    ls_evaluation *e = r->e;
    const uint64_t n = r->size, state = begin_state(r, sequence, head, e->operands[5], sequence);
    const double *bonus = e->operands[3]->values + head * n;
    for (uint64_t t = 0; t < r->tokens; t++) {
        const uint64_t at = row_of(r, sequence, t, head);
        const double *k = e->operands[0]->values + at, *v = e->operands[1]->values + at, *q = e->operands[2]->values + at, *keep = e->operands[4]->values + at;
        for (uint64_t i = 0; i < n; i++)
            for (uint64_t j = 0; j < n; j++) {
                const uint64_t cell = state + i * n + j;
                add_product(e, at + j, q[i] * bonus[i], k[i] * v[j], 0);
                add_cell(e, at + j, q[i], cell);
                decay(e, cell, keep[i]);
                add_product(e, cell, k[i], v[j], 0);
            }
    }
}

/* k, v, r [tokens, heads, size], bonus [heads, size], decay [tokens, heads, size], states [sequences, heads * size * size]
 * -> [tokens + size * sequences, heads * size] */
bool ls_eval_rwkv_wkv6(ls_evaluation *e) {
    recurrence r = {.e = e, .run = wkv6_head};
    if (!ls_eval_has(e, 6) || !is_of_heads(&r, 3, 5))
        return false;
    if (e->operands[3]->elements != r.size * r.heads || !ls_array_is(e->operands[4], r.size, r.heads, ls_array_size(e->operands[0], 2), 1))
        return ls_eval_misfit(e);
    return run_all(&r);
}

static void gla_head(const recurrence *r, uint64_t sequence, uint64_t head) {
    ls_evaluation *e = r->e;
    const uint64_t n = r->size, state = begin_state(r, sequence, head, e->operands[4], sequence);
    for (uint64_t t = 0; t < r->tokens; t++) {
        const uint64_t at = row_of(r, sequence, t, head);
        const double *k = e->operands[0]->values + at, *v = e->operands[1]->values + at, *q = e->operands[2]->values + at, *keep = e->operands[3]->values + at;
        for (uint64_t i = 0; i < n; i++)
            for (uint64_t j = 0; j < n; j++) {
                const uint64_t cell = state + i * n + j;
                decay(e, cell, keep[i]);
                add_product(e, cell, k[i], v[j], 0);
                add_cell(e, at + j, q[i] * r->factor, cell);
            }
    }
}

/* k, v, q, decay [tokens, heads, size], states [sequences, heads * size * size] -> as above */
bool ls_eval_gated_linear_attn(ls_evaluation *e) {
    recurrence r = {.e = e, .run = gla_head, .factor = ls_eval_parameter(e, "scale", 0)};
    return ls_eval_has(e, 5) && is_of_heads(&r, 4, 4) && run_all(&r);
}

/* ------------------------------------------------------------------ delta rules: RWKV 7, Gated DeltaNet */

/* A row of a state times a vector, and the squares of the terms. */
static double multiply_row(const ls_evaluation *e, uint64_t row, const double *with, uint64_t n, double *out_squares) {
    double sum = 0;
    *out_squares = 0;
    for (uint64_t j = 0; j < n; j++) {
        const double term = e->out[row + j] * with[j];
        sum += term;
        *out_squares += term * term;
    }
    return sum;
}

static void wkv7_head(const recurrence *r, uint64_t sequence, uint64_t head) {
    ls_evaluation *e = r->e;
    const uint64_t n = r->size, state = begin_state(r, sequence, head, e->operands[6], sequence);
    for (uint64_t t = 0; t < r->tokens; t++) {
        const uint64_t at = row_of(r, sequence, t, head);
        const double *q = e->operands[0]->values + at, *keep = e->operands[1]->values + at, *k = e->operands[2]->values + at, *v = e->operands[3]->values + at,
                     *a = e->operands[4]->values + at, *b = e->operands[5]->values + at;
        for (uint64_t i = 0; i < n; i++) {
            double squares;
            const double removed = multiply_row(e, state + i * n, a, n, &squares);
            for (uint64_t j = 0; j < n; j++) {
                const uint64_t cell = state + i * n + j;
                decay(e, cell, keep[j]);
                add_product(e, cell, v[i], k[j], 0);
                add_product(e, cell, b[j], removed, squares);
                add_cell(e, at + i, q[j], cell);
            }
        }
    }
}

/* r, decay, k, v, a, b [tokens, heads, size], states [sequences, heads * size * size] -> as above */
bool ls_eval_rwkv_wkv7(ls_evaluation *e) {
    recurrence r = {.e = e, .run = wkv7_head};
    return ls_eval_has(e, 7) && is_of_heads(&r, 6, 6) && run_all(&r);
}

/* Heads of queries and keys repeat, and so do their sequences. */
static const double *shared_row(const recurrence *r, const ls_array *x, uint64_t sequence, uint64_t token, uint64_t head) {
    const uint64_t heads = ls_array_size(x, 1), own = sequence / (r->sequences / ls_array_size(x, 3));
    return x->values + ((own * r->tokens + token) * heads + head % heads) * r->size;
}

static bool is_shared(const recurrence *r, const ls_array *x) {
    const uint64_t heads = ls_array_size(x, 1), own = ls_array_size(x, 3);
    return x->elements > 0 && r->heads % heads == 0 && r->sequences % own == 0 && ls_array_is(x, r->size, heads, r->tokens, own);
}

/* The state is recorded transposed: a row for each element of the value. */
static void delta_token(const recurrence *r, uint64_t state, const double *k, const double *v, const double *q, const double *gate, uint64_t gates, double beta, uint64_t out) {
    ls_evaluation *e = r->e;
    const uint64_t n = r->size;
    for (uint64_t j = 0; j < n; j++) {
        const uint64_t row = state + j * n;
        double squares;
        for (uint64_t i = 0; i < n; i++)
            decay(e, row + i, exp(gate[gates == 1 ? 0 : i]));
        const double delta = (v[j] - multiply_row(e, row, k, n, &squares)) * beta;
        squares = (squares + v[j] * v[j]) * beta * beta;
        for (uint64_t i = 0; i < n; i++) {
            add_product(e, row + i, k[i], delta, squares);
            add_cell(e, out + j, q[i] * r->factor, row + i);
        }
    }
}

static void delta_head(const recurrence *r, uint64_t sequence, uint64_t head) {
    ls_evaluation *e = r->e;
    const ls_array *g = e->operands[3];
    const uint64_t gates = ls_array_size(g, 0), state = begin_state(r, sequence, head, e->operands[5], sequence);
    for (uint64_t t = 0; t < r->tokens; t++) {
        const uint64_t at = row_of(r, sequence, t, head), one = at / r->size;
        const double *q = shared_row(r, e->operands[0], sequence, t, head), *k = shared_row(r, e->operands[1], sequence, t, head);
        delta_token(r, state, k, e->operands[2]->values + at, q, g->values + one * gates, gates, e->operands[4]->values[one], at);
        keep_snapshot(r, state, t);
    }
    forget_snapshots(r, state);
}

/* q, k [sequences, tokens, heads, size], whose sequences and heads may be fewer, v [sequences, tokens, heads, size],
 * logarithms of decay [sequences, tokens, heads, size or 1], beta [sequences, tokens, heads, 1], states
 * [sequences, heads, size, size] -> [tokens and snapshots of states, heads * size] */
bool ls_eval_gated_delta_net(ls_evaluation *e) {
    recurrence r = {.e = e, .run = delta_head};
    if (!ls_eval_has(e, 6) || !set_snapshots(&r))
        return false;
    const ls_array *v = e->operands[2], *g = e->operands[3];
    const uint64_t gates = ls_array_size(g, 0);
    r.size = ls_array_size(v, 0), r.heads = ls_array_size(v, 1), r.tokens = ls_array_size(v, 2), r.sequences = ls_array_size(v, 3);
    r.states = v->elements, r.cells = r.size * r.size, r.factor = 1 / sqrt((double)r.size);
    if (v->elements == 0 || !ls_array_is(v, r.size, r.heads, r.tokens, r.sequences) || !is_shared(&r, e->operands[0]) || !is_shared(&r, e->operands[1]) ||
        (gates != 1 && gates != r.size) || !ls_array_is(g, gates, r.heads, r.tokens, r.sequences) || !ls_array_is(e->operands[4], 1, r.heads, r.tokens, r.sequences) ||
        !ls_array_is(e->operands[5], r.size, r.size, r.heads, r.sequences) ||
        !ls_eval_gives(e, r.size * r.heads, r.sequences * (r.tokens + r.snapshots * r.size), 1, 1))
        return ls_eval_misfit(e);
    return run_all(&r);
}
