/* The kernels with AVX2: the lanes of kernel_c.c are those of a vector. What is left
 * behind the last whole vector is added to the same lanes by the C functions. */
#include "compare/kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((target("avx2"), always_inline))

typedef struct side {
    __m256d pivot, shifted, shifted_squares, squares;
} side;

typedef struct sums {
    __m256d max_abs, max_rel, sum_abs, sum_rel, sum_squares, dot;
    side reference, candidate;
} sums;

AVX2_INLINE __m256d absolute(__m256d v) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), v); }

AVX2_INLINE void add_side(side *s, __m256d v) {
    __m256d shifted = _mm256_sub_pd(v, s->pivot);
    s->shifted = _mm256_add_pd(s->shifted, shifted);
    s->shifted_squares = _mm256_add_pd(s->shifted_squares, _mm256_mul_pd(shifted, shifted));
    s->squares = _mm256_add_pd(s->squares, _mm256_mul_pd(v, v));
}

AVX2_INLINE void add(sums *s, __m256d r, __m256d c) {
    const __m256d zero = _mm256_setzero_pd();
    __m256d d = _mm256_sub_pd(c, r), a = absolute(d), magnitude = absolute(r);
    __m256d relative = _mm256_and_pd(_mm256_div_pd(a, magnitude), _mm256_cmp_pd(a, zero, _CMP_NEQ_UQ));
    s->sum_abs = _mm256_add_pd(s->sum_abs, a);
    s->sum_squares = _mm256_add_pd(s->sum_squares, _mm256_mul_pd(d, d));
    s->sum_rel = _mm256_add_pd(s->sum_rel, _mm256_and_pd(relative, _mm256_cmp_pd(magnitude, zero, _CMP_NEQ_UQ)));
    s->dot = _mm256_add_pd(s->dot, _mm256_mul_pd(r, c));
    s->max_abs = _mm256_max_pd(a, s->max_abs);
    s->max_rel = _mm256_max_pd(relative, s->max_rel);
    add_side(&s->reference, r);
    add_side(&s->candidate, c);
}

AVX2_INLINE sums begin(double reference_pivot, double candidate_pivot) {
    const __m256d zero = _mm256_setzero_pd();
    return (sums){zero, zero, zero, zero, zero, zero,
                  {_mm256_set1_pd(reference_pivot), zero, zero, zero},
                  {_mm256_set1_pd(candidate_pivot), zero, zero, zero}};
}

AVX2_INLINE void store_side(ls_side_lanes *out, const side *s) {
    _mm256_storeu_pd(out->shifted, s->shifted);
    _mm256_storeu_pd(out->shifted_squares, s->shifted_squares);
    _mm256_storeu_pd(out->squares, s->squares);
}

AVX2_INLINE void store(ls_lanes *out, const sums *s) {
    _mm256_storeu_pd(out->max_abs, s->max_abs);
    _mm256_storeu_pd(out->max_rel, s->max_rel);
    _mm256_storeu_pd(out->sum_abs, s->sum_abs);
    _mm256_storeu_pd(out->sum_rel, s->sum_rel);
    _mm256_storeu_pd(out->sum_squares, s->sum_squares);
    _mm256_storeu_pd(out->dot, s->dot);
    store_side(&out->reference, &s->reference);
    store_side(&out->candidate, &s->candidate);
}

/* ------------------------------------------------------------------------- f32 */

/* What needs no double: eight floats at once. */
typedef struct range {
    __m256 min, max;
    __m256i magnitude; /* largest bits without the sign */
} range;

AVX2_INLINE range begin_range(void) {
    return (range){_mm256_set1_ps(INFINITY), _mm256_set1_ps(-INFINITY), _mm256_setzero_si256()};
}

AVX2_INLINE void add_range(range *x, __m256 v) {
    __m256i magnitude = _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
    x->min = _mm256_min_ps(v, x->min);
    x->max = _mm256_max_ps(v, x->max);
    x->magnitude = _mm256_max_epi32(x->magnitude, magnitude);
}

