#include "eval/matrix_product.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "eval/blas.h"
#include "eval/row_product.h"
#include "eval/term_squares.h"

enum { WORTH_THREADS = 1 << 20, WORTH_BLAS = 1 << 16, BLAS_ROWS = 4 }; /* multiplications; rows of b */

/* How a product is computed: in tiles of rows of `a`. */
typedef struct plan {
    ls_matrix_product of;
    uint64_t stride; /* of out and scale: m, before rows of `a` were left out */
    const float *narrow_b; /* b in single precision; NULL to sum in double */
    ls_term_squares squares;
    uint64_t tile; /* rows of a */
    bool by_blas, failed; /* failed: out of memory */
} plan;

/* Rows of `a`, decoded in one of the precisions. */
typedef struct tile {
    uint64_t first, count;
    const double *wide;
    const float *narrow;
} tile;

static void set(const plan *p, uint64_t row, uint64_t i, double sum, double squares) {
    p->of.out[row * p->stride + i] = sum;
    if (p->of.scale != NULL)
        p->of.scale[row * p->stride + i] = ls_row_scale(sum, squares);
}

/* One element, in double precision. */
static bool multiply_one(const plan *p, const tile *t, uint64_t row, uint64_t i) {
    const uint64_t k = p->of.k;
    double *widened = t->wide == NULL ? malloc((k + 1) * sizeof *widened) : NULL;
    if (t->wide == NULL && widened == NULL)
        return false;
    for (uint64_t x = 0; widened != NULL && x < k; x++)
        widened[x] = (double)t->narrow[i * k + x];
    const ls_row_product one = ls_row_multiply(widened != NULL ? widened : t->wide + i * k, p->of.b + row * k, k);
    set(p, row, t->first + i, one.sum, one.squares);
    free(widened);
    return true;
}

static bool multiply_by_rows(const plan *p, const tile *t) {
    bool ok = true;
    for (uint64_t row = 0; row < p->of.n; row++)
        for (uint64_t i = 0; i < t->count && ok; i++) {
            if (p->narrow_b == NULL) {
                ok = multiply_one(p, t, row, i);
                continue;
            }
            const ls_row_product one = ls_row_multiply_narrow(t->narrow + i * p->of.k, p->narrow_b + row * p->of.k, p->of.k);
            set(p, row, t->first + i, one.sum, one.squares);
            ok = isfinite(one.squares) || multiply_one(p, t, row, i);
        }
    return ok;
}

/* ------------------------------------------------------------------ by BLAS */

static float *narrowed(const double *values, uint64_t count) {
    float *out = malloc((count + 1) * sizeof *out);
    for (uint64_t i = 0; out != NULL && i < count; i++)
        out[i] = (float)values[i];
    return out;
}

/* The sums of the terms' squares [n, rows of the tile]; NULL if out of memory. */
static float *squares_of_tile(const plan *p, const tile *t) {
    const uint64_t width = p->squares.width;
    float *of_a = malloc((t->count * width + 1) * sizeof *of_a), *out = malloc((p->of.n * t->count + 1) * sizeof *out);
    float *narrow = t->narrow == NULL ? narrowed(t->wide, t->count * p->of.k) : NULL;
    const bool ok = of_a != NULL && out != NULL && (t->narrow != NULL || narrow != NULL);
    if (ok) {
        ls_term_squares_of_a(&p->squares, narrow != NULL ? narrow : t->narrow, t->count, of_a);
        ls_blas_f32(of_a, p->squares.of_b, t->count, p->of.n, width, out, t->count);
    }
    free(narrow);
    free(of_a);
    if (!ok) {
        free(out);
        return NULL;
    }
    return out;
}

/* The sums, into the product's result. */
static bool sum_tile(const plan *p, const tile *t) {
    const ls_matrix_product *of = &p->of;
    if (t->wide != NULL) {
        ls_blas_f64(t->wide, of->b, t->count, of->n, of->k, of->out + t->first, p->stride);
        return true;
    }
    float *sums = malloc((of->n * t->count + 1) * sizeof *sums);
    if (sums != NULL)
        ls_blas_f32(t->narrow, p->narrow_b, t->count, of->n, of->k, sums, t->count);
    for (uint64_t row = 0; sums != NULL && row < of->n; row++)
        for (uint64_t i = 0; i < t->count; i++)
            of->out[row * p->stride + t->first + i] = (double)sums[row * t->count + i];
    free(sums);
    return sums != NULL;
}

/* What is not finite, or too large for the squares, is computed by itself. */
static bool multiply_by_blas(const plan *p, const tile *t) {
    float *squares = p->of.scale != NULL ? squares_of_tile(p, t) : NULL;
    bool ok = (p->of.scale == NULL || squares != NULL) && sum_tile(p, t);
    for (uint64_t row = 0; row < p->of.n && ok; row++)
        for (uint64_t i = 0; i < t->count && ok; i++) {
            const double sum = p->of.out[row * p->stride + t->first + i], of_squares = squares != NULL ? (double)squares[row * t->count + i] : 0;
            if (!isfinite(sum) || !isfinite(of_squares))
                ok = multiply_one(p, t, row, i);
            else if (squares != NULL)
                p->of.scale[row * p->stride + t->first + i] = ls_row_scale(sum, of_squares);
        }
    free(squares);
    return ok;
}

/* ------------------------------------------------------------------ tiles */

/* Decodes a tile, into `buffer` if it has to. */
static tile tile_at(const plan *p, uint64_t task, void *buffer) {
    const ls_matrix_product *of = &p->of;
    const uint64_t first = task * p->tile, count = of->m - first < p->tile ? of->m - first : p->tile, at = of->at + first * of->k;
    tile t = {.first = first, .count = count};
    if (p->narrow_b != NULL) {
        ls_view_read_f32(&of->weight->stored, at, count * of->k, buffer);
        t.narrow = buffer;
    } else
        t.wide = of->weight != NULL ? ls_array_part(of->weight, at, count * of->k, buffer) : of->a + first * of->k;
    return t;
}

