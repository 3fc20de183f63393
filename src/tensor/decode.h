/* Decoders from a type's bytes to float or double; the dtype table points to them.
 * Input may be unaligned and is little endian, like all supported machines. `n` may
 * end inside the last block. */
#ifndef LS_TENSOR_DECODE_H
#define LS_TENSOR_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/quants.h"

/* Types of which a float can hold every value. */
void ls_decode_bool(const void *in, size_t n, float *out); /* any byte but 0 is 1 */
void ls_decode_i8(const void *in, size_t n, float *out);
void ls_decode_u8(const void *in, size_t n, float *out);
void ls_decode_i16(const void *in, size_t n, float *out);
void ls_decode_u16(const void *in, size_t n, float *out);
void ls_decode_f16(const void *in, size_t n, float *out);
void ls_decode_bf16(const void *in, size_t n, float *out);
void ls_decode_f32(const void *in, size_t n, float *out);
void ls_decode_f8_e4m3(const void *in, size_t n, float *out);
void ls_decode_f8_e5m2(const void *in, size_t n, float *out);
void ls_decode_f8_e4m3fnuz(const void *in, size_t n, float *out);
void ls_decode_f8_e5m2fnuz(const void *in, size_t n, float *out);
void ls_decode_f8_e8m0(const void *in, size_t n, float *out); /* 255 is NaN, as in OCP's specification */
void ls_decode_f4(const void *in, size_t n, float *out);
/* ls_decode_q4_K and so on, which use the fastest variant. */
#define X(type, elements, size, fields) void ls_decode_##type(const void *in, size_t n, float *out);
LS_QUANT_LIST(X)
#undef X

/* Types that need a double; 64-bit integers beyond 2^53 are rounded to nearest. */
void ls_decode_i32(const void *in, size_t n, double *out);
void ls_decode_u32(const void *in, size_t n, double *out);
void ls_decode_i64(const void *in, size_t n, double *out);
void ls_decode_u64(const void *in, size_t n, double *out);
void ls_decode_f64(const void *in, size_t n, double *out);

/* Swap blocks from the opposite byte order to the machine's, in place. */
void ls_swap_2(void *blocks, size_t count);
void ls_swap_4(void *blocks, size_t count);
void ls_swap_8(void *blocks, size_t count);
#define X(type, elements, size, fields) void ls_swap_##type(void *blocks, size_t count);
LS_QUANT_LIST(X)
#undef X

/* Converts one half-precision number; a NaN keeps its payload and becomes quiet, as
 * with F16C. */
float ls_f16_to_f32(uint16_t half);
/* For tests: the variant of ls_decode_f16 in plain C. */
void ls_decode_f16_plain(const void *in, size_t n, float *out);

#endif
