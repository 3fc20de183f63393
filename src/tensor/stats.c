/* Tiles that fit the first-level cache are summed in double; tiles make chunks,
 * and chunks are merged in order, by Chan, Golub and LeVeque's update (1979) of
 * mean and squared deviations, so that a large mean doesn't cancel the spread. */
#include "tensor/stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/pool.h"

enum { TILE = 4096, CHUNK = 16 * TILE, MAX_CHUNKS = 4096, LANES = 4 };

typedef struct part {
    uint64_t finite, nan, inf, zeros;
    double min, max, mean, m2, squares; /* m2: sum of squared deviations from mean */
} part;

typedef struct job {
    const ls_view *view;
    uint64_t elements, chunk;
    part *parts;
} job;

static void merge(part *into, const part *more) {
    into->nan += more->nan;
    into->inf += more->inf;
    into->zeros += more->zeros;
    into->squares += more->squares;
    if (more->finite == 0)
        return;
    if (into->finite == 0 || more->min < into->min)
        into->min = more->min;
    if (into->finite == 0 || more->max > into->max)
        into->max = more->max;
    double a = (double)into->finite, b = (double)more->finite, delta = more->mean - into->mean;
    into->mean += delta * (b / (a + b));
    into->m2 += more->m2 + delta * delta * (a * b / (a + b));
    into->finite += more->finite;
}

/* Moves the finite values to the front and counts the others. */
static size_t keep_finite(double *values, size_t n, part *p) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(values[i]))
            values[kept++] = values[i];
        else if (isnan(values[i]))
            p->nan++;
        else
            p->inf++;
    }
    return kept;
}

/* Several lanes keep additions independent of each other. */
static part sum_finite(const double *v, size_t n) {
    double sum[LANES] = {0}, squares[LANES] = {0}, m2[LANES] = {0};
    part p = {.finite = n, .min = v[0], .max = v[0]};
    for (size_t i = 0; i < n; i++) {
        sum[i % LANES] += v[i];
        squares[i % LANES] += v[i] * v[i];
        p.min = v[i] < p.min ? v[i] : p.min;
        p.max = v[i] > p.max ? v[i] : p.max;
        p.zeros += v[i] == 0;
    }
    p.mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = v[i] - p.mean;
        m2[i % LANES] += d * d;
    }
    p.squares = (squares[0] + squares[1]) + (squares[2] + squares[3]);
    p.m2 = (m2[0] + m2[1]) + (m2[2] + m2[3]);
    return p;
}

static void run_chunk(void *context, uint64_t i, int worker) {
    (void)worker;
    job *j = context;
    uint64_t first = i * j->chunk;
    uint64_t end = j->elements - first < j->chunk ? j->elements : first + j->chunk;
    part whole = {0};
    for (; first < end; first += TILE) {
        double tile[TILE];
        size_t n = end - first < TILE ? (size_t)(end - first) : TILE;
        ls_view_read_f64(j->view, first, n, tile);
        double probe = 0; /* becomes NaN when any value isn't finite */
        for (size_t k = 0; k < n; k++)
            probe += tile[k] * 0;
        if (isnan(probe))
            n = keep_finite(tile, n, &whole);
        if (n > 0) {
            part p = sum_finite(tile, n);
            merge(&whole, &p);
        }
    }
    j->parts[i] = whole;
}

lockstep_status ls_view_stats(const ls_view *view, ls_stats *out_stats, lockstep_error *error) {
    job j = {.view = view, .elements = ls_view_elements(view), .chunk = CHUNK};
    while (j.elements / j.chunk >= MAX_CHUNKS)
        j.chunk *= 2;
    uint64_t chunks = j.elements / j.chunk + (j.elements % j.chunk != 0);
    j.parts = calloc((size_t)chunks + 1, sizeof *j.parts);
    if (j.parts == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_pool_run(chunks, run_chunk, &j);
    part whole = {0};
    for (uint64_t i = 0; i < chunks; i++)
        merge(&whole, &j.parts[i]);
    free(j.parts);
    bool any = whole.finite > 0;
    *out_stats = (ls_stats){
        .elements = j.elements,
        .nan = whole.nan,
        .inf = whole.inf,
        .zeros = whole.zeros,
        .min = any ? whole.min : NAN,
        .max = any ? whole.max : NAN,
        .mean = any ? whole.mean : NAN,
        .std = any ? sqrt(whole.m2 / (double)whole.finite) : NAN,
        .l2 = any ? sqrt(whole.squares) : NAN,
    };
    return LOCKSTEP_OK;
}
