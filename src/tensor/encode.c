#include "tensor/encode.h"

#include <string.h>

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Drops `drop` bits, rounding to the nearest, ties to even. */
static uint32_t rounded(uint32_t mantissa, int drop) {
    uint32_t kept = mantissa >> drop, rest = mantissa & ((1u << drop) - 1), half = 1u << (drop - 1);
    return kept + (rest > half || (rest == half && (kept & 1) != 0));
}

uint16_t ls_f32_to_f16(float value) {
    uint32_t bits = bits_of(value), magnitude = bits & 0x7fffffffu;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x477ff000u) /* 65520 */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: subnormal, in steps of 2^-24 */
        int shift = 126 - (int)(magnitude >> 23);
        uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
        return shift > 24 ? sign : (uint16_t)(sign | rounded(mantissa, shift));
    }
    return (uint16_t)(sign | rounded(magnitude - (112u << 23), 13)); /* a carry increments the exponent */
}

uint16_t ls_f32_to_bf16(float value) {
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits >> 31 << 15) | rounded(bits & 0x7fffffffu, 16));
}

void ls_encode_f16(const float *in, size_t n, uint16_t *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = ls_f32_to_f16(in[i]);
}

void ls_encode_bf16(const float *in, size_t n, uint16_t *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = ls_f32_to_bf16(in[i]);
}
