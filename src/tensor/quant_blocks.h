/* Decoders of ggml's quantized blocks (ggml-common.h). They compute the same products and
 * sums in the same order as its dequantize_row_* functions, so the results have the same
 * bits. Included by quants_c.c and quants_avx2.c, which compile it for their processor and
 * define the operations that profit from its instructions:
 *
 *   half_at(p)                         the float of the f16 at p
 *   scaled_points(grid, signs, d, out) 8 elements: d times grid, negated where a bit is set
 *   shifted_points(grid, s, d, out)    8 elements: d * (grid + s)
 *   looked_up(q, half, table, d, out)  d * table[nibble], for `half` bytes (8 or 16): element j
 *                                      is the low nibble of byte j, element j + half the high
 *   signed_bits(byte, d, out)          8 elements: d where a bit is set, else -d
 *   times(q, n, d, out)                n elements: d * q
 *   times_plus(q, n, d, m, out)        n elements: d * q + m
 *   nibbles(q, out)                    32 integers: low nibbles of 16 bytes, then high ones
 *   add_fifth(bits, q)                 adds 16 to those of 32 integers whose bit is set
 *
 * Packed values are first unpacked into bytes, and then scaled.
 *
 * Each function decodes one block. Multiplying a scale by a small integer is exact; only
 * adding a minimum rounds. */
#include <string.h>

#include "tensor/quant_grids.h"

/* Unrolling turns shifts that depend on the run into constants. */
#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 8")
#endif

