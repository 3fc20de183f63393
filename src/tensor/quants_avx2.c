/* The variant for AVX2: vectors of 8 floats. */
#include "tensor/quants.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "tensor/quant_grids.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#else
#pragma GCC optimize("O3")
#pragma GCC target("avx2,f16c")
#endif

static inline float half_at(const uint8_t *p) {
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}

/* 8 signed bytes as floats. */
static inline __m256 floats_of(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)); }

static inline void scaled_points(const int8_t *grid, uint8_t signs, float d, float *out) {
    const __m128i factors = _mm_loadl_epi64((const void *)ls_grids.factors[signs]);
    const __m128i points = _mm_sign_epi8(_mm_loadl_epi64((const void *)grid), factors);
    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_set1_ps(d), floats_of(points)));
}

static inline void shifted_points(const int8_t *grid, float shift, float d, float *out) {
    const __m256 points = _mm256_add_ps(floats_of(_mm_loadl_epi64((const void *)grid)), _mm256_set1_ps(shift));
    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_set1_ps(d), points));
}

static inline void looked_up(const uint8_t *q, int half, const int8_t *table, float d, float *out) {
    const __m128i values = _mm_loadu_si128((const void *)table), nibble = _mm_set1_epi8(15);
    const __m128i bytes = half == 16 ? _mm_loadu_si128((const void *)q) : _mm_loadl_epi64((const void *)q);
    const __m128i low = _mm_shuffle_epi8(values, _mm_and_si128(bytes, nibble));
    const __m128i high = _mm_shuffle_epi8(values, _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble));
    const __m256 scale = _mm256_set1_ps(d);
    _mm256_storeu_ps(out, _mm256_mul_ps(scale, floats_of(low)));
    _mm256_storeu_ps(out + half, _mm256_mul_ps(scale, floats_of(high)));
    if (half == 16) {
        _mm256_storeu_ps(out + 8, _mm256_mul_ps(scale, floats_of(_mm_srli_si128(low, 8))));
        _mm256_storeu_ps(out + 24, _mm256_mul_ps(scale, floats_of(_mm_srli_si128(high, 8))));
    }
}

static inline void signed_bits(uint8_t byte, float d, float *out) {
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i clear = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(byte), bits), _mm256_setzero_si256());
    const __m256 sign = _mm256_castsi256_ps(_mm256_slli_epi32(clear, 31));
    _mm256_storeu_ps(out, _mm256_xor_ps(_mm256_set1_ps(d), sign));
}

static inline void times(const int8_t *q, int n, float d, float *out) {
    const __m256 scale = _mm256_set1_ps(d);
    int j = 0;
    for (; j + 8 <= n; j += 8)
        _mm256_storeu_ps(out + j, _mm256_mul_ps(scale, floats_of(_mm_loadl_epi64((const void *)(q + j)))));
    for (; j < n; j++)
        out[j] = d * (float)q[j];
}

/* n is a multiple of 8 */
static inline void times_plus(const int8_t *q, int n, float d, float m, float *out) {
    const __m256 scale = _mm256_set1_ps(d), more = _mm256_set1_ps(m);
    for (int j = 0; j < n; j += 8)
        _mm256_storeu_ps(out + j, _mm256_add_ps(_mm256_mul_ps(scale, floats_of(_mm_loadl_epi64((const void *)(q + j)))), more));
}

static inline void nibbles(const uint8_t *q, int8_t out[32]) {
    const __m128i bytes = _mm_loadu_si128((const void *)q), nibble = _mm_set1_epi8(15);
    _mm_storeu_si128((__m128i *)(void *)out, _mm_and_si128(bytes, nibble));
    _mm_storeu_si128((__m128i *)(void *)(out + 16), _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble));
}

/* Copies each byte of the bits to eight lanes, each of which tests one bit. */
static inline void add_fifth(uint32_t bits, int8_t q[32]) {
    const __m256i places = _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), places);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
    const __m256i sum = _mm256_or_si256(_mm256_loadu_si256((const void *)q), _mm256_and_si256(set, _mm256_set1_epi8(16)));
    _mm256_storeu_si256((__m256i *)(void *)q, sum);
}

#include "tensor/quant_blocks.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#define X(type, elements, size, swap) type,
static const ls_quants quants = {"avx2", LS_QUANT_LIST(X)};
#undef X

const ls_quants *ls_quants_avx2(void) { return __builtin_cpu_supports("avx2") ? &quants : NULL; }

#else

const ls_quants *ls_quants_avx2(void) { return NULL; }

#endif
