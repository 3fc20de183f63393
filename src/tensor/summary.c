/* Tiles that fit the first-level cache are summed in double, then merged. */
#include "tensor/summary.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "tensor/spread.h"

/* STEP sums are independent of each other; their number is fixed, so that results are the same on all machines. */
enum { TILE = 4096, LANES = 4, WAYS = 2, STEP = LANES * WAYS };

typedef double lanes __attribute__((vector_size(LANES * sizeof(double))));
typedef float narrow_lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int64_t masks __attribute__((vector_size(LANES * sizeof(int64_t))));

/* Compiled for processors with 256-bit vectors, too; the variant is chosen at load time. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

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
    ls_spread_merge((double)into->finite, &into->mean, &into->m2, (double)other->finite, other->mean, other->m2);
    into->finite += other->finite;
}

static double total(const lanes v[WAYS]) {
    double sum = 0;
    for (int w = 0; w < WAYS; w++)
        for (int i = 0; i < LANES; i++)
            sum += v[w][i];
    return sum;
}

/* Loads lanes of floats or doubles, which need not be aligned. */
static inline __attribute__((always_inline)) void load(lanes *x, const char *values, size_t at, bool narrow) {
    if (narrow) {
        narrow_lanes floats;
        memcpy(&floats, values + at * sizeof(float), sizeof floats);
        for (int i = 0; i < LANES; i++)
            (*x)[i] = (double)floats[i];
    } else {
        memcpy(x, values + at * sizeof(double), sizeof *x);
    }
}

/* Minimum and maximum, one instruction each. The result is unspecified, and not used, if there is a NaN. */
static inline __attribute__((always_inline)) void lower(lanes *low, const lanes *x) {
    for (int i = 0; i < LANES; i++)
        (*low)[i] = (*x)[i] < (*low)[i] ? (*x)[i] : (*low)[i];
}

static inline __attribute__((always_inline)) void raise(lanes *high, const lanes *x) {
    for (int i = 0; i < LANES; i++)
        (*high)[i] = (*x)[i] > (*high)[i] ? (*x)[i] : (*high)[i];
}

/* `n` is a multiple of STEP, and not 0. Returns false, with *s unspecified, if a value isn't finite. */
static inline __attribute__((always_inline)) bool sum_up(const char *v, size_t n, bool narrow, bool no_spread, ls_summary *s) {
    lanes sum[WAYS] = {{0}}, squares[WAYS] = {{0}}, m2[WAYS] = {{0}}, low[WAYS], high[WAYS], probe = {0};
    masks zeros[WAYS] = {{0}};
    for (int w = 0; w < WAYS; w++) {
        load(&low[w], v, (size_t)w * LANES, narrow);
        high[w] = low[w];
    }
    for (size_t i = 0; i < n; i += STEP)
#pragma GCC unroll WAYS
        for (int w = 0; w < WAYS; w++) {
            lanes x;
            load(&x, v, i + (size_t)w * LANES, narrow);
            sum[w] += x;
            squares[w] += x * x;
            lower(&low[w], &x);
            raise(&high[w], &x);
            zeros[w] -= x == 0;
            if (!narrow)
                probe += x * 0; /* NaN if x isn't finite */
        }
    bool finite = !narrow || isfinite(total(squares)); /* the squares of finite floats have a finite sum */
    for (int i = 0; i < LANES; i++)
        finite = finite && !isnan(probe[i]);
    if (!finite)
        return false;
    double mean = total(sum) / (double)n;
    for (size_t i = 0; i < n && !no_spread; i += STEP)
#pragma GCC unroll WAYS
        for (int w = 0; w < WAYS; w++) {
            lanes x;
            load(&x, v, i + (size_t)w * LANES, narrow);
            x -= mean;
            m2[w] += x * x;
        }
    *s = (ls_summary){.finite = n, .mean = mean, .min = low[0][0], .max = high[0][0], .squares = total(squares), .m2 = total(m2)};
    for (int k = 0; k < STEP; k++) {
        s->min = low[k / LANES][k % LANES] < s->min ? low[k / LANES][k % LANES] : s->min;
        s->max = high[k / LANES][k % LANES] > s->max ? high[k / LANES][k % LANES] : s->max;
        s->zeros += (uint64_t)zeros[k / LANES][k % LANES];
    }
    return true;
}

WIDE static bool sum_up_floats(const char *v, size_t n, bool no_spread, ls_summary *s) { return sum_up(v, n, true, no_spread, s); }
WIDE static bool sum_up_doubles(const char *v, size_t n, bool no_spread, ls_summary *s) { return sum_up(v, n, false, no_spread, s); }

static void add_any(ls_summary *into, double value) {
    if (isnan(value)) {
        into->nan++;
    } else if (isinf(value)) {
        into->inf++;
    } else {
        ls_summary one = {.finite = 1, .mean = value, .min = value, .max = value, .squares = value * value, .zeros = value == 0};
        ls_summary_merge(into, &one);
    }
}

static double value_at(const char *values, size_t i, bool narrow) {
    float single;
    double value;
    if (!narrow)
        return memcpy(&value, values + i * sizeof value, sizeof value), value;
    memcpy(&single, values + i * sizeof single, sizeof single);
    return (double)single;
}

static void add_tile(ls_summary *summary, const char *values, size_t n, bool narrow) {
    size_t steps = n / STEP * STEP;
    ls_summary s;
    bool finite = steps == 0 || (narrow ? sum_up_floats(values, steps, summary->no_spread, &s) : sum_up_doubles(values, steps, summary->no_spread, &s));
    if (finite && steps > 0)
        ls_summary_merge(summary, &s);
    if (finite) {
        for (size_t i = steps; i < n; i++)
            add_any(summary, value_at(values, i, narrow));
        return;
    }
    double kept[TILE]; /* the finite values */
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        double value = value_at(values, i, narrow);
        if (isfinite(value))
            kept[count++] = value;
        else
            add_any(summary, value);
    }
    if (count > 0)
        add_tile(summary, (const char *)kept, count, false);
}

static void add(ls_summary *summary, const char *values, size_t count, bool narrow) {
    for (size_t done = 0; done < count; done += TILE)
        add_tile(summary, values + done * (narrow ? sizeof(float) : sizeof(double)), count - done < TILE ? count - done : TILE, narrow);
}

void ls_summary_add_f32(ls_summary *summary, const void *values, size_t count) { add(summary, values, count, true); }

void ls_summary_add_f64(ls_summary *summary, const void *values, size_t count) { add(summary, values, count, false); }

double ls_summary_mean(const ls_summary *summary) { return summary->finite > 0 ? summary->mean : NAN; }

double ls_summary_std(const ls_summary *summary) {
    return summary->finite > 0 && !summary->no_spread ? sqrt(summary->m2 / (double)summary->finite) : NAN;
}

double ls_summary_l2(const ls_summary *summary) { return summary->finite > 0 ? sqrt(summary->squares) : NAN; }