static inline uint16_t load16(const uint8_t *p) {
    uint16_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline uint32_t load32(const uint8_t *p) {
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline float bits_to_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ------------------------------------------------------ blocks of 32: one scale */

/* d, qs[16] */
static inline void block_q4_0(const uint8_t *b, float *out) {
    static const int8_t values[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
    looked_up(b + 2, 16, values, half_at(b), out);
}

/* d, m, qs[16] */
static inline void block_q4_1(const uint8_t *b, float *out) {
    int8_t q[32];
    nibbles(b + 4, q);
    times_plus(q, 32, half_at(b), half_at(b + 2), out);
}

/* d, qh u32, qs[16] */
static inline void block_q5_0(const uint8_t *b, float *out) {
    int8_t q[32];
    nibbles(b + 6, q);
    add_fifth(load32(b + 2), q);
    for (int j = 0; j < 32; j++)
        q[j] = (int8_t)(q[j] - 16);
    times(q, 32, half_at(b), out);
}

/* d, m, qh u32, qs[16] */
static inline void block_q5_1(const uint8_t *b, float *out) {
    int8_t q[32];
    nibbles(b + 8, q);
    add_fifth(load32(b + 4), q);
    times_plus(q, 32, half_at(b), half_at(b + 2), out);
}

/* d f16, i8[32]; q8_1 has d times the sum of the integers between the two. */
static inline void block_q8_0(const uint8_t *b, float *out) { times((const int8_t *)b + 2, 32, half_at(b), out); }
static inline void block_q8_1(const uint8_t *b, float *out) { times((const int8_t *)b + 4, 32, half_at(b), out); }
/* d f32, i8[256], i16 sums[16] */
static inline void block_q8_K(const uint8_t *b, float *out) { times((const int8_t *)b + 4, 256, bits_to_float(load32(b)), out); }

/* ---------------------------------------------------------- K types: blocks of 256 */

/* scales[16] (low nibble: scale, high nibble: minimum), qs[64], d, dmin. 128 elements take 32
 * bytes: each pair of bits of these bytes is a run of 32. Each 16 elements have a scale. */
static inline void block_q2_K(const uint8_t *b, float *out) {
    const float d = half_at(b + 80), dmin = half_at(b + 82);
    UNROLLED
    for (int run = 0; run < 8; run++) {
        const uint8_t *packed = b + 16 + run / 4 * 32;
        int8_t q[32];
        for (int j = 0; j < 32; j++)
            q[j] = (int8_t)(packed[j] >> run % 4 * 2 & 3);
        for (int k = 0; k < 2; k++) {
            const uint8_t scale = b[2 * run + k];
            times_plus(q + 16 * k, 16, d * (float)(scale & 15), -(dmin * (float)(scale >> 4)), out + 32 * run + 16 * k);
        }
    }
}

/* hmask[32], qs[64], scales[12] (16 of 6 bits: nibbles, then pairs of bits), d. Bit `run` of
 * the hmask's bytes belongs to that run of 32; a bit that isn't set subtracts 4. */
static inline void block_q3_K(const uint8_t *b, float *out) {
    const float d = half_at(b + 108);
    const uint8_t *scales = b + 96;
    UNROLLED
    for (int run = 0; run < 8; run++) {
        const uint8_t *packed = b + 32 + run / 4 * 32;
        int8_t q[32];
        for (int j = 0; j < 32; j++)
            q[j] = (int8_t)(((packed[j] >> run % 4 * 2 & 3) | (b[j] >> run & 1) << 2) - 4);
        for (int k = 2 * run; k < 2 * run + 2; k++) {
            const int scale = (k < 8 ? scales[k] & 15 : scales[k - 8] >> 4) | (scales[8 + k % 4] >> k / 4 * 2 & 3) << 4;
            times(q + k % 2 * 16, 16, d * (float)(scale - 32), out + 16 * k);
        }
    }
}

/* The 8 scales and minima, of 6 bits each, of q4_K and q5_K. */
static inline void scale_and_minimum(const uint8_t *s, int k, int *scale, int *minimum) {
    if (k < 4) {
        *scale = s[k] & 63;
        *minimum = s[k + 4] & 63;
    } else {
        *scale = (s[k + 4] & 15) | s[k - 4] >> 6 << 4;
        *minimum = s[k + 4] >> 4 | s[k] >> 6 << 4;
    }
}

/* d, dmin, scales[12], qs[128]. 64 elements take 32 bytes: the low nibbles, then the high ones. */
static inline void block_q4_K(const uint8_t *b, float *out) {
    const float d = half_at(b), dmin = half_at(b + 2);
    UNROLLED
    for (int run = 0; run < 8; run++) {
        const uint8_t *packed = b + 16 + run / 2 * 32;
        int scale, minimum;
        int8_t q[32];
        for (int j = 0; j < 32; j++)
            q[j] = (int8_t)(packed[j] >> run % 2 * 4 & 15);
        scale_and_minimum(b + 4, run, &scale, &minimum);
        times_plus(q, 32, d * (float)scale, -(dmin * (float)minimum), out + 32 * run);
    }
}

/* d, dmin, scales[12], qh[32], qs[128]: the same with a fifth bit, which is bit `run` of qh. */
static inline void block_q5_K(const uint8_t *b, float *out) {
    const float d = half_at(b), dmin = half_at(b + 2);
    const uint8_t *high = b + 16;
    UNROLLED
    for (int run = 0; run < 8; run++) {
        const uint8_t *packed = b + 48 + run / 2 * 32;
        int scale, minimum;
        int8_t q[32];
        for (int j = 0; j < 32; j++)
            q[j] = (int8_t)((packed[j] >> run % 2 * 4 & 15) | (high[j] >> run & 1) << 4);
        scale_and_minimum(b + 4, run, &scale, &minimum);
        times_plus(q, 32, d * (float)scale, -(dmin * (float)minimum), out + 32 * run);
    }
}

/* ql[128], qh[64], scales i8[16], d. 128 elements take 64 bytes of ql and 32 of qh. The runs of
 * 32 are the low nibbles of the first 32 bytes, those of the second 32, then the high nibbles of both. */
static inline void block_q6_K(const uint8_t *b, float *out) {
    const float d = half_at(b + 208);
    UNROLLED
    for (int run = 0; run < 8; run++) {
        const uint8_t *low = b + run / 4 * 64 + run % 2 * 32, *high = b + 128 + run / 4 * 32;
        int8_t q[32];
        for (int j = 0; j < 32; j++)
            q[j] = (int8_t)(((low[j] >> run % 4 / 2 * 4 & 15) | (high[j] >> run % 4 * 2 & 3) << 4) - 32);
        for (int k = 0; k < 2; k++)
            times(q + 16 * k, 16, d * (float)(int8_t)b[192 + 2 * run + k], out + 32 * run + 16 * k);
    }
}

/* --------------------------------------------------------------------- iq types */

/* 8 elements from two grid points of 4 each. */
static inline void two_points(const int8_t *first, const int8_t *second, uint8_t signs, float scale, float *out) {
    int8_t grid[8];
    memcpy(grid, first, 4);
    memcpy(grid + 4, second, 4);
    scaled_points(grid, signs, scale, out);
}

/* d; for each 32 elements 4 bytes of indexes and a u32 with 4 sign indexes and 4 bits of scale. */
static inline void block_iq2_xxs(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int run = 0; run < 8; run++) {
        const uint8_t *q = b + 2 + 8 * run;
        const uint32_t more = load32(q + 4);
        const float scale = d * (0.5f + (float)(more >> 28)) * 0.25f;
        for (int k = 0; k < 4; k++)
            scaled_points(ls_grids.iq2_xxs[q[k]], ls_grids.signs[more >> 7 * k & 127], scale, out + 32 * run + 8 * k);
    }
}

/* d, u16[32] (9 bits of index, 7 of signs), scales[8] */
static inline void block_iq2_xs(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int k = 0; k < 32; k++) {
        const uint16_t q = load16(b + 2 + 2 * k);
        const int scale = b[66 + k / 4] >> k % 4 / 2 * 4 & 15;
        scaled_points(ls_grids.iq2_xs[q & 511], ls_grids.signs[q >> 9], d * (0.5f + (float)scale) * 0.25f, out + 8 * k);
    }
}

/* d, qs[32], signs[32], qh[8] (2 more bits of each index), scales[8] */
static inline void block_iq2_s(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int k = 0; k < 32; k++) {
        const int index = b[2 + k] | (b[66 + k / 4] >> k % 4 * 2 & 3) << 8, scale = b[74 + k / 4] >> k % 4 / 2 * 4 & 15;
        scaled_points(ls_grids.iq2_s[index], b[34 + k], d * (0.5f + (float)scale) * 0.25f, out + 8 * k);
    }
}

