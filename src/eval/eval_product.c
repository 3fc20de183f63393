/* Matrix products. */
#include <math.h>

#include "base/pool.h"
#include "eval/eval.h"

typedef struct row_product {
    double sum, squares;
} row_product;

/* A factor of 0 (what a mask left out) makes the other one irrelevant, even if it is not known. */
static row_product multiply_carefully(const double *a, const double *b, uint64_t n) {
    row_product p = {0, 0};
    for (uint64_t i = 0; i < n; i++) {
        const double term = a[i] == 0 || b[i] == 0 ? 0 : a[i] * b[i];
        p.sum += term;
        p.squares += term * term;
    }
    return p;
}

typedef double lanes __attribute__((vector_size(32), aligned(8)));
enum { LANES = 4 };

__attribute__((always_inline)) static inline row_product multiply_in_lanes(const double *a, const double *b, uint64_t n) {
    lanes sum[2] = {{0}}, squares[2] = {{0}};
    row_product p = {0, 0};
    uint64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES)
        for (int k = 0; k < 2; k++) {
            const lanes term = *(const lanes *)(const void *)(a + i + k * LANES) * *(const lanes *)(const void *)(b + i + k * LANES);
            sum[k] += term;
            squares[k] += term * term;
        }
    for (; i < n; i++) {
        p.sum += a[i] * b[i];
        p.squares += a[i] * b[i] * (a[i] * b[i]);
    }
    for (int k = 0; k < 2 * LANES; k++) {
        p.sum += sum[k / LANES][k % LANES];
        p.squares += squares[k / LANES][k % LANES];
    }
    return p;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static row_product multiply_avx2(const double *a, const double *b, uint64_t n) { return multiply_in_lanes(a, b, n); }
#endif

static row_product multiply(const double *a, const double *b, uint64_t n) {
#ifdef __x86_64__
    const row_product p = __builtin_cpu_supports("avx2") ? multiply_avx2(a, b, n) : multiply_in_lanes(a, b, n);
#else
    const row_product p = multiply_in_lanes(a, b, n);
#endif
    return isfinite(p.squares) ? p : multiply_carefully(a, b, n);
}

/* a [.., m, k] times b [.., n, k], in blocks of rows of `a`, which stay in the cache for all rows of `b`. */
typedef struct product {
    ls_evaluation *e;
    const double *a, *b;
    uint64_t k, m, n, blocks, of_a[2], of_b[2];
} product;

enum { BLOCK = 8, WORTH_THREADS = 1 << 20 }; /* multiplications */

static void multiply_block(void *context, uint64_t task, int worker) {
    const product *p = context;
    const uint64_t outer = task / p->blocks, first = task % p->blocks * BLOCK, last = first + BLOCK < p->m ? first + BLOCK : p->m;
    const uint64_t inner_a = outer % p->of_b[0] / (p->of_b[0] / p->of_a[0]), outer_a = outer / p->of_b[0] / (p->of_b[1] / p->of_a[1]);
    const double *a = p->a + (outer_a * p->of_a[0] + inner_a) * p->m * p->k;
    (void)worker;
    for (uint64_t row = outer * p->n; row < (outer + 1) * p->n; row++) {
        const bool wanted = ls_eval_wants(p->e, row, p->of_b[1] * p->of_b[0] * p->n);
        for (uint64_t i = first; i < last; i++) {
            const row_product one = wanted ? multiply(a + i * p->k, p->b + row * p->k, p->k) : (row_product){NAN, 0};
            p->e->out[row * p->m + i] = one.sum;
            if (wanted)
                p->e->scale[row * p->m + i] = fmax(fabs(one.sum), sqrt(one.squares));
        }
    }
}

/* a [.., m, k] times b [.., n, k] -> [.., n, m]; b's outer axes are multiples of a's. */
bool ls_eval_mul_mat(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    product p = {.e = e, .a = a->values, .b = b->values, .k = ls_array_size(a, 0), .m = ls_array_size(a, 1), .n = ls_array_size(b, 1),
                 .of_a = {ls_array_size(a, 2), ls_array_size(a, 3)}, .of_b = {ls_array_size(b, 2), ls_array_size(b, 3)}};
    if (a->elements == 0 || ls_array_size(b, 0) != p.k || p.of_b[0] % p.of_a[0] != 0 || p.of_b[1] % p.of_a[1] != 0 ||
        e->node->elements != p.of_b[1] * p.of_b[0] * p.n * p.m || b->elements != p.of_b[1] * p.of_b[0] * p.n * p.k || a->elements != p.of_a[1] * p.of_a[0] * p.m * p.k)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    p.blocks = (p.m + BLOCK - 1) / BLOCK;
    const uint64_t tasks = p.of_b[1] * p.of_b[0] * p.blocks;
    if (e->node->elements * p.k >= WORTH_THREADS)
        ls_pool_run(tasks, multiply_block, &p);
    for (uint64_t i = 0; i < tasks && e->node->elements * p.k < WORTH_THREADS; i++)
        multiply_block(&p, i, 0);
    return true;
}

typedef struct plain_product {
    const double *a, *b;
    double *out;
    uint64_t m, n, k;
} plain_product;

static void multiply_rows(void *context, uint64_t task, int worker) {
    const plain_product *p = context;
    const uint64_t last = (task + 1) * BLOCK < p->m ? (task + 1) * BLOCK : p->m;
    (void)worker;
    for (uint64_t row = 0; row < p->n; row++)
        for (uint64_t i = task * BLOCK; i < last; i++)
            p->out[row * p->m + i] = multiply(p->a + i * p->k, p->b + row * p->k, p->k).sum;
}

