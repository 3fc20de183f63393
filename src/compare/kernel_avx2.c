/* The kernels with AVX2 and FMA: the lanes of kernel_c.c are those of a vector. The C functions
 * add the elements after the last whole vector to the same lanes. */
#include "compare/kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX2_INLINE static inline __attribute__((target("avx2,fma"), always_inline))

AVX2_INLINE __m256d absolute(__m256d v) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), v); }

/* Loads four elements as doubles. */
AVX2_INLINE __m256d load(const void *values, size_t i, bool wide) {
    return wide ? _mm256_loadu_pd((const double *)values + i) : _mm256_cvtps_pd(_mm_loadu_ps((const float *)values + i));
}

/* There is one loop for pairs and one for the two sides: the sums of both wouldn't fit in the
 * registers, and a sum in memory would add its latency to every step. */
typedef struct pair_sums {
    __m256d max_abs, max_rel, sum_abs, sum_rel, sum_squares, dot;
} pair_sums;

AVX2_INLINE void add_pair(pair_sums *s, __m256d r, __m256d c) {
    __m256d d = _mm256_sub_pd(c, r), a = absolute(d), magnitude = absolute(r);
    __m256d relative = _mm256_div_pd(a, magnitude); /* NaN if both are 0, which max ignores */
    __m256d counted = _mm256_cmp_pd(magnitude, _mm256_setzero_pd(), _CMP_NEQ_UQ);
    s->sum_abs = _mm256_add_pd(s->sum_abs, a);
    s->sum_squares = _mm256_fmadd_pd(d, d, s->sum_squares);
    s->sum_rel = _mm256_add_pd(s->sum_rel, _mm256_and_pd(relative, counted));
    s->dot = _mm256_fmadd_pd(r, c, s->dot);
    s->max_abs = _mm256_max_pd(a, s->max_abs);
    s->max_rel = _mm256_max_pd(relative, s->max_rel);
}

AVX2_INLINE pair_sums begin_pairs(void) {
    const __m256d zero = _mm256_setzero_pd();
    return (pair_sums){zero, zero, zero, zero, zero, zero};
}

AVX2_INLINE void store_pairs(ls_lanes *out, const pair_sums *s) {
    _mm256_storeu_pd(out->max_abs, s->max_abs);
    _mm256_storeu_pd(out->max_rel, s->max_rel);
    _mm256_storeu_pd(out->sum_abs, s->sum_abs);
    _mm256_storeu_pd(out->sum_rel, s->sum_rel);
    _mm256_storeu_pd(out->sum_squares, s->sum_squares);
    _mm256_storeu_pd(out->dot, s->dot);
}

typedef struct side_sums {
    __m256d pivot, shifted, shifted_squares, min, max;
} side_sums;

AVX2_INLINE void add_side(side_sums *s, __m256d v) {
    __m256d shifted = _mm256_sub_pd(v, s->pivot);
    s->shifted = _mm256_add_pd(s->shifted, shifted);
    s->shifted_squares = _mm256_fmadd_pd(shifted, shifted, s->shifted_squares);
    s->min = _mm256_min_pd(v, s->min);
    s->max = _mm256_max_pd(v, s->max);
}

AVX2_INLINE side_sums begin_side(double pivot) {
    return (side_sums){_mm256_set1_pd(pivot), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_set1_pd(INFINITY),
                       _mm256_set1_pd(-INFINITY)};
}

AVX2_INLINE void store_side(ls_side_lanes *out, const side_sums *s) {
    _mm256_storeu_pd(out->shifted, s->shifted);
    _mm256_storeu_pd(out->shifted_squares, s->shifted_squares);
    _mm256_storeu_pd(out->min, s->min);
    _mm256_storeu_pd(out->max, s->max);
}

