/* Tiles that fit the first-level cache are summed in double, then merged by Chan,
 * Golub and LeVeque's update (1979) of mean and squared deviations, so that a large
 * mean doesn't cancel the spread. */
#include "tensor/summary.h"

#include <math.h>

enum { TILE = 4096, LANES = 4 }; /* lanes keep additions independent of each other */

void ls_summary_init(ls_summary *summary) { *summary = (ls_summary){.min = INFINITY, .max = -INFINITY}; }

void ls_summary_merge(ls_summary *into, const ls_summary *other) {
    into->nan += other->nan;
    into->inf += other->inf;
    into->zeros += other->zeros;
    into->squares += other->squares;
    if (other->finite == 0)
        return;
    into->min = other->min < into->min ? other->min : into->min;
    into->max = other->max > into->max ? other->max : into->max;
    double a = (double)into->finite, b = (double)other->finite, delta = other->mean - into->mean;
    into->mean += delta * (b / (a + b));
    into->m2 += other->m2 + delta * delta * (a * b / (a + b));
    into->finite += other->finite;
}

/* Moves the finite values to the front and counts the others. */
static size_t keep_finite(double *values, size_t n, ls_summary *s) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(values[i]))
            values[kept++] = values[i];
        else if (isnan(values[i]))
            s->nan++;
        else
            s->inf++;
    }
    return kept;
}

static void add_finite(ls_summary *into, const double *v, size_t n) {
    double sum[LANES] = {0}, squares[LANES] = {0}, m2[LANES] = {0};
    ls_summary s = {.finite = n, .min = v[0], .max = v[0]};
    for (size_t i = 0; i < n; i++) {
        sum[i % LANES] += v[i];
        squares[i % LANES] += v[i] * v[i];
        s.min = v[i] < s.min ? v[i] : s.min;
        s.max = v[i] > s.max ? v[i] : s.max;
        s.zeros += v[i] == 0;
    }
    s.mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = v[i] - s.mean;
        m2[i % LANES] += d * d;
    }
    s.squares = (squares[0] + squares[1]) + (squares[2] + squares[3]);
    s.m2 = (m2[0] + m2[1]) + (m2[2] + m2[3]);
    ls_summary_merge(into, &s);
}

static void add_tile(ls_summary *summary, double *tile, size_t n) {
    double probe = 0; /* becomes NaN when any value isn't finite */
    for (size_t i = 0; i < n; i++)
        probe += tile[i] * 0;
    if (isnan(probe))
        n = keep_finite(tile, n, summary);
    if (n > 0)
        add_finite(summary, tile, n);
}

#define ADD(values, count)                                               \
    double tile[TILE];                                                   \
    for (size_t done = 0; done < (count); done += TILE) {                \
        size_t n = (count) - done < TILE ? (count) - done : TILE;        \
        for (size_t i = 0; i < n; i++)                                   \
            tile[i] = (double)(values)[done + i];                        \
        add_tile(summary, tile, n);                                      \
    }

void ls_summary_add_f32(ls_summary *summary, const float *values, size_t count) { ADD(values, count) }

void ls_summary_add_f64(ls_summary *summary, const double *values, size_t count) { ADD(values, count) }

double ls_summary_mean(const ls_summary *summary) { return summary->finite > 0 ? summary->mean : NAN; }

double ls_summary_std(const ls_summary *summary) {
    return summary->finite > 0 ? sqrt(summary->m2 / (double)summary->finite) : NAN;
}

double ls_summary_l2(const ls_summary *summary) { return summary->finite > 0 ? sqrt(summary->squares) : NAN; }