void ls_multiply(const double *a, const double *b, uint64_t m, uint64_t n, uint64_t k, double *out) {
    plain_product p = {a, b, out, m, n, k};
    const uint64_t tasks = (m + BLOCK - 1) / BLOCK;
    if (m * n * k >= WORTH_THREADS)
        ls_pool_run(tasks, multiply_rows, &p);
    for (uint64_t i = 0; i < tasks && m * n * k < WORTH_THREADS; i++)
        multiply_rows(&p, i, 0);
}

/* experts [experts, m, k], b [tokens, used or 1, k], ids [tokens, used] -> [tokens, used, m] */
bool ls_eval_mul_mat_id(ls_evaluation *e) {
    if (!ls_eval_has(e, 3))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1], *ids = e->operands[2];
    const uint64_t k = ls_array_size(a, 0), m = ls_array_size(a, 1), experts = ls_array_size(a, 2), used = ls_array_size(ids, 0), own = ls_array_size(b, 1),
                   tokens = ls_array_size(b, 2);
    if (a->elements == 0 || ls_array_size(b, 0) != k || own == 0 || used % own != 0 || ids->elements != tokens * used || e->node->elements != tokens * used * m ||
        b->elements != tokens * own * k)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t slot = i / m, token = slot / used;
        const double id = ids->values[slot];
        e->out[i] = NAN;
        if (!ls_eval_wants(e, slot, tokens * used))
            continue;
        if (!(id >= 0 && id < (double)experts))
            return ls_eval_refuse(e, "an index out of range");
        const row_product p = multiply(a->values + ((uint64_t)id * m + i % m) * k, b->values + (token * own + slot % used % own) * k, k);
        e->out[i] = p.sum;
        e->scale[i] = fmax(fabs(p.sum), sqrt(p.squares));
    }
    return true;
}

/* a [.., k, m], b [.., k, n] -> [.., n, m]: a sum of outer products; b's outer axes are multiples of a's. */
bool ls_eval_out_prod(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    const uint64_t m = ls_array_size(a, 0), n = ls_array_size(b, 0), k = ls_array_size(a, 1), of_a[2] = {ls_array_size(a, 2), ls_array_size(a, 3)},
                   of_b[2] = {ls_array_size(b, 2), ls_array_size(b, 3)};
    if (a->elements == 0 || b->elements == 0 || a->rank > LS_EVAL_AXES || !ls_array_is(b, n, k, of_b[0], of_b[1]) || of_b[0] % of_a[0] != 0 || of_b[1] % of_a[1] != 0 ||
        !ls_eval_gives(e, m, n, of_b[0], of_b[1]))
        return ls_eval_misfit(e);
    if (!ls_eval_affords(e, (double)e->node->elements * (double)k))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++) {
        uint64_t at[LS_EVAL_AXES];
        ls_eval_place(e, i, at);
        const uint64_t outer_a = at[3] / (of_b[1] / of_a[1]) * of_a[0] + at[2] / (of_b[0] / of_a[0]), outer_b = at[3] * of_b[0] + at[2];
        double sum = 0, squares = 0;
        e->out[i] = NAN;
        if (!ls_eval_wants(e, i / m, e->node->elements / m))
            continue;
        for (uint64_t j = 0; j < k; j++) {
            const double term = a->values[(outer_a * k + j) * m + at[0]] * b->values[(outer_b * k + j) * n + at[1]];
            sum += term;
            squares += term * term;
        }
        e->out[i] = sum;
        e->scale[i] = fmax(fabs(sum), sqrt(squares));
    }
    return true;
}

/* Solves for one column of x, which starts at `at`. The errors of earlier rows go into later ones. */
static void solve_column(ls_evaluation *e, const double *a, const double *b, uint64_t n, uint64_t columns, uint64_t at) {
    for (uint64_t row = 0; row < n; row++) {
        double sum = b[row * columns], squares = sum * sum;
        for (uint64_t i = 0; i < row; i++) {
            const double factor = a[row * n + i], term = factor * e->out[at + i * columns], error = factor * e->scale[at + i * columns];
            sum -= term;
            squares += term * term + error * error;
        }
        e->out[at + row * columns] = sum / a[row * n + row];
        e->scale[at + row * columns] = sqrt(squares) / fabs(a[row * n + row]);
    }
}

/* a [.., n, n], of which the part above the diagonal is ignored, b [.., n, columns] -> x [.., n, columns] with a x = b */
bool ls_eval_solve_tri(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    const uint64_t n = ls_array_size(a, 0), columns = ls_array_size(b, 0), of[2] = {ls_array_size(a, 2), ls_array_size(a, 3)};
    if (a->elements == 0 || b->elements == 0 || !ls_array_is(a, n, n, of[0], of[1]) || !ls_array_is(b, columns, n, of[0], of[1]) ||
        !ls_eval_gives(e, columns, n, of[0], of[1]))
        return ls_eval_misfit(e);
    if (!ls_eval_affords(e, (double)e->node->elements * (double)n / 2 * (double)(e->every > 1 ? e->every : 1)))
        return false;
    for (uint64_t outer = 0; outer < of[0] * of[1]; outer++)
        for (uint64_t column = 0; column < columns; column++) {
            const uint64_t at = outer * n * columns + column;
            solve_column(e, a->values + outer * n * n, b->values + at, n, columns, at);
        }
    return true;
}