/* n is a multiple of 4. */
AVX2_INLINE void add_whole(ls_lanes *lanes, const void *r, const void *c, size_t n, bool wide) {
    pair_sums pairs = begin_pairs();
    for (size_t i = 0; i < n; i += 4)
        add_pair(&pairs, load(r, i, wide), load(c, i, wide));
    store_pairs(lanes, &pairs);
    side_sums reference = begin_side(lanes->reference.pivot), candidate = begin_side(lanes->candidate.pivot);
    for (size_t i = 0; i < n; i += 4) {
        add_side(&reference, load(r, i, wide));
        add_side(&candidate, load(c, i, wide));
    }
    store_side(&lanes->reference, &reference);
    store_side(&lanes->candidate, &candidate);
}

AVX2_INLINE bool any_nonfinite(const void *r, const void *c, size_t n) {
    __m256d found = _mm256_setzero_pd();
    for (size_t i = 0; i < n; i += 4) {
        __m256d d = _mm256_sub_pd(load(c, i, true), load(r, i, true)); /* d - d is 0 or NaN */
        found = _mm256_or_pd(found, _mm256_cmp_pd(_mm256_sub_pd(d, d), _mm256_setzero_pd(), _CMP_NEQ_UQ));
    }
    return _mm256_movemask_pd(found) != 0;
}

AVX2 static void sum_f32(const void *reference, const void *candidate, size_t n, ls_tile *out) {
    ls_lanes lanes;
    float r, c;
    memcpy(&r, reference, sizeof r);
    memcpy(&c, candidate, sizeof c);
    ls_lanes_init(&lanes, (double)r, (double)c);
    size_t whole = n - n % 4;
    add_whole(&lanes, reference, candidate, whole, false);
    /* the sum of |d| of floats can't overflow a double, so it is finite if all of them are */
    double sum = (lanes.sum_abs[0] + lanes.sum_abs[1]) + (lanes.sum_abs[2] + lanes.sum_abs[3]);
    lanes.nonfinite = sum - sum != 0;
    ls_lanes_add_f32(&lanes, reference, candidate, whole, n);
    ls_lanes_fold(&lanes, n, out);
    out->same_bits = out->finite && out->max_abs == 0 && memcmp(reference, candidate, n * sizeof r) == 0;
}

AVX2 static void sum_f64(const void *reference, const void *candidate, size_t n, ls_tile *out) {
    ls_lanes lanes;
    double r, c;
    memcpy(&r, reference, sizeof r);
    memcpy(&c, candidate, sizeof c);
    ls_lanes_init(&lanes, r, c);
    size_t whole = n - n % 4;
    add_whole(&lanes, reference, candidate, whole, true);
    lanes.nonfinite = any_nonfinite(reference, candidate, whole);
    ls_lanes_add_f64(&lanes, reference, candidate, whole, n);
    ls_lanes_fold(&lanes, n, out);
    out->same_bits = out->finite && out->max_abs == 0 && memcmp(reference, candidate, n * sizeof r) == 0;
}

/* ---------------------------------------------------------------------- counts */

AVX2_INLINE void add_lanes(uint64_t *count, __m256i lanes) {
    uint64_t each[4];
    _mm256_storeu_si256((__m256i *)(void *)each, lanes);
    *count += each[0] + each[1] + each[2] + each[3];
}

/* Instantiated for each number of thresholds that are below the tile's largest |d|. */
AVX2_INLINE void count(const void *r, const void *c, size_t n, const ls_count_limits *limits, uint64_t *counts, bool wide,
                       int thresholds, bool within) {
    const __m256d atol = _mm256_set1_pd(limits->atol), rtol = _mm256_set1_pd(limits->rtol);
    __m256i total[LS_SHARES], beyond = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int k = 0; k < thresholds; k++)
        total[k] = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += 4) {
        __m256d vr = load(r, i, wide), vc = load(c, i, wide);
        __m256d a = absolute(_mm256_sub_pd(vc, vr)), most = _mm256_add_pd(atol, _mm256_mul_pd(rtol, absolute(vr)));
        if (!within)
            beyond = _mm256_sub_epi64(beyond, _mm256_castpd_si256(_mm256_cmp_pd(a, most, _CMP_NLE_UQ)));
#pragma GCC unroll 8
        for (int k = 0; k < thresholds; k++) {
            __m256d above = _mm256_cmp_pd(a, _mm256_set1_pd(ls_share_thresholds[k]), _CMP_GT_OQ);
            total[k] = _mm256_sub_epi64(total[k], _mm256_castpd_si256(above));
        }
    }
    add_lanes(&counts[LS_SHARES], beyond);