AVX2_INLINE bool store_range(ls_side_lanes *out, const range *x) {
    __m128 least = _mm_min_ps(_mm256_castps256_ps128(x->min), _mm256_extractf128_ps(x->min, 1));
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(x->max), _mm256_extractf128_ps(x->max, 1));
    _mm256_storeu_pd(out->min, _mm256_cvtps_pd(least));
    _mm256_storeu_pd(out->max, _mm256_cvtps_pd(most));
    __m256i beyond = _mm256_cmpgt_epi32(x->magnitude, _mm256_set1_epi32(0x7f7fffff));
    return !_mm256_testz_si256(beyond, beyond);
}

AVX2 static void sum_f32(const void *reference, const void *candidate, size_t n, ls_tile *out) {
    const uint8_t *r = reference, *c = candidate;
    float first[2];
    memcpy(&first[0], r, sizeof first[0]);
    memcpy(&first[1], c, sizeof first[1]);
    sums s = begin((double)first[0], (double)first[1]);
    range rr = begin_range(), cr = begin_range();
    __m256i different = _mm256_setzero_si256();
    size_t whole = n - n % 8;
    for (size_t i = 0; i < whole; i += 8) {
        __m256 vr = _mm256_loadu_ps((const float *)(const void *)(r + 4 * i));
        __m256 vc = _mm256_loadu_ps((const float *)(const void *)(c + 4 * i));
        add_range(&rr, vr);
        add_range(&cr, vc);
        different = _mm256_or_si256(different, _mm256_xor_si256(_mm256_castps_si256(vr), _mm256_castps_si256(vc)));
        add(&s, _mm256_cvtps_pd(_mm256_castps256_ps128(vr)), _mm256_cvtps_pd(_mm256_castps256_ps128(vc)));
        add(&s, _mm256_cvtps_pd(_mm256_extractf128_ps(vr, 1)), _mm256_cvtps_pd(_mm256_extractf128_ps(vc, 1)));
    }
    ls_lanes lanes;
    ls_lanes_init(&lanes, (double)first[0], (double)first[1]);
    store(&lanes, &s);
    lanes.nonfinite = store_range(&lanes.reference, &rr) | store_range(&lanes.candidate, &cr);
    lanes.differ = !_mm256_testz_si256(different, different);
    ls_lanes_add_f32(&lanes, reference, candidate, whole, n);
    ls_lanes_fold(&lanes, n, out);
}

/* ------------------------------------------------------------------------- f64 */

AVX2 static void sum_f64(const void *reference, const void *candidate, size_t n, ls_tile *out) {
    const uint8_t *r = reference, *c = candidate;
    double first[2];
    memcpy(&first[0], r, sizeof first[0]);
    memcpy(&first[1], c, sizeof first[1]);
    sums s = begin(first[0], first[1]);
    __m256d low[2], high[2], nonfinite = _mm256_setzero_pd();
    low[0] = low[1] = _mm256_set1_pd(INFINITY);
    high[0] = high[1] = _mm256_set1_pd(-INFINITY);
    __m256i different = _mm256_setzero_si256();
    size_t whole = n - n % 4;
    for (size_t i = 0; i < whole; i += 4) {
        __m256d vr = _mm256_loadu_pd((const double *)(const void *)(r + 8 * i));
        __m256d vc = _mm256_loadu_pd((const double *)(const void *)(c + 8 * i));
        __m256d d = _mm256_sub_pd(vc, vr); /* d - d is 0 where all are finite, else NaN */
        nonfinite = _mm256_or_pd(nonfinite, _mm256_cmp_pd(_mm256_sub_pd(d, d), _mm256_setzero_pd(), _CMP_NEQ_UQ));
        different = _mm256_or_si256(different, _mm256_xor_si256(_mm256_castpd_si256(vr), _mm256_castpd_si256(vc)));
        low[0] = _mm256_min_pd(vr, low[0]);
        low[1] = _mm256_min_pd(vc, low[1]);
        high[0] = _mm256_max_pd(vr, high[0]);
        high[1] = _mm256_max_pd(vc, high[1]);
        add(&s, vr, vc);
    }
    ls_lanes lanes;
    ls_lanes_init(&lanes, first[0], first[1]);
    store(&lanes, &s);
    _mm256_storeu_pd(lanes.reference.min, low[0]);
    _mm256_storeu_pd(lanes.candidate.min, low[1]);
    _mm256_storeu_pd(lanes.reference.max, high[0]);
    _mm256_storeu_pd(lanes.candidate.max, high[1]);
    lanes.nonfinite = _mm256_movemask_pd(nonfinite) != 0;
    lanes.differ = !_mm256_testz_si256(different, different);
    ls_lanes_add_f64(&lanes, reference, candidate, whole, n);
    ls_lanes_fold(&lanes, n, out);
}