/* d, 64 indexes, 8 u32 with 4 sign indexes and 4 bits of scale each */
static inline void block_iq3_xxs(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int run = 0; run < 8; run++) {
        const uint8_t *q = b + 2 + 8 * run;
        const uint32_t more = load32(b + 66 + 4 * run);
        const float scale = d * (0.5f + (float)(more >> 28)) * 0.5f;
        for (int k = 0; k < 4; k++)
            two_points(ls_grids.iq3_xxs[q[2 * k]], ls_grids.iq3_xxs[q[2 * k + 1]], ls_grids.signs[more >> 7 * k & 127], scale,
                       out + 32 * run + 8 * k);
    }
}

/* d, qs[64], qh[8] (a ninth bit of each index), signs[32], scales[4] */
static inline void block_iq3_s(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int k = 0; k < 32; k++) {
        const uint8_t *q = b + 2 + 2 * k;
        const int high = b[66 + k / 4] >> k % 4 * 2;
        const int scale = b[106 + k / 8] >> k / 4 % 2 * 4 & 15;
        two_points(ls_grids.iq3_s[q[0] | (high & 1) << 8], ls_grids.iq3_s[q[1] | (high >> 1 & 1) << 8], b[74 + k],
                   d * (float)(1 + 2 * scale), out + 8 * k);
    }
}

/* d, qs[32], qh u16[8] (3 more bits of 4 indexes each, 3 bits of scale, the sign of the delta) */
static inline void block_iq1_s(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int k = 0; k < 32; k++) {
        const uint16_t high = load16(b + 34 + k / 4 * 2);
        const int index = b[2 + k] | (high >> k % 4 * 3 & 7) << 8;
        shifted_points(ls_grids.iq1_s[index], high & 0x8000 ? -0.125f : 0.125f, d * (float)(2 * (high >> 12 & 7) + 1), out + 8 * k);
    }
}

/* qs[32], qh[16] (for each of two indexes 3 more bits and a sign), scales[8]: four u16, each
 * with four scales of 3 bits and 4 bits of d */
static inline void block_iq1_m(const uint8_t *b, float *out) {
    const uint8_t *s = b + 48;
    uint16_t half = 0;
    for (int i = 0; i < 4; i++)
        half |= (uint16_t)(load16(s + 2 * i) >> 12 << 4 * i);
    const uint8_t bytes[2] = {(uint8_t)half, (uint8_t)(half >> 8)};
    const float d = half_at(bytes);
    for (int k = 0; k < 32; k++) {
        const int high = b[32 + k / 2] >> k % 2 * 4, index = b[k] | (high & 7) << 8;
        const int scale = load16(s + k / 8 * 2) >> k % 8 / 2 * 3 & 7;
        shifted_points(ls_grids.iq1_s[index], high & 8 ? -0.125f : 0.125f, d * (float)(2 * scale + 1), out + 8 * k);
    }
}

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
/* The values of E2M1, doubled. */
static const int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* d, qs[16] */
static inline void block_iq4_nl(const uint8_t *b, float *out) { looked_up(b + 2, 16, iq4_values, half_at(b), out); }

/* d, scales_h u16, scales_l[4], qs[128]: 8 scales of 6 bits */
static inline void block_iq4_xs(const uint8_t *b, float *out) {
    const float d = half_at(b);
    const uint16_t high = load16(b + 2);
    for (int run = 0; run < 8; run++) {
        const int scale = (b[4 + run / 2] >> run % 2 * 4 & 15) | (high >> 2 * run & 3) << 4;
        looked_up(b + 8 + 16 * run, 16, iq4_values, d * (float)(scale - 32), out + 32 * run);
    }
}