#pragma GCC unroll 8
    for (int k = 0; k < thresholds; k++)
        add_lanes(&counts[k], total[k]);
}

AVX2_INLINE void count_some(const void *r, const void *c, size_t n, const ls_count_limits *limits, uint64_t *counts, bool wide) {
    int thresholds = 0;
    while (thresholds < LS_SHARES && limits->max_abs > ls_share_thresholds[thresholds])
        thresholds++;
    switch (2 * thresholds + limits->within) {
#define CASE(k)                                                   \
    case 2 * k: count(r, c, n, limits, counts, wide, k, false); break; \
    case 2 * k + 1: count(r, c, n, limits, counts, wide, k, true); break
        CASE(0);
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(6);
#undef CASE
    }
}
_Static_assert(LS_SHARES == 6, "two cases for each number of thresholds");

AVX2 static void count_f32(const void *reference, const void *candidate, size_t n, const ls_count_limits *limits, uint64_t *counts) {
    size_t whole = n - n % 4, at = whole * sizeof(float);
    count_some(reference, candidate, whole, limits, counts, false);
    ls_kernels_c.count_f32((const uint8_t *)reference + at, (const uint8_t *)candidate + at, n - whole, limits, counts);
}

AVX2 static void count_f64(const void *reference, const void *candidate, size_t n, const ls_count_limits *limits, uint64_t *counts) {
    size_t whole = n - n % 4, at = whole * sizeof(double);
    count_some(reference, candidate, whole, limits, counts, true);
    ls_kernels_c.count_f64((const uint8_t *)reference + at, (const uint8_t *)candidate + at, n - whole, limits, counts);
}

/* ------------------------------------------------------------------------- ulp */

/* Converts sign and magnitude to two's complement: (x ^ s) - s, where s is all ones for negative numbers. */
AVX2 static uint32_t ulp_f32(const void *reference, const void *candidate, size_t n) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), largest = _mm256_set1_epi32(0x7f7fffff);
    const uint8_t *r = reference, *c = candidate;
    __m256i most = _mm256_setzero_si256();
    size_t whole = n - n % 8;
    for (size_t i = 0; i < whole; i += 8) {
        __m256i vr = _mm256_loadu_si256((const void *)(r + 4 * i)), vc = _mm256_loadu_si256((const void *)(c + 4 * i));
        __m256i sr = _mm256_srai_epi32(vr, 31), sc = _mm256_srai_epi32(vc, 31);
        __m256i mr = _mm256_and_si256(vr, magnitude), mc = _mm256_and_si256(vc, magnitude);
        __m256i skip = _mm256_or_si256(_mm256_cmpgt_epi32(mr, largest), _mm256_cmpgt_epi32(mc, largest));
        __m256i ir = _mm256_sub_epi32(_mm256_xor_si256(mr, sr), sr), ic = _mm256_sub_epi32(_mm256_xor_si256(mc, sc), sc);
        __m256i steps = _mm256_sub_epi32(_mm256_max_epi32(ir, ic), _mm256_min_epi32(ir, ic));
        most = _mm256_max_epu32(most, _mm256_andnot_si256(skip, steps));
    }
    uint32_t lanes[8], out = ls_kernels_c.ulp_f32(r + 4 * whole, c + 4 * whole, n - whole);
    _mm256_storeu_si256((__m256i *)(void *)lanes, most);
    for (int k = 0; k < 8; k++)
        out = lanes[k] > out ? lanes[k] : out;
    return out;
}

