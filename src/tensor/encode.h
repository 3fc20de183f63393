/* Conversion of floats to narrower types, rounding to the nearest, ties to even. */
#ifndef LS_TENSOR_ENCODE_H
#define LS_TENSOR_ENCODE_H

#include <stddef.h>
#include <stdint.h>

/* Values that would round to more than 65504 become infinite; NaN stays NaN. */
uint16_t ls_f32_to_f16(float value);
uint16_t ls_f32_to_bf16(float value);
void ls_encode_f16(const float *in, size_t n, uint16_t *out);
void ls_encode_bf16(const float *in, size_t n, uint16_t *out);

#endif
