#include "compare/kernel.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE float load_f32(const void *p, size_t i) {
    float v;
    memcpy(&v, (const uint8_t *)p + i * sizeof v, sizeof v);
    return v;
}

INLINE double load_f64(const void *p, size_t i) {
    double v;
    memcpy(&v, (const uint8_t *)p + i * sizeof v, sizeof v);
    return v;
}

INLINE double load(const void *p, size_t i, bool wide) { return wide ? load_f64(p, i) : (double)load_f32(p, i); }

/* --- sums */

static void init_side(ls_side_lanes *s, double pivot) {
    *s = (ls_side_lanes){.pivot = pivot};
    for (int k = 0; k < LS_KERNEL_LANES; k++) {
        s->min[k] = INFINITY;
        s->max[k] = -INFINITY;
    }
}

void ls_lanes_init(ls_lanes *lanes, double reference_pivot, double candidate_pivot) {
    *lanes = (ls_lanes){0};
    init_side(&lanes->reference, reference_pivot);
    init_side(&lanes->candidate, candidate_pivot);
}

INLINE void add_side(ls_side_lanes *s, const void *values, size_t from, size_t to, bool wide) {
    for (size_t i = from; i < to; i++) {
        size_t k = i % LS_KERNEL_LANES;
        double v = load(values, i, wide), shifted = v - s->pivot;
        s->shifted[k] += shifted;
        s->shifted_squares[k] = fma(shifted, shifted, s->shifted_squares[k]);
        s->min[k] = v < s->min[k] ? v : s->min[k];
        s->max[k] = v > s->max[k] ? v : s->max[k];
    }
}

INLINE void add_pairs(ls_lanes *l, const void *reference, const void *candidate, size_t from, size_t to, bool wide) {
    for (size_t i = from; i < to; i++) {
        size_t k = i % LS_KERNEL_LANES;
        double r = load(reference, i, wide), c = load(candidate, i, wide), d = c - r, a = fabs(d), magnitude = fabs(r);
        double relative = a / magnitude; /* NaN if both are 0 */
        l->nonfinite |= d - d != 0;
        l->sum_abs[k] += a;
        l->sum_squares[k] = fma(d, d, l->sum_squares[k]);
        l->sum_rel[k] += magnitude != 0 ? relative : 0;
        l->dot[k] = fma(r, c, l->dot[k]);
        l->max_abs[k] = a > l->max_abs[k] ? a : l->max_abs[k];
        l->max_rel[k] = relative > l->max_rel[k] ? relative : l->max_rel[k];
    }
}

INLINE void add(ls_lanes *lanes, const void *reference, const void *candidate, size_t from, size_t to, bool wide) {
    add_pairs(lanes, reference, candidate, from, to, wide);
    add_side(&lanes->reference, reference, from, to, wide);
    add_side(&lanes->candidate, candidate, from, to, wide);
}

void ls_lanes_add_f32(ls_lanes *lanes, const void *reference, const void *candidate, size_t from, size_t to) {
    add(lanes, reference, candidate, from, to, false);
}

void ls_lanes_add_f64(ls_lanes *lanes, const void *reference, const void *candidate, size_t from, size_t to) {
    add(lanes, reference, candidate, from, to, true);
}

static double fold_sum(const double lane[LS_KERNEL_LANES]) { return (lane[0] + lane[1]) + (lane[2] + lane[3]); }

static double fold_max(const double lane[LS_KERNEL_LANES]) {
    double most = lane[0];
    for (int k = 1; k < LS_KERNEL_LANES; k++)
        most = lane[k] > most ? lane[k] : most;
    return most;
}

static double fold_min(const double lane[LS_KERNEL_LANES]) {
    double least = lane[0];
    for (int k = 1; k < LS_KERNEL_LANES; k++)
        least = lane[k] < least ? lane[k] : least;
    return least;
}

static ls_tile_side fold_side(const ls_side_lanes *s, size_t n) {
    double sum = fold_sum(s->shifted), count = (double)n;
    double m2 = fold_sum(s->shifted_squares) - sum * (sum / count);
    return (ls_tile_side){.min = fold_min(s->min) + 0.0, .max = fold_max(s->max) + 0.0, .mean = s->pivot + sum / count,
                          .m2 = m2 > 0 ? m2 : 0};
}

void ls_lanes_fold(const ls_lanes *l, size_t n, ls_tile *out) {
    out->finite = !l->nonfinite;
    if (l->nonfinite)
        return;
    out->max_abs = fold_max(l->max_abs);
    out->max_rel = fold_max(l->max_rel);
    out->sum_abs = fold_sum(l->sum_abs);
    out->sum_rel = fold_sum(l->sum_rel);
    out->sum_squares = fold_sum(l->sum_squares);
    out->dot = fold_sum(l->dot);
    out->reference = fold_side(&l->reference, n);
    out->candidate = fold_side(&l->candidate, n);
}

