#include "tensor/decode.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "decoders read little endian; a big-endian host has to swap first");

/* memcpy, because elements of a mapped file may be unaligned; compilers turn it
 * into a plain load. */
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
static void decode_bf16_plain(const void *in, size_t n, float *out) {
    const uint8_t *p = in;
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, p + 2 * i, sizeof half);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static void decode_bf16_avx2(const void *in, size_t n, float *out) {
    const uint8_t *p = in;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i low = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(p + 2 * i)));
        __m256i high = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(p + 2 * i + 16)));
        _mm256_storeu_si256((__m256i *)(void *)(out + i), _mm256_slli_epi32(low, 16));
        _mm256_storeu_si256((__m256i *)(void *)(out + i + 8), _mm256_slli_epi32(high, 16));
    }
    decode_bf16_plain(p + 2 * i, n - i, out + i);
}

void ls_decode_bf16(const void *in, size_t n, float *out) {
    (__builtin_cpu_supports("avx2") ? decode_bf16_avx2 : decode_bf16_plain)(in, n, out);
}

#else

void ls_decode_bf16(const void *in, size_t n, float *out) { decode_bf16_plain(in, n, out); }

#endif

/* --- f16 */

float ls_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t mantissa = half & 0x3ffu;
    uint32_t bits;
    if (exponent == 0x1f) { /* infinity, or a NaN, which becomes quiet */
        bits = sign | 0x7f800000u | mantissa << 13 | (mantissa != 0 ? 0x00400000u : 0);
    } else if (exponent != 0) {
        bits = sign | (exponent + 127 - 15) << 23 | mantissa << 13;
    } else if (mantissa != 0) { /* subnormal, but normal as a float */
        int shift = __builtin_clz(mantissa) - 21; /* moves the leading bit to bit 10 */
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

/* Every processor with AVX2 has F16C, which clang's builtin can't test for. */
static bool is_accelerated(void) { return __builtin_cpu_supports("avx2"); }

void ls_decode_f16(const void *in, size_t n, float *out) {
    if (is_accelerated())
        decode_f16_f16c(in, n, out);
    else
        ls_decode_f16_plain(in, n, out);
}

#else

static bool is_accelerated(void) { return false; }

void ls_decode_f16(const void *in, size_t n, float *out) { ls_decode_f16_plain(in, n, out); }

#endif

/* --- 8- and 4-bit floating point, decoded with tables of all values */

/* Which codes are not finite numbers: those with an exponent of all ones, as in IEEE 754
 * (INFINITE), the largest magnitude (LAST), or the code that would be -0 (MINUS_ZERO). */
typedef enum not_numbers { INFINITE, LAST, MINUS_ZERO } not_numbers;

static float small_float(unsigned code, int mantissa_bits, int bias, not_numbers kind) {
    const int exponent_bits = 7 - mantissa_bits;
    const unsigned magnitude = code & 127u, ones = (1u << exponent_bits) - 1;
    unsigned exponent = magnitude >> mantissa_bits, mantissa = magnitude & ((1u << mantissa_bits) - 1);
    if ((kind == MINUS_ZERO && code == 0x80) || (kind == LAST && magnitude == 127) || (kind == INFINITE && exponent == ones && mantissa != 0))
        return NAN;
    float value = kind == INFINITE && exponent == ones ? INFINITY
                  : exponent == 0 ? ldexpf((float)mantissa, 1 - bias - mantissa_bits)
                                  : ldexpf((float)(mantissa + (1u << mantissa_bits)), (int)exponent - bias - mantissa_bits);
    return code >= 128 ? -value : value;
}

static struct {
    float e4m3[256], e5m2[256], e4m3fnuz[256], e5m2fnuz[256], e8m0[256];
} small_floats;

static void fill_small_floats(void) {
    for (unsigned code = 0; code < 256; code++) {
        small_floats.e4m3[code] = small_float(code, 3, 7, LAST);
        small_floats.e5m2[code] = small_float(code, 2, 15, INFINITE);
        small_floats.e4m3fnuz[code] = small_float(code, 3, 8, MINUS_ZERO);
        small_floats.e5m2fnuz[code] = small_float(code, 2, 16, MINUS_ZERO);
        small_floats.e8m0[code] = code == 255 ? NAN : ldexpf(1, (int)code - 127);
    }
}

#define SMALL_FLOAT(name)                                                 \
    void ls_decode_f8_##name(const void *in, size_t n, float *out) {      \
        static pthread_once_t once = PTHREAD_ONCE_INIT;                   \
        const uint8_t *p = in;                                            \
        pthread_once(&once, fill_small_floats);                           \
        for (size_t i = 0; i < n; i++)                                    \
            out[i] = small_floats.name[p[i]];                             \
    }
SMALL_FLOAT(e4m3)
SMALL_FLOAT(e5m2)
SMALL_FLOAT(e4m3fnuz)
SMALL_FLOAT(e5m2fnuz)
SMALL_FLOAT(e8m0)

void ls_decode_f4(const void *in, size_t n, float *out) {
    static const float values[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    const uint8_t *p = in;
    for (size_t i = 0; i < n; i++)
        out[i] = values[p[i / 2] >> i % 2 * 4 & 15];
}

/* --- ggml's quantized rows */

static const ls_quants *best_quants(void) {
    const ls_quants *avx2 = ls_quants_avx2();
    return avx2 != NULL ? avx2 : &ls_quants_c;
}

#define X(type, elements, size, fields) \
    void ls_decode_##type(const void *in, size_t n, float *out) { best_quants()->type(in, n, out); }
LS_QUANT_LIST(X)
#undef X

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

/* `count` adjacent multi-byte fields of a block. */
typedef struct field {
    int offset, width, count;
} field;

static void swap_fields(uint8_t *block, size_t count, size_t block_bytes, const field *fields, size_t field_count) {
    for (size_t i = 0; i < count; i++, block += block_bytes)
        for (size_t k = 0; k < field_count; k++) {
            if (fields[k].width == 2)
                ls_swap_2(block + fields[k].offset, (size_t)fields[k].count);
            else if (fields[k].width == 4)
                ls_swap_4(block + fields[k].offset, (size_t)fields[k].count);
        }
}

#define FIELDS(...) {__VA_ARGS__}
#define X(type, elements, size, list)                                                      \
    void ls_swap_##type(void *blocks, size_t count) {                                      \
        static const field fields[] = list;                                                \
        swap_fields(blocks, count, size, fields, sizeof fields / sizeof fields[0]);        \
    }
LS_QUANT_LIST(X)
#undef X
