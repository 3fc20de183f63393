/* Decoders from a type's bytes to float or double: rows of the dtype table point
 * at them. Input may be unaligned and is little endian, like the machines that
 * this is built for. `n` may end inside the last block. */
#ifndef LS_TENSOR_DECODE_H
#define LS_TENSOR_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/quants.h"

/* Every element type, exactly as a float. */
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
void ls_decode_f8_e8m0(const void *in, size_t n, float *out); /* 255 is NaN, as OCP has it */
void ls_decode_f4(const void *in, size_t n, float *out);
/* ls_decode_q4_K and so on, by the fastest variant. */
#define X(type, elements, size, fields) void ls_decode_##type(const void *in, size_t n, float *out);
LS_QUANT_LIST(X)
#undef X

/* Those that need a double; 64-bit integers are rounded to nearest beyond 2^53. */
void ls_decode_i32(const void *in, size_t n, double *out);
void ls_decode_u32(const void *in, size_t n, double *out);
void ls_decode_i64(const void *in, size_t n, double *out);
void ls_decode_u64(const void *in, size_t n, double *out);
void ls_decode_f64(const void *in, size_t n, double *out);

/* Turn blocks of the other byte order into the machine's, in place. */
void ls_swap_2(void *blocks, size_t count);
void ls_swap_4(void *blocks, size_t count);
void ls_swap_8(void *blocks, size_t count);
#define X(type, elements, size, fields) void ls_swap_##type(void *blocks, size_t count);
LS_QUANT_LIST(X)
#undef X

/* One half-precision number; a NaN keeps its payload and becomes quiet, as F16C
 * does it. */
float ls_f16_to_f32(uint16_t half);
/* The variants behind ls_decode_f16, for tests: the reference in plain C, and
 * the one that this processor prefers (the same when it has none). */
void ls_decode_f16_plain(const void *in, size_t n, float *out);
bool ls_decode_f16_is_accelerated(void);

#endif