static void sum_f32(const void *reference, const void *candidate, size_t n, ls_tile *out) {
    ls_lanes lanes;
    ls_lanes_init(&lanes, load(reference, 0, false), load(candidate, 0, false));
    ls_lanes_add_f32(&lanes, reference, candidate, 0, n);
    ls_lanes_fold(&lanes, n, out);
    out->same_bits = out->finite && out->max_abs == 0 && memcmp(reference, candidate, n * sizeof(float)) == 0;
}

static void sum_f64(const void *reference, const void *candidate, size_t n, ls_tile *out) {
    ls_lanes lanes;
    ls_lanes_init(&lanes, load(reference, 0, true), load(candidate, 0, true));
    ls_lanes_add_f64(&lanes, reference, candidate, 0, n);
    ls_lanes_fold(&lanes, n, out);
    out->same_bits = out->finite && out->max_abs == 0 && memcmp(reference, candidate, n * sizeof(double)) == 0;
}

/* --- counts */

INLINE void count(const void *reference, const void *candidate, size_t n, const ls_count_limits *limits, uint64_t *counts, bool wide) {
    for (size_t i = 0; i < n; i++) {
        double r = load(reference, i, wide), a = fabs(load(candidate, i, wide) - r);
        for (int k = 0; k < LS_SHARES; k++)
            counts[k] += a > ls_share_thresholds[k];
        counts[LS_SHARES] += !(a <= limits->atol + limits->rtol * fabs(r));
    }
}

static void count_f32(const void *reference, const void *candidate, size_t n, const ls_count_limits *limits, uint64_t *counts) {
    count(reference, candidate, n, limits, counts, false);
}

static void count_f64(const void *reference, const void *candidate, size_t n, const ls_count_limits *limits, uint64_t *counts) {
    count(reference, candidate, n, limits, counts, true);
}

/* --- steps between floating-point numbers: sign and magnitude, read as an integer,
 * are in the same order as the numbers */

static uint32_t ulp_f32(const void *reference, const void *candidate, size_t n) {
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t r, c;
        memcpy(&r, (const uint8_t *)reference + i * sizeof r, sizeof r);
        memcpy(&c, (const uint8_t *)candidate + i * sizeof c, sizeof c);
        uint32_t mr = r & 0x7fffffffu, mc = c & 0x7fffffffu;
        if (mr >= 0x7f800000u || mc >= 0x7f800000u)
            continue;
        uint32_t steps = (r ^ c) >> 31 ? mr + mc : mr > mc ? mr - mc : mc - mr;
        most = steps > most ? steps : most;
    }
    return most;
}

static uint32_t ulp_16(const void *reference, const void *candidate, size_t n, uint16_t infinity) {
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t r, c;
        memcpy(&r, (const uint8_t *)reference + i * sizeof r, sizeof r);
        memcpy(&c, (const uint8_t *)candidate + i * sizeof c, sizeof c);
        uint32_t mr = r & 0x7fffu, mc = c & 0x7fffu;
        if (mr >= infinity || mc >= infinity)
            continue;
        uint32_t steps = (r ^ c) >> 15 ? mr + mc : mr > mc ? mr - mc : mc - mr;
        most = steps > most ? steps : most;
    }
    return most;
}

/* --- squares only */

#define SQUARES(name, type)                                                                                     \
    static void name(const void *reference, const void *candidate, size_t n, double out_sums[3]) {              \
        double lanes[3][LS_KERNEL_LANES] = {{0}};                                                               \
        for (size_t i = 0; i < n; i++) {                                                                        \
            type r, c;                                                                                          \
            memcpy(&r, (const uint8_t *)reference + i * sizeof r, sizeof r);                                    \
            memcpy(&c, (const uint8_t *)candidate + i * sizeof c, sizeof c);                                    \
            double d = (double)c - (double)r, *lane[3] = {&lanes[0][i % 4], &lanes[1][i % 4], &lanes[2][i % 4]}; \
            *lane[0] = fma(d, d, *lane[0]);                                                                     \
            *lane[1] = fma((double)r, (double)r, *lane[1]);                                                     \
            *lane[2] = fma((double)c, (double)c, *lane[2]);                                                     \
        }                                                                                                       \
        for (int k = 0; k < 3; k++)                                                                             \
            out_sums[k] = (lanes[k][0] + lanes[k][1]) + (lanes[k][2] + lanes[k][3]);                            \
    }
SQUARES(squares_f32, float)
SQUARES(squares_f64, double)

const ls_kernels ls_kernels_c = {"c", sum_f32, sum_f64, count_f32, count_f64, ulp_f32, ulp_16, squares_f32, squares_f64};