/* ---------------------------------------- types of few values: tq, q1_0, q2_0, fp4 */

/* qs[48], qh[4], d. A byte holds five ternary digits as the fraction byte / 256. The digits of
 * the first 32 bytes are 5 runs of 32, those of the next 16 are 5 runs of 16, those of qh 4 of 4. */
static inline void digits(const uint8_t *packed, int bytes, int count, float d, float *out) {
    uint8_t fraction[32];
    int8_t q[32];
    memcpy(fraction, packed, (size_t)bytes);
    for (int n = 0; n < count; n++) {
        for (int j = 0; j < bytes; j++) {
            q[j] = (int8_t)((fraction[j] >= 86) + (fraction[j] >= 171) - 1); /* 256 / 3 and 2 * 256 / 3, rounded up */
            fraction[j] = (uint8_t)(fraction[j] * 3);
        }
        times(q, bytes, d, out + n * bytes);
    }
}

static inline void block_tq1_0(const uint8_t *b, float *out) {
    const float d = half_at(b + 52);
    digits(b, 32, 5, d, out);
    digits(b + 32, 16, 5, d, out + 160);
    digits(b + 48, 4, 4, d, out + 240);
}

/* qs[64], d */
static inline void block_tq2_0(const uint8_t *b, float *out) {
    const float d = half_at(b + 64);
    UNROLLED
    for (int run = 0; run < 8; run++) {
        int8_t q[32];
        for (int j = 0; j < 32; j++)
            q[j] = (int8_t)((b[run / 4 * 32 + j] >> run % 4 * 2 & 3) - 1);
        times(q, 32, d, out + 32 * run);
    }
}

/* d, one bit per element: d if it is set, else -d */
static inline void block_q1_0(const uint8_t *b, float *out) {
    const float d = half_at(b);
    for (int j = 0; j < 16; j++)
        signed_bits(b[2 + j], d, out + 8 * j);
}

/* d, two bits per element, four adjacent elements per byte */
static inline void block_q2_0(const uint8_t *b, float *out) {
    int8_t q[64];
    for (int j = 0; j < 16; j++) { /* spreads each pair of bits to a byte */
        uint32_t pairs = b[2 + j];
        pairs = (pairs | pairs << 12) & 0x000f000fu;
        pairs = (pairs | pairs << 6) & 0x03030303u;
        memcpy(q + 4 * j, &pairs, sizeof pairs);
    }
    for (int j = 0; j < 64; j++)
        q[j] = (int8_t)(q[j] - 1);
    times(q, 64, half_at(b), out);
}

/* e8m0, qs[16]. The scale is half of 2^(e - 127), because the values are doubled; it is
 * subnormal for 0 and 1, and 255 is not NaN here. */
static inline void block_mxfp4(const uint8_t *b, float *out) {
    const float d = bits_to_float(b[0] < 2 ? 0x00200000u << b[0] : (uint32_t)(b[0] - 1) << 23);
    looked_up(b + 1, 16, e2m1_doubled, d, out);
}

/* Half of an unsigned E4M3. 0x7f is 0; the top bit is ignored, except that 0xff is not 0. */
static inline float half_ue4m3(uint8_t x) {
    const int exponent = x >> 3 & 15, mantissa = x & 7;
    if (x == 0 || x == 0x7f)
        return 0;
    if (exponent == 0)
        return (float)mantissa * 0x1p-10f;
    return bits_to_float((uint32_t)(exponent - 7 - 1 + 127) << 23 | (uint32_t)mantissa << 20);
}

/* Four scales (UE4M3), then 8 bytes for each 16 elements: low nibbles, then high ones. */
static inline void block_nvfp4(const uint8_t *b, float *out) {
    for (int run = 0; run < 4; run++)
        looked_up(b + 4 + 8 * run, 8, e2m1_doubled, half_ue4m3(b[run]), out + 16 * run);
}

/* -------------------------------------------------------------------------- rows */

/* Decodes whole blocks directly to `out`, and a partial last one through a buffer. */
#define ROW(name, elements, size)                                          \
    static void name(const void *in, size_t n, float *out) {               \
        const uint8_t *b = in;                                             \
        ls_grids_prepare();                                                \
        for (; n >= (elements); n -= (elements), b += (size)) {            \
            block_##name(b, out);                                          \
            out += (elements);                                             \
        }                                                                  \
        if (n > 0) {                                                       \
            float last[elements];                                          \
            block_##name(b, last);                                         \
            memcpy(out, last, n * sizeof *out);                            \
        }                                                                  \
    }
#define X(name, elements, size, swap) ROW(name, elements, size)
LS_QUANT_LIST(X)
#undef X
#undef ROW
