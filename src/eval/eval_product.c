/* Matrix products. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "eval/blas.h"
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

/* ------------------------------------------------------------------ two matrices */

/* a [m, k] times b [n, k] -> out [n, m], in blocks of rows of `a`: the same on any number of threads. `scale` (as in ls_evaluation)
 * may be NULL. */
typedef struct product {
    const double *a, *b;
    const float *squares_a, *squares_b; /* for the scale by BLAS; or NULL */
    uint64_t m, n, k;
    double *out, *scale;
} product;

enum { BLOCK = 8, BLAS_BLOCK = 64, WORTH_THREADS = 1 << 20, WORTH_BLAS = 1 << 16, BLAS_ROWS = 4 }; /* multiplications */

static void multiply_one(const product *p, uint64_t row, uint64_t i) {
    const row_product one = multiply(p->a + i * p->k, p->b + row * p->k, p->k);
    p->out[row * p->m + i] = one.sum;
    if (p->scale != NULL)
        p->scale[row * p->m + i] = fmax(fabs(one.sum), sqrt(one.squares));
}

static void multiply_block(void *context, uint64_t task, int worker) {
    const product *p = context;
    const uint64_t first = task * BLOCK, last = first + BLOCK < p->m ? first + BLOCK : p->m;
    (void)worker;
    for (uint64_t row = 0; row < p->n; row++)
        for (uint64_t i = first; i < last; i++)
            multiply_one(p, row, i);
}

/* What is not finite, or too large for the squares, is computed by itself. */
static void multiply_block_by_blas(void *context, uint64_t task, int worker) {
    const product *p = context;
    const uint64_t first = task * BLAS_BLOCK, last = first + BLAS_BLOCK < p->m ? first + BLAS_BLOCK : p->m, width = last - first;
    float *squares = p->scale != NULL ? malloc(p->n * width * sizeof *squares) : NULL;
    (void)worker;
    ls_blas_f64(p->a + first * p->k, p->b, width, p->n, p->k, p->out + first, p->m);
    if (squares != NULL)
        ls_blas_f32(p->squares_a + first * p->k, p->squares_b, width, p->n, p->k, squares, width);
    for (uint64_t row = 0; row < p->n; row++)
        for (uint64_t i = first; i < last; i++) {
            const double sum = p->out[row * p->m + i];
            if (!isfinite(sum) || (p->scale != NULL && (squares == NULL || !isfinite(squares[row * width + i - first]))))
                multiply_one(p, row, i);
            else if (p->scale != NULL)
                p->scale[row * p->m + i] = fmax(fabs(sum), sqrt((double)squares[row * width + i - first]));
        }
    free(squares);
}

static float *squares_of(const double *values, uint64_t count) {
    float *out = malloc((count + 1) * sizeof *out);
    for (uint64_t i = 0; out != NULL && i < count; i++)
        out[i] = (float)(values[i] * values[i]);
    return out;
}

static void run_blocks(product *p, uint64_t block, void (*run)(void *, uint64_t, int)) {
    const uint64_t tasks = (p->m + block - 1) / block;
    if (p->m * p->n * p->k >= WORTH_THREADS)
        ls_pool_run(tasks, run, p);
    for (uint64_t i = 0; i < tasks && p->m * p->n * p->k < WORTH_THREADS; i++)
        run(p, i, 0);
}

static void multiply_all(product *p) {
    const bool worth = p->n >= BLAS_ROWS && p->m * p->n * p->k >= WORTH_BLAS && p->m < INT32_MAX && p->n < INT32_MAX && p->k < INT32_MAX;
    if (!worth || !ls_blas_is_there()) {
        run_blocks(p, BLOCK, multiply_block);
        return;
    }
    float *a = p->scale != NULL ? squares_of(p->a, p->m * p->k) : NULL, *b = p->scale != NULL ? squares_of(p->b, p->n * p->k) : NULL;
    p->squares_a = a;
    p->squares_b = b;
    if (p->scale == NULL || (a != NULL && b != NULL))
        run_blocks(p, BLAS_BLOCK, multiply_block_by_blas);
    else
        run_blocks(p, BLOCK, multiply_block);
    free(a);
    free(b);
}