static void multiply_tile(void *context, uint64_t task, int worker) {
    plan *p = context;
    const size_t element = p->narrow_b != NULL ? sizeof(float) : sizeof(double);
    void *buffer = p->of.weight != NULL ? malloc((p->tile * p->of.k + 1) * element) : NULL;
    bool ok = p->of.weight == NULL || buffer != NULL;
    (void)worker;
    if (ok) {
        const tile t = tile_at(p, task, buffer);
        ok = p->by_blas ? multiply_by_blas(p, &t) : multiply_by_rows(p, &t);
    }
    if (!ok)
        __atomic_store_n(&p->failed, true, __ATOMIC_RELAXED);
    free(buffer);
}

/* Rows of `a` that a tile has: as many as stay in a cache, but so many that `b`, which BLAS copies for each tile, is not most of the work. */
static uint64_t tile_of(const plan *p) {
    enum { BYTES = 1 << 19, LEAST = 8, OF_B = 32, MOST = 64 };
    const uint64_t rows = BYTES / (p->of.k * (p->narrow_b != NULL ? sizeof(float) : sizeof(double))), of_b = p->of.n < OF_B ? p->of.n : OF_B;
    const uint64_t least = of_b > LEAST ? of_b : LEAST;
    return !p->by_blas ? LEAST : rows < least ? least : rows < MOST ? rows : MOST;
}

static bool multiply_tiles(plan *p) {
    const uint64_t tasks = (p->of.m + p->tile - 1) / p->tile;
    if (p->of.m * p->of.n * p->of.k >= WORTH_THREADS)
        ls_pool_run(tasks, multiply_tile, p);
    else
        for (uint64_t i = 0; i < tasks; i++)
            multiply_tile(p, i, 0);
    return !p->failed;
}

static bool multiply_known(plan *p) {
    ls_matrix_product *of = &p->of;
    const uint64_t multiplications = of->m * of->n * of->k;
    if (multiplications == 0) {
        for (uint64_t i = 0; i < of->n * of->m; i++)
            set(p, i / of->m, i % of->m, 0, 0);
        return true;
    }
    p->by_blas = of->n >= BLAS_ROWS && multiplications >= WORTH_BLAS && of->m < INT32_MAX && of->n < INT32_MAX && of->k < INT32_MAX && ls_blas_is_there();
    float *narrow = of->is_narrow ? narrowed(of->b, of->n * of->k) : NULL;
    p->narrow_b = narrow;
    p->tile = tile_of(p);
    const bool ok = (!of->is_narrow || narrow != NULL) && (!p->by_blas || of->scale == NULL || ls_term_squares_init(&p->squares, of->b, of->n, of->k, of->is_narrow)) &&
                    multiply_tiles(p);
    ls_term_squares_done(&p->squares);
    free(narrow);
    return ok;
}

/* ------------------------------------------------------------------ what is left out */

static bool is_zero(const double *row, uint64_t n) {
    uint64_t i = 0;
    while (i < n && row[i] == 0)
        i++;
    return i == n;
}

/* Rows at the end of `a` of which nothing is known: cells of a cache that were never written. */
static void leave_out_unknown(plan *p) {
    while (p->of.m > 0 && ls_are_unknown(p->of.a + (p->of.m - 1) * p->of.k, p->of.k))
        p->of.m--;
    for (uint64_t row = 0; row < p->of.n && p->of.m < p->stride; row++) {
        const double value = is_zero(p->of.b + row * p->of.k, p->of.k) ? 0 : NAN;
        for (uint64_t i = p->of.m; i < p->stride; i++) {
            p->of.out[row * p->stride + i] = value;
            if (p->of.scale != NULL)
                p->of.scale[row * p->stride + i] = value;
        }
    }
}

/* The columns in which `b` has anything but zeros, ascending; their number. NULL where these are all, or out of memory. */
static uint64_t *list_columns(const plan *p, uint64_t *out_count) {
    uint64_t row = 0, *columns = NULL, zeros = p->of.k;
    bool *used = p->of.n > 0 ? calloc(p->of.k + 1, sizeof *used) : NULL;
    for (; used != NULL && row < p->of.n && zeros > 0; row++)
        for (uint64_t i = 0; i < p->of.k; i++)
            if (!used[i] && p->of.b[row * p->of.k + i] != 0) {
                used[i] = true;
                zeros--;
            }
    *out_count = 0;
    if (zeros > 0 && used != NULL && (columns = malloc((p->of.k + 1) * sizeof *columns)) != NULL)
        for (uint64_t i = 0; i < p->of.k; i++)
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

/* What a mask has left out in all rows is left out. */
bool ls_matrix_multiply(const ls_matrix_product *product) {
    uint64_t count = 0, *columns = NULL;
    plan prepared = {.of = *product, .stride = product->m}, *p = &prepared;
    if (p->of.weight == NULL) {
        leave_out_unknown(p);
        columns = list_columns(p, &count);
    }
    double *a = columns != NULL ? columns_of(p->of.a, p->of.m, p->of.k, columns, count) : NULL, *b = a != NULL ? columns_of(p->of.b, p->of.n, p->of.k, columns, count) : NULL;
    if (b != NULL) {
        p->of.a = a;
        p->of.b = b;
        p->of.k = count;
    }
    const bool ok = multiply_known(p);
    free(columns);
    free(a);
    free(b);
    return ok;
}