AVX2 static uint32_t ulp_16(const void *reference, const void *candidate, size_t n, uint16_t infinity) {
    const __m256i magnitude = _mm256_set1_epi16(0x7fff), largest = _mm256_set1_epi16((short)(infinity - 1));
    const uint8_t *r = reference, *c = candidate;
    __m256i most = _mm256_setzero_si256();
    size_t whole = n - n % 16;
    for (size_t i = 0; i < whole; i += 16) {
        __m256i vr = _mm256_loadu_si256((const void *)(r + 2 * i)), vc = _mm256_loadu_si256((const void *)(c + 2 * i));
        __m256i sr = _mm256_srai_epi16(vr, 15), sc = _mm256_srai_epi16(vc, 15);
        __m256i mr = _mm256_and_si256(vr, magnitude), mc = _mm256_and_si256(vc, magnitude);
        __m256i skip = _mm256_or_si256(_mm256_cmpgt_epi16(mr, largest), _mm256_cmpgt_epi16(mc, largest));
        __m256i ir = _mm256_sub_epi16(_mm256_xor_si256(mr, sr), sr), ic = _mm256_sub_epi16(_mm256_xor_si256(mc, sc), sc);
        __m256i steps = _mm256_sub_epi16(_mm256_max_epi16(ir, ic), _mm256_min_epi16(ir, ic));
        most = _mm256_max_epu16(most, _mm256_andnot_si256(skip, steps));
    }
    uint16_t lanes[16];
    uint32_t out = ls_kernels_c.ulp_16(r + 2 * whole, c + 2 * whole, n - whole, infinity);
    _mm256_storeu_si256((__m256i *)(void *)lanes, most);
    for (int k = 0; k < 16; k++)
        out = lanes[k] > out ? lanes[k] : out;
    return out;
}

/* --------------------------------------------------------------------- squares */

AVX2_INLINE void squares_some(const void *reference, const void *candidate, size_t n, double lanes[3][4], bool wide) {
    __m256d error = _mm256_setzero_pd(), r2 = error, c2 = error;
    for (size_t i = 0; i + 4 <= n; i += 4) {
        __m256d r = load(reference, i, wide), c = load(candidate, i, wide), d = _mm256_sub_pd(c, r);
        error = _mm256_fmadd_pd(d, d, error);
        r2 = _mm256_fmadd_pd(r, r, r2);
        c2 = _mm256_fmadd_pd(c, c, c2);
    }
    _mm256_storeu_pd(lanes[0], error);
    _mm256_storeu_pd(lanes[1], r2);
    _mm256_storeu_pd(lanes[2], c2);
    for (size_t i = n - n % 4; i < n; i++) {
        double r, c;
        if (wide) {
            memcpy(&r, (const double *)reference + i, sizeof r);
            memcpy(&c, (const double *)candidate + i, sizeof c);
        } else {
            float fr, fc;
            memcpy(&fr, (const float *)reference + i, sizeof fr);
            memcpy(&fc, (const float *)candidate + i, sizeof fc);
            r = (double)fr, c = (double)fc;
        }
        double d = c - r;
        lanes[0][i % 4] = fma(d, d, lanes[0][i % 4]);
        lanes[1][i % 4] = fma(r, r, lanes[1][i % 4]);
        lanes[2][i % 4] = fma(c, c, lanes[2][i % 4]);
    }
}

AVX2_INLINE void squares_fold(const double lanes[3][4], double out_sums[3]) {
    for (int k = 0; k < 3; k++)
        out_sums[k] = (lanes[k][0] + lanes[k][1]) + (lanes[k][2] + lanes[k][3]);
}

AVX2 static void squares_f32(const void *reference, const void *candidate, size_t n, double out_sums[3]) {
    double lanes[3][4];
    squares_some(reference, candidate, n, lanes, false);
    squares_fold(lanes, out_sums);
}

AVX2 static void squares_f64(const void *reference, const void *candidate, size_t n, double out_sums[3]) {
    double lanes[3][4];
    squares_some(reference, candidate, n, lanes, true);
    squares_fold(lanes, out_sums);
}

static const ls_kernels kernels = {"avx2",   sum_f32, sum_f64,     count_f32,  count_f64,
                                   ulp_f32, ulp_16,  squares_f32, squares_f64};

const ls_kernels *ls_kernels_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kernels : NULL; }

#else

const ls_kernels *ls_kernels_avx2(void) { return NULL; }

#endif