/* ---------------------------------------------------------------------- counts */

typedef struct tally {
    __m256d atol, rtol;
    __m256i counts[LS_SHARES + 1];
} tally;

AVX2_INLINE void count(tally *t, __m256d r, __m256d c) {
    __m256d a = absolute(_mm256_sub_pd(c, r));
    __m256d most = _mm256_add_pd(t->atol, _mm256_mul_pd(t->rtol, absolute(r)));
#pragma GCC unroll 8
    for (int k = 0; k < LS_SHARES; k++) {
        __m256d above = _mm256_cmp_pd(a, _mm256_set1_pd(ls_share_thresholds[k]), _CMP_GT_OQ);
        t->counts[k] = _mm256_sub_epi64(t->counts[k], _mm256_castpd_si256(above));
    }
    __m256d beyond = _mm256_cmp_pd(a, most, _CMP_NLE_UQ);
    t->counts[LS_SHARES] = _mm256_sub_epi64(t->counts[LS_SHARES], _mm256_castpd_si256(beyond));
}

AVX2_INLINE tally begin_tally(double atol, double rtol) {
    tally t = {.atol = _mm256_set1_pd(atol), .rtol = _mm256_set1_pd(rtol)};
    for (int k = 0; k <= LS_SHARES; k++)
        t.counts[k] = _mm256_setzero_si256();
    return t;
}

AVX2_INLINE void end_tally(const tally *t, uint64_t *counts) {
    for (int k = 0; k <= LS_SHARES; k++) {
        uint64_t lanes[4];
        _mm256_storeu_si256((__m256i *)(void *)lanes, t->counts[k]);
        counts[k] += lanes[0] + lanes[1] + lanes[2] + lanes[3];
    }
}

AVX2 static void count_f32(const void *reference, const void *candidate, size_t n, double atol, double rtol, uint64_t *counts) {
    const uint8_t *r = reference, *c = candidate;
    tally t = begin_tally(atol, rtol);
    size_t whole = n - n % 4;
    for (size_t i = 0; i < whole; i += 4)
        count(&t, _mm256_cvtps_pd(_mm_loadu_ps((const float *)(const void *)(r + 4 * i))),
              _mm256_cvtps_pd(_mm_loadu_ps((const float *)(const void *)(c + 4 * i))));
    end_tally(&t, counts);
    ls_kernels_c.count_f32(r + 4 * whole, c + 4 * whole, n - whole, atol, rtol, counts);
}

AVX2 static void count_f64(const void *reference, const void *candidate, size_t n, double atol, double rtol, uint64_t *counts) {
    const uint8_t *r = reference, *c = candidate;
    tally t = begin_tally(atol, rtol);
    size_t whole = n - n % 4;
    for (size_t i = 0; i < whole; i += 4)
        count(&t, _mm256_loadu_pd((const double *)(const void *)(r + 8 * i)),
              _mm256_loadu_pd((const double *)(const void *)(c + 8 * i)));
    end_tally(&t, counts);
    ls_kernels_c.count_f64(r + 8 * whole, c + 8 * whole, n - whole, atol, rtol, counts);
}

/* ------------------------------------------------------------------------- ulp */

/* Sign and magnitude to two's complement: x ^ s - s, s being all ones where negative. */
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

static const ls_kernels kernels = {"avx2", sum_f32, sum_f64, count_f32, count_f64, ulp_f32, ulp_16};

const ls_kernels *ls_kernels_avx2(void) { return __builtin_cpu_supports("avx2") ? &kernels : NULL; }

#else

const ls_kernels *ls_kernels_avx2(void) { return NULL; }

#endif