void ls_multiply(const double *a, const double *b, uint64_t m, uint64_t n, uint64_t k, double *out) {
    multiply_all(&(product){.a = a, .b = b, .m = m, .n = n, .k = k, .out = out});
}

/* ------------------------------------------------------------------ operations */

/* Rows of which some only are computed, side by side. */
typedef struct some_rows {
    uint64_t *numbers, count;
    double *b, *out, *scale;
} some_rows;

static bool rows_init(some_rows *r, uint64_t rows, uint64_t m, uint64_t k) {
    *r = (some_rows){.numbers = malloc((rows + 1) * sizeof *r->numbers), .b = malloc((rows * k + 1) * sizeof(double)), .out = malloc((rows * m + 1) * sizeof(double)),
                     .scale = malloc((rows * m + 1) * sizeof(double))};
    return r->numbers != NULL && r->b != NULL && r->out != NULL && r->scale != NULL;
}

static void rows_done(some_rows *r) {
    free(r->numbers);
    free(r->b);
    free(r->out);
    free(r->scale);
}

/* Multiplies the wanted rows among b's, of which the first is row `first` of the result; the others are NaN. */
static void multiply_some(const ls_evaluation *e, const double *a, const double *b, uint64_t first, uint64_t n, uint64_t all, uint64_t m, uint64_t k, some_rows *r) {
    r->count = 0;
    for (uint64_t row = first; row < first + n; row++) {
        if (ls_eval_wants(e, row, all)) {
            memcpy(r->b + r->count * k, b + (row - first) * k, k * sizeof *b);
            r->numbers[r->count++] = row;
            continue;
        }
        for (uint64_t i = 0; i < m; i++)
            e->out[row * m + i] = NAN;
    }
    multiply_all(&(product){.a = a, .b = r->b, .m = m, .n = r->count, .k = k, .out = r->out, .scale = r->scale});
    for (uint64_t i = 0; i < r->count; i++) {
        memcpy(e->out + r->numbers[i] * m, r->out + i * m, m * sizeof *r->out);
        memcpy(e->scale + r->numbers[i] * m, r->scale + i * m, m * sizeof *r->scale);
    }
}

bool ls_eval_multiply(ls_evaluation *e, const double *a, const double *b, uint64_t first, uint64_t n, uint64_t rows, uint64_t m, uint64_t k) {
    some_rows some = {0};
    const bool ok = e->every <= 1 || rows_init(&some, n, m, k);
    if (e->every <= 1)
        multiply_all(&(product){.a = a, .b = b, .m = m, .n = n, .k = k, .out = e->out + first * m, .scale = e->scale + first * m});
    else if (ok)
        multiply_some(e, a, b, first, n, rows, m, k, &some);
    rows_done(&some);
    return ok || ls_eval_refuse(e, "out of memory");
}

/* a [.., m, k] times b [.., n, k] -> [.., n, m]; b's outer axes are multiples of a's. */
bool ls_eval_mul_mat(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    const uint64_t k = ls_array_size(a, 0), m = ls_array_size(a, 1), n = ls_array_size(b, 1);
    const uint64_t of_a[] = {ls_array_size(a, 2), ls_array_size(a, 3)}, of_b[] = {ls_array_size(b, 2), ls_array_size(b, 3)}, outer = of_b[0] * of_b[1];
    if (a->elements == 0 || ls_array_size(b, 0) != k || of_b[0] % of_a[0] != 0 || of_b[1] % of_a[1] != 0 || e->node->elements != outer * n * m ||
        b->elements != outer * n * k || a->elements != of_a[1] * of_a[0] * m * k)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    bool ok = true;
    for (uint64_t i = 0; i < outer && ok; i++) {
        const uint64_t inner_a = i % of_b[0] / (of_b[0] / of_a[0]), outer_a = i / of_b[0] / (of_b[1] / of_a[1]);
        ok = ls_eval_multiply(e, a->values + (outer_a * of_a[0] + inner_a) * m * k, b->values + i * n * k, i * n, n, outer * n, m, k);
    }
    return ok;
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
