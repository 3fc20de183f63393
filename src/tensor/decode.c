#include "tensor/decode.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "decoders read little endian; a big-endian host has to swap first");

/* memcpy because elements of a mapped file may lie at any address; compilers
 * turn it into a plain load. */
#define SCALAR(name, type, result)                             \
    void ls_decode_##name(const void *in, size_t n, result *out) { \
        const uint8_t *p = in;                                 \
        for (size_t i = 0; i < n; i++) {                       \
            type value;                                        \
            memcpy(&value, p + i * sizeof value, sizeof value); \
            out[i] = (result)value;                            \
        }                                                      \
    }
SCALAR(i8, int8_t, float)
SCALAR(u8, uint8_t, float)
SCALAR(i16, int16_t, float)
SCALAR(u16, uint16_t, float)
SCALAR(i32, int32_t, double)
SCALAR(u32, uint32_t, double)
SCALAR(i64, int64_t, double)
SCALAR(u64, uint64_t, double)

void ls_decode_bool(const void *in, size_t n, float *out) {
    const uint8_t *p = in;
    for (size_t i = 0; i < n; i++)
        out[i] = p[i] != 0 ? 1.0f : 0.0f;
}

void ls_decode_f32(const void *in, size_t n, float *out) {
    if (n > 0)
        memcpy(out, in, n * sizeof *out);
}

void ls_decode_f64(const void *in, size_t n, double *out) {
    if (n > 0)
        memcpy(out, in, n * sizeof *out);
}

/* bf16 is the upper half of a float. */
void ls_decode_bf16(const void *in, size_t n, float *out) {
    const uint8_t *p = in;
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, p + 2 * i, sizeof half);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

/* --- f16 */

float ls_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t mantissa = half & 0x3ffu;
    uint32_t bits;
    if (exponent == 0x1f) { /* Inf, or NaN made quiet */
        bits = sign | 0x7f800000u | mantissa << 13 | (mantissa != 0 ? 0x00400000u : 0);
    } else if (exponent != 0) {
        bits = sign | (exponent + 127 - 15) << 23 | mantissa << 13;
    } else if (mantissa != 0) { /* subnormal: normal as a float */
        int shift = __builtin_clz(mantissa) - 21; /* until bit 10 is set */
        bits = sign | (uint32_t)(127 - 14 - shift) << 23 | ((mantissa << shift) & 0x3ffu) << 13;
    } else {
        bits = sign;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void ls_decode_f16_plain(const void *in, size_t n, float *out) {
    const uint8_t *p = in;
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, p + 2 * i, sizeof half);
        out[i] = ls_f16_to_f32(half);
    }
}

#if defined(__x86_64__)

__attribute__((target("avx,f16c"))) static void decode_f16_f16c(const void *in, size_t n,
                                                                float *out) {
    const uint8_t *p = in;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(p + 2 * i))));
    ls_decode_f16_plain(p + 2 * i, n - i, out + i);
}

/* Every processor with AVX2 has F16C, which clang's builtin can't ask for. */
bool ls_decode_f16_is_accelerated(void) { return __builtin_cpu_supports("avx2"); }

void ls_decode_f16(const void *in, size_t n, float *out) {
    if (ls_decode_f16_is_accelerated())
        decode_f16_f16c(in, n, out);
    else
        ls_decode_f16_plain(in, n, out);
}

#else

bool ls_decode_f16_is_accelerated(void) { return false; }

void ls_decode_f16(const void *in, size_t n, float *out) { ls_decode_f16_plain(in, n, out); }

#endif

/* --- ggml's quantized rows (ggml-common.h, ggml-quants.c) */

enum { QUANT_BLOCK = 32, Q8_0_BYTES = 2 + 32, Q4_0_BYTES = 2 + 16 };

static float scale_of(const uint8_t *block) {
    uint16_t half;
    memcpy(&half, block, sizeof half);
    return ls_f16_to_f32(half);
}

/* block_q8_0: f16 d, i8 qs[32]; value d * q. */
void ls_decode_q8_0(const void *in, size_t n, float *out) {
    const uint8_t *block = in;
    for (size_t i = 0; i < n; i += QUANT_BLOCK, block += Q8_0_BYTES) {
        float d = scale_of(block);
        const int8_t *q = (const int8_t *)(block + 2);
        size_t left = n - i < QUANT_BLOCK ? n - i : QUANT_BLOCK;
        for (size_t j = 0; j < left; j++)
            out[i + j] = (float)q[j] * d;
    }
}

/* block_q4_0: f16 d, u8 qs[16]; the low nibble of byte j is element j, the high
 * one element j + 16; value d * (q - 8). */
void ls_decode_q4_0(const void *in, size_t n, float *out) {
    const uint8_t *block = in;
    for (size_t i = 0; i < n; i += QUANT_BLOCK, block += Q4_0_BYTES) {
        float d = scale_of(block), values[QUANT_BLOCK];
        for (int j = 0; j < QUANT_BLOCK / 2; j++) {
            values[j] = (float)((block[2 + j] & 0x0f) - 8) * d;
            values[j + 16] = (float)((block[2 + j] >> 4) - 8) * d;
        }
        size_t left = n - i < QUANT_BLOCK ? n - i : QUANT_BLOCK;
        memcpy(out + i, values, left * sizeof *out);
    }
}

/* --- byte order */

#define SWAP(width, type, swap)                            \
    void ls_swap_##width(void *blocks, size_t count) {     \
        uint8_t *p = blocks;                               \
        for (size_t i = 0; i < count; i++, p += width) {   \
            type value;                                    \
            memcpy(&value, p, sizeof value);               \
            value = swap(value);                           \
            memcpy(p, &value, sizeof value);               \
        }                                                  \
    }
SWAP(2, uint16_t, __builtin_bswap16)
SWAP(4, uint32_t, __builtin_bswap32)
SWAP(8, uint64_t, __builtin_bswap64)

/* Of a quantized block only the scale has a byte order. */
static void swap_leading_scale(uint8_t *block, size_t count, size_t block_bytes) {
    for (size_t i = 0; i < count; i++, block += block_bytes)
        ls_swap_2(block, 1);
}

void ls_swap_q8_0(void *blocks, size_t count) { swap_leading_scale(blocks, count, Q8_0_BYTES); }
void ls_swap_q4_0(void *blocks, size_t count) { swap_leading_scale(blocks, count, Q4_0_BYTES); }
