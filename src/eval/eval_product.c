/* Matrix products. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "eval/blas.h"
#include "eval/eval.h"
#include "tensor/rounding.h"

typedef struct row_product {
    double sum, squares;
} row_product;

static inline double larger(double a, double b) { return a > b ? a : b; }

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

typedef float narrow_lanes __attribute__((vector_size(32), aligned(4)));
enum { NARROW_LANES = 8 };

/* The same in single precision. What overflows is not finite. */
__attribute__((always_inline)) static inline row_product multiply_narrow_in_lanes(const float *a, const float *b, uint64_t n) {
    narrow_lanes sum[2] = {{0}}, squares[2] = {{0}};
    row_product p = {0, 0};
    uint64_t i = 0;
    for (; i + 2 * NARROW_LANES <= n; i += 2 * NARROW_LANES)
        for (int k = 0; k < 2; k++) {
            const narrow_lanes term = *(const narrow_lanes *)(const void *)(a + i + k * NARROW_LANES) * *(const narrow_lanes *)(const void *)(b + i + k * NARROW_LANES);
            sum[k] += term;
            squares[k] += term * term;
        }
    for (; i < n; i++) {
        const double term = (double)a[i] * (double)b[i];
        p.sum += term;
        p.squares += term * term;
    }
    for (int k = 0; k < 2 * NARROW_LANES; k++) {
        p.sum += (double)sum[k / NARROW_LANES][k % NARROW_LANES];
        p.squares += (double)squares[k / NARROW_LANES][k % NARROW_LANES];
    }
    return p;
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static row_product multiply_narrow_avx2(const float *a, const float *b, uint64_t n) { return multiply_narrow_in_lanes(a, b, n); }
#endif

static row_product multiply_narrow(const float *a, const float *b, uint64_t n) {
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? multiply_narrow_avx2(a, b, n) : multiply_narrow_in_lanes(a, b, n);
#else
    return multiply_narrow_in_lanes(a, b, n);
#endif
}

__attribute__((always_inline)) static inline float sum_of_squares(const float *values, uint64_t n) {
    narrow_lanes lanes_of_sum = {0};
    float sum = 0;
    uint64_t i = 0;
    for (; i + NARROW_LANES <= n; i += NARROW_LANES) {
        const narrow_lanes x = *(const narrow_lanes *)(const void *)(values + i);
        lanes_of_sum += x * x;
    }
    for (; i < n; i++)
        sum += values[i] * values[i];
    for (int k = 0; k < NARROW_LANES; k++)
        sum += lanes_of_sum[k];
    return sum;
}

/* ------------------------------------------------------------------ two matrices */

/* a [m, k] times b [n, k] -> out [n, m], in tiles of rows of `a`: the same on any number of threads. `scale` (as in ls_evaluation)
 * may be NULL. */
typedef struct product {
    const double *a, *b;
    const ls_array *weight;  /* in place of a, where that is stored: its elements from `at` on */
    uint64_t at;
    const float *narrow_b;   /* b in single precision; NULL to sum in double */
    const float *squares_b;  /* for the scale by BLAS, of `group` successive elements each; or NULL */
    uint64_t m, n, k, stride; /* stride: of out and scale, at least m */
    uint64_t group;          /* 1 in double precision; divides k */
    uint64_t tile;           /* rows of a */
    double *out, *scale;
    bool by_blas, is_rough, failed; /* is_rough: as in ls_evaluation; failed: out of memory */
} product;

enum { WORTH_THREADS = 1 << 20, WORTH_BLAS = 1 << 16, BLAS_ROWS = 4, GROUP = 32 }; /* multiplications; rows of b; elements */

/* `a`: row i, as it was decoded. */
static void multiply_one(const product *p, const double *a, uint64_t row, uint64_t i) {
    const row_product one = multiply(a, p->b + row * p->k, p->k);
    p->out[row * p->stride + i] = one.sum;
    if (p->scale != NULL)
        p->scale[row * p->stride + i] = larger(fabs(one.sum), sqrt(one.squares));
}

static void multiply_by_rows(const product *p, const double *a, uint64_t first, uint64_t count) {
    for (uint64_t row = 0; row < p->n; row++)
        for (uint64_t i = 0; i < count; i++)
            multiply_one(p, a + i * p->k, row, first + i);
}

static float *narrowed(const double *values, uint64_t count) {
    float *out = malloc((count + 1) * sizeof *out);
    for (uint64_t i = 0; out != NULL && i < count; i++)
        out[i] = (float)values[i];
    return out;
}

/* The mean squares of groups. */
static float *squares_of(const double *values, uint64_t count, uint64_t group) {
    float *out = malloc((count / group + 1) * sizeof *out);
    for (uint64_t i = 0; out != NULL && i < count / group; i++) {
        double sum = 0;
        for (uint64_t k = i * group; k < (i + 1) * group; k++)
            sum += values[k] * values[k];
        out[i] = (float)(sum / (double)group);
    }
    return out;
}

/* What is not finite, or too large for the squares, is computed by itself. */
static bool multiply_by_blas(const product *p, const double *a, uint64_t first, uint64_t count) {
    float *squares_a = p->scale != NULL ? squares_of(a, count * p->k, 1) : NULL, *squares = p->scale != NULL ? malloc((p->n * count + 1) * sizeof *squares) : NULL;
    const bool ok = p->scale == NULL || (squares_a != NULL && squares != NULL);
    if (ok)
        ls_blas_f64(a, p->b, count, p->n, p->k, p->out + first, p->stride);
    if (ok && p->scale != NULL)
        ls_blas_f32(squares_a, p->squares_b, count, p->n, p->k, squares, count);
    for (uint64_t row = 0; row < p->n && ok; row++)
        for (uint64_t i = 0; i < count; i++) {
            const double sum = p->out[row * p->stride + first + i];
            if (!isfinite(sum) || (p->scale != NULL && !isfinite(squares[row * count + i])))
                multiply_one(p, a + i * p->k, row, first + i);
            else if (p->scale != NULL)
                p->scale[row * p->stride + first + i] = larger(fabs(sum), sqrt((double)squares[row * count + i]));
        }
    free(squares_a);
    free(squares);
    return ok;
}

/* ------------------------------------------------------------------ weights in single precision */

/* A row that is computed in double precision after all. */
static bool multiply_row_again(const product *p, const float *a, uint64_t row, uint64_t i) {
    double *wide = malloc((p->k + 1) * sizeof *wide);
    for (uint64_t x = 0; x < p->k && wide != NULL; x++)
        wide[x] = (double)a[x];
    if (wide != NULL)
        multiply_one(p, wide, row, i);
    free(wide);
    return wide != NULL;
}

__attribute__((always_inline)) static inline void square_groups(const float *values, uint64_t groups, uint64_t group, float *out) {
    for (uint64_t i = 0; i < groups; i++)
        out[i] = sum_of_squares(values + i * group, group);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void square_groups_avx2(const float *values, uint64_t groups, uint64_t group, float *out) { square_groups(values, groups, group, out); }
#endif

/* The sums of the squares of groups. */
static float *sums_of_squares(const float *values, uint64_t count, uint64_t group) {
    float *out = malloc((count / group + 1) * sizeof *out);
    if (out == NULL)
        return NULL;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        square_groups_avx2(values, count / group, group, out);
        return out;
    }
#endif
    square_groups(values, count / group, group, out);
    return out;
}

static bool multiply_narrow_by_blas(const product *p, const float *a, uint64_t first, uint64_t count, float *sums, float *squares) {
    bool ok = true;
    ls_blas_f32(a, p->narrow_b, count, p->n, p->k, sums, count);
    float *squares_a = sums_of_squares(a, count * p->k, p->group);
    if (squares_a == NULL)
        return false;
    ls_blas_f32(squares_a, p->squares_b, count, p->n, p->k / p->group, squares, count);
    for (uint64_t row = 0; row < p->n && ok; row++)
        for (uint64_t i = 0; i < count && ok; i++) {
            const float sum = sums[row * count + i], of_squares = squares[row * count + i];
            p->out[row * p->stride + first + i] = (double)sum;
            p->scale[row * p->stride + first + i] = larger(fabs((double)sum), sqrt((double)of_squares));
            if (!isfinite(sum) || !isfinite(of_squares))
                ok = multiply_row_again(p, a + i * p->k, row, first + i);
        }
    free(squares_a);
    return ok;
}

static bool multiply_narrow_by_rows(const product *p, const float *a, uint64_t first, uint64_t count) {
    bool ok = true;
    for (uint64_t row = 0; row < p->n; row++)
        for (uint64_t i = 0; i < count && ok; i++) {
            const row_product one = multiply_narrow(a + i * p->k, p->narrow_b + row * p->k, p->k);
            p->out[row * p->stride + first + i] = one.sum;
            p->scale[row * p->stride + first + i] = larger(fabs(one.sum), sqrt(one.squares));
            if (!isfinite(one.squares))
                ok = multiply_row_again(p, a + i * p->k, row, first + i);
        }
    return ok;
}

static bool multiply_narrow_tile(const product *p, uint64_t first, uint64_t count) {
    float *a = malloc((count * p->k + 1) * sizeof *a), *results = malloc((2 * p->n * count + 1) * sizeof *results);
    bool ok = a != NULL && results != NULL;
    if (ok) {
        ls_view_read_f32(&p->weight->stored, p->at + first * p->k, count * p->k, a);
        ok = p->by_blas ? multiply_narrow_by_blas(p, a, first, count, results, results + p->n * count) : multiply_narrow_by_rows(p, a, first, count);
    }
    free(a);
    free(results);
    return ok;
}

/* ------------------------------------------------------------------ tiles */

static void multiply_tile(void *context, uint64_t task, int worker) {
    product *p = context;
    const uint64_t first = task * p->tile, count = p->m - first < p->tile ? p->m - first : p->tile;
    if (p->narrow_b != NULL) {
        if (!multiply_narrow_tile(p, first, count))
            __atomic_store_n(&p->failed, true, __ATOMIC_RELAXED);
        return;
    }
    double *buffer = p->weight != NULL ? malloc((count * p->k + 1) * sizeof *buffer) : NULL;
    bool ok = p->weight == NULL || buffer != NULL;
    const double *a = !ok ? NULL : p->weight != NULL ? ls_array_part(p->weight, p->at + first * p->k, count * p->k, buffer) : p->a + first * p->k;
    (void)worker;
    if (ok && p->by_blas)
        ok = multiply_by_blas(p, a, first, count);
    else if (ok)
        multiply_by_rows(p, a, first, count);
    if (!ok)
        __atomic_store_n(&p->failed, true, __ATOMIC_RELAXED);
    free(buffer);
}

/* Rows of `a` that a tile has: as many as stay in a cache. */
static uint64_t tile_of(const product *p) {
    enum { ELEMENTS = 1 << 16, NARROW_ELEMENTS = 1 << 18, LEAST = 8, MOST = 64 };
    const uint64_t rows = (p->narrow_b != NULL ? NARROW_ELEMENTS : ELEMENTS) / p->k;
    return !p->by_blas || rows < LEAST ? LEAST : rows < MOST ? rows : MOST;
}

/* Whether no element of b outweighs its group: squares of the group's means stand for it, then. */
static bool has_even_groups(const product *p) {
    const double most = 20; /* times the mean */
    bool even = true;
    for (uint64_t i = 0; i < p->n * p->k && even; i += GROUP) {
        double sum = 0, largest = 0;
        for (uint64_t k = i; k < i + GROUP; k++) {
            const double square = p->b[k] * p->b[k];
            sum += square;
            largest = square > largest ? square : largest;
        }
        even = largest * GROUP <= most * sum;
    }
    return even;
}

static bool multiply_known(product *p) {
    const uint64_t multiplications = p->m * p->n * p->k;
    if (multiplications == 0) {
        for (uint64_t i = 0; i < p->n * p->m; i++)
            multiply_one(p, NULL, i / p->m, i % p->m);
        return true;
    }
    p->by_blas = p->n >= BLAS_ROWS && multiplications >= WORTH_BLAS && p->m < INT32_MAX && p->n < INT32_MAX && p->k < INT32_MAX && ls_blas_is_there();
    float *narrow = p->is_rough && p->scale != NULL ? narrowed(p->b, p->n * p->k) : NULL;
    p->group = narrow != NULL && p->k % GROUP == 0 && has_even_groups(p) ? GROUP : 1;
    float *squares = p->by_blas && p->scale != NULL ? squares_of(p->b, p->n * p->k, p->group) : NULL;
    p->squares_b = squares;
    p->by_blas = p->by_blas && (p->scale == NULL || squares != NULL);
    p->narrow_b = narrow;
    p->tile = tile_of(p);
    const uint64_t tasks = (p->m + p->tile - 1) / p->tile;
    if (multiplications >= WORTH_THREADS)
        ls_pool_run(tasks, multiply_tile, p);
    for (uint64_t i = 0; i < tasks && multiplications < WORTH_THREADS; i++)
        multiply_tile(p, i, 0);
    free(squares);
    free(narrow);
    return !p->failed;
}

static bool is_unknown(const double *row, uint64_t n) {
    uint64_t i = 0;
    while (i < n && isnan(row[i]))
        i++;
    return i == n;
}

static bool is_zero(const double *row, uint64_t n) {
    uint64_t i = 0;
    while (i < n && row[i] == 0)
        i++;
    return i == n;
}

/* Rows at the end of `a` of which nothing is known: cells of a cache that were never written. */
static void leave_out_unknown(product *p) {
    while (p->m > 0 && is_unknown(p->a + (p->m - 1) * p->k, p->k))
        p->m--;
    for (uint64_t row = 0; row < p->n && p->m < p->stride; row++) {
        const double value = is_zero(p->b + row * p->k, p->k) ? 0 : NAN;
        for (uint64_t i = p->m; i < p->stride; i++) {
            p->out[row * p->stride + i] = value;
            if (p->scale != NULL)
                p->scale[row * p->stride + i] = value;
        }
    }
}

/* The columns in which `b` has anything but zeros, ascending; their number. NULL where these are all, or out of memory. */
static uint64_t *list_columns(const product *p, uint64_t *out_count) {
    uint64_t row = 0, *columns = NULL, zeros = p->k;
    bool *used = p->n > 0 ? calloc(p->k + 1, sizeof *used) : NULL;
    for (; used != NULL && row < p->n && zeros > 0; row++)
        for (uint64_t i = 0; i < p->k; i++)
            if (!used[i] && p->b[row * p->k + i] != 0) {
                used[i] = true;
                zeros--;
            }
    *out_count = 0;
    if (zeros > 0 && used != NULL && (columns = malloc((p->k + 1) * sizeof *columns)) != NULL)
        for (uint64_t i = 0; i < p->k; i++)
            if (used[i])
                columns[(*out_count)++] = i;
    free(used);
    return columns;
}

static double *columns_of(const double *values, uint64_t rows, uint64_t k, const uint64_t *columns, uint64_t count) {
    double *out = malloc((rows * count + 1) * sizeof *out);
    for (uint64_t row = 0; out != NULL && row < rows; row++)
        for (uint64_t i = 0; i < count; i++)
            out[row * count + i] = values[row * k + columns[i]];
    return out;
}

/* What a mask has left out in all rows is left out. False if out of memory. */
static bool multiply_all(product *p) {
    uint64_t count = 0, *columns = NULL;
    p->stride = p->m;
    if (p->weight == NULL) {
        leave_out_unknown(p);
        columns = list_columns(p, &count);
    }
    double *a = columns != NULL ? columns_of(p->a, p->m, p->k, columns, count) : NULL, *b = a != NULL ? columns_of(p->b, p->n, p->k, columns, count) : NULL;
    if (b != NULL) {
        p->a = a;
        p->b = b;
        p->k = count;
    }
    const bool ok = multiply_known(p);
    free(columns);
    free(a);
    free(b);
    return ok;
}

bool ls_multiply(const double *a, const double *b, uint64_t m, uint64_t n, uint64_t k, double *out) {
    return multiply_all(&(product){.a = a, .b = b, .m = m, .n = n, .k = k, .out = out});
}

/* ------------------------------------------------------------------ operations */

/* Rows of b that are multiplied with the same matrix, side by side, and what they give. */
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

/* The result's row of this number is to be computed from these elements. */
static void rows_add(some_rows *r, uint64_t number, const double *b, uint64_t k) {
    memcpy(r->b + r->count * k, b, k * sizeof *b);
    r->numbers[r->count++] = number;
}

/* A product with the matrix [m, k] that begins at `at` of the first operand. */
static product matrix_at(const ls_evaluation *e, uint64_t at, uint64_t m, uint64_t k) {
    const ls_array *a = e->operands[0];
    const bool stored = a->values == NULL;
    return (product){.a = stored ? NULL : a->values + at, .weight = stored ? a : NULL, .at = at, .m = m, .k = k, .is_rough = e->is_rough && stored && ls_rounding_is_lossy(a->stored.dtype)};
}

/* Multiplies a matrix with the rows, and takes them away. */
static bool rows_multiply(some_rows *r, ls_evaluation *e, product *p) {
    const uint64_t m = p->m;
    p->b = r->b;
    p->n = r->count;
    p->out = r->out;
    p->scale = r->scale;
    if (!multiply_all(p))
        return ls_eval_refuse(e, "out of memory");
    for (uint64_t i = 0; i < r->count; i++) {
        memcpy(e->out + r->numbers[i] * m, r->out + i * m, m * sizeof *r->out);
        memcpy(e->scale + r->numbers[i] * m, r->scale + i * m, m * sizeof *r->scale);
    }
    r->count = 0;
    return true;
}

static void set_unknown(ls_evaluation *e, uint64_t row, uint64_t m) {
    for (uint64_t i = 0; i < m; i++)
        e->out[row * m + i] = NAN;
}

static bool multiply_rows(ls_evaluation *e, uint64_t at, uint64_t first, uint64_t n, uint64_t m, uint64_t k) {
    product p = matrix_at(e, at, m, k);
    p.b = e->operands[1]->values + first * k;
    p.n = n;
    p.out = e->out + first * m;
    p.scale = e->scale + first * m;
    return multiply_all(&p) || ls_eval_refuse(e, "out of memory");
}

bool ls_eval_multiply(ls_evaluation *e, const double *a, const double *b, uint64_t first, uint64_t n, uint64_t rows, uint64_t m, uint64_t k) {
    some_rows some = {0};
    if (e->every <= 1)
        return multiply_all(&(product){.a = a, .b = b, .m = m, .n = n, .k = k, .out = e->out + first * m, .scale = e->scale + first * m}) || ls_eval_refuse(e, "out of memory");
    bool ok = rows_init(&some, n, m, k) || ls_eval_refuse(e, "out of memory");
    for (uint64_t row = first; row < first + n && ok; row++)
        if (ls_eval_wants(e, row, rows))
            rows_add(&some, row, b + (row - first) * k, k);
        else
            set_unknown(e, row, m);
    ok = ok && rows_multiply(&some, e, &(product){.a = a, .m = m, .k = k});
    rows_done(&some);
    return ok;
}

/* a [.., m, k] times b [.., n, k] -> [.., n, m]; b's outer axes are multiples of a's. */
bool ls_eval_mul_mat(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    const uint64_t k = ls_array_size(a, 0), m = ls_array_size(a, 1);
    uint64_t n = ls_array_size(b, 1), of_a[] = {ls_array_size(a, 2), ls_array_size(a, 3)}, of_b[] = {ls_array_size(b, 2), ls_array_size(b, 3)};
    const uint64_t all = of_b[0] * of_b[1] * n;
    if (a->elements == 0 || ls_array_size(b, 0) != k || of_b[0] % of_a[0] != 0 || of_b[1] % of_a[1] != 0 || e->node->elements != all * m || b->elements != all * k ||
        a->elements != of_a[1] * of_a[0] * m * k)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    if (of_a[0] * of_a[1] == 1) { /* one matrix for all rows */
        n = all;
        of_b[0] = of_b[1] = 1;
    }
    bool ok = true;
    for (uint64_t i = 0; i < of_b[0] * of_b[1] && ok; i++) {
        const uint64_t inner_a = i % of_b[0] / (of_b[0] / of_a[0]), outer_a = i / of_b[0] / (of_b[1] / of_a[1]), at = (outer_a * of_a[0] + inner_a) * m * k;
        ok = multiply_rows(e, at, i * n, n, m, k);
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
    if (a->elements == 0 || a->elements != experts * m * k || ls_array_size(b, 0) != k || own == 0 || used % own != 0 || ids->elements != tokens * used ||
        e->node->elements != tokens * used * m || b->elements != tokens * own * k)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    some_rows some;
    bool ok = rows_init(&some, tokens * used, m, k) || ls_eval_refuse(e, "out of memory");
    for (uint64_t slot = 0; slot < tokens * used && ok; slot++) {
        set_unknown(e, slot, m);
        if (ls_eval_wants(e, slot, tokens * used) && !(ids->values[slot] >= 0 && ids->values[slot] < (double)experts))
            ok = ls_eval_refuse(e, "an index out of range");
    }
    for (uint64_t expert = 0; expert < experts && ok; expert++) {
        for (uint64_t slot = 0; slot < tokens * used; slot++)
            if (ls_eval_wants(e, slot, tokens * used) && (uint64_t)ids->values[slot] == expert)
                rows_add(&some, slot, b->values + (slot / used * own + slot % used % own) * k, k);
        product p = matrix_at(e, expert * m * k, m, k);
        ok = some.count == 0 || rows_multiply(&some, e, &p);
    }
    rows_done(&some);
    return ok;
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
