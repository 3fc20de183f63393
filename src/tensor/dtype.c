#include "tensor/dtype.h"

#include <assert.h>
#include <string.h>

#include "tensor/decode.h"

/* Names and block sizes come from the public list. */
#define X(type, number, text, elements, bytes) static const char name_##type[] = text;
LOCKSTEP_DTYPE_LIST(X)
#undef X
#define ROW(type, ...) [LOCKSTEP_##type] = {name_##type, LS_BLOCK_ELEMENTS_##type, LS_BLOCK_BYTES_##type, __VA_ARGS__}

static const ls_dtype_row rows[LOCKSTEP_DTYPE_COUNT] = {
    /*  type  float  to_f32  to_f64  swap  npy */
    ROW(BOOL, false, ls_decode_bool, NULL, NULL, "|b1"),
    ROW(I8, false, ls_decode_i8, NULL, NULL, "|i1"),
    ROW(U8, false, ls_decode_u8, NULL, NULL, "|u1"),
    ROW(I16, false, ls_decode_i16, NULL, ls_swap_2, "<i2"),
    ROW(U16, false, ls_decode_u16, NULL, ls_swap_2, "<u2"),
    ROW(I32, false, NULL, ls_decode_i32, ls_swap_4, "<i4"),
    ROW(U32, false, NULL, ls_decode_u32, ls_swap_4, "<u4"),
    ROW(I64, false, NULL, ls_decode_i64, ls_swap_8, "<i8"),
    ROW(U64, false, NULL, ls_decode_u64, ls_swap_8, "<u8"),
    ROW(F16, true, ls_decode_f16, NULL, ls_swap_2, "<f2"),
    ROW(BF16, true, ls_decode_bf16, NULL, ls_swap_2, NULL),
    ROW(F32, true, ls_decode_f32, NULL, ls_swap_4, "<f4"),
    ROW(F64, true, NULL, ls_decode_f64, ls_swap_8, "<f8"),
    ROW(F8_E4M3, true, ls_decode_f8_e4m3, NULL, NULL, NULL),
    ROW(F8_E5M2, true, ls_decode_f8_e5m2, NULL, NULL, NULL),
    ROW(F8_E4M3FNUZ, true, ls_decode_f8_e4m3fnuz, NULL, NULL, NULL),
    ROW(F8_E5M2FNUZ, true, ls_decode_f8_e5m2fnuz, NULL, NULL, NULL),
    ROW(F8_E8M0, true, ls_decode_f8_e8m0, NULL, NULL, NULL),
    ROW(F4, true, ls_decode_f4, NULL, NULL, NULL),
    ROW(Q4_0, true, ls_decode_q4_0, NULL, ls_swap_q4_0, NULL),
    ROW(Q4_1, true, ls_decode_q4_1, NULL, ls_swap_q4_1, NULL),
    ROW(Q5_0, true, ls_decode_q5_0, NULL, ls_swap_q5_0, NULL),
    ROW(Q5_1, true, ls_decode_q5_1, NULL, ls_swap_q5_1, NULL),
    ROW(Q8_0, true, ls_decode_q8_0, NULL, ls_swap_q8_0, NULL),
    ROW(Q8_1, true, ls_decode_q8_1, NULL, ls_swap_q8_1, NULL),
    ROW(Q2_K, true, ls_decode_q2_K, NULL, ls_swap_q2_K, NULL),
    ROW(Q3_K, true, ls_decode_q3_K, NULL, ls_swap_q3_K, NULL),
    ROW(Q4_K, true, ls_decode_q4_K, NULL, ls_swap_q4_K, NULL),
    ROW(Q5_K, true, ls_decode_q5_K, NULL, ls_swap_q5_K, NULL),
    ROW(Q6_K, true, ls_decode_q6_K, NULL, ls_swap_q6_K, NULL),
    ROW(Q8_K, true, ls_decode_q8_K, NULL, ls_swap_q8_K, NULL),
    ROW(IQ2_XXS, true, ls_decode_iq2_xxs, NULL, ls_swap_iq2_xxs, NULL),
    ROW(IQ2_XS, true, ls_decode_iq2_xs, NULL, ls_swap_iq2_xs, NULL),
    ROW(IQ2_S, true, ls_decode_iq2_s, NULL, ls_swap_iq2_s, NULL),
    ROW(IQ3_XXS, true, ls_decode_iq3_xxs, NULL, ls_swap_iq3_xxs, NULL),
    ROW(IQ3_S, true, ls_decode_iq3_s, NULL, ls_swap_iq3_s, NULL),
    ROW(IQ1_S, true, ls_decode_iq1_s, NULL, ls_swap_iq1_s, NULL),
    ROW(IQ1_M, true, ls_decode_iq1_m, NULL, ls_swap_iq1_m, NULL),
    ROW(IQ4_NL, true, ls_decode_iq4_nl, NULL, ls_swap_iq4_nl, NULL),
    ROW(IQ4_XS, true, ls_decode_iq4_xs, NULL, ls_swap_iq4_xs, NULL),
    ROW(TQ1_0, true, ls_decode_tq1_0, NULL, ls_swap_tq1_0, NULL),
    ROW(TQ2_0, true, ls_decode_tq2_0, NULL, ls_swap_tq2_0, NULL),
    ROW(MXFP4, true, ls_decode_mxfp4, NULL, NULL, NULL),
    ROW(NVFP4, true, ls_decode_nvfp4, NULL, NULL, NULL),
    ROW(Q1_0, true, ls_decode_q1_0, NULL, ls_swap_q1_0, NULL),
    ROW(Q2_0, true, ls_decode_q2_0, NULL, ls_swap_q2_0, NULL),
    ROW(SCALED_E4M3, true, NULL, NULL, NULL, NULL),
    ROW(SCALED_E5M2, true, NULL, NULL, NULL, NULL),
    ROW(SCALED_I8, true, NULL, NULL, NULL, NULL),
    ROW(SCALED_I6, true, NULL, NULL, NULL, NULL),
    ROW(SCALED_I5, true, NULL, NULL, NULL, NULL),
    ROW(SCALED_I4, true, NULL, NULL, NULL, NULL),
    ROW(SCALED_I3, true, NULL, NULL, NULL, NULL),
    ROW(SCALED_I2, true, NULL, NULL, NULL, NULL),
    ROW(SCALED_F4, true, NULL, NULL, NULL, NULL),
    ROW(SCALED_NF4, true, NULL, NULL, NULL, NULL),
    ROW(OPAQUE, false, NULL, NULL, NULL, NULL),
};

const ls_dtype_row *ls_dtype(lockstep_dtype dtype) {
    assert((unsigned)dtype < LOCKSTEP_DTYPE_COUNT);
    return &rows[dtype];
}

/* Elements decoded at once when the result needs another width: fits the stack and
 * the first-level cache, and is a multiple of every block. */
enum { TILE = 1024 };
_Static_assert(TILE % LS_MAX_BLOCK_ELEMENTS == 0, "tiles hold whole blocks");

void ls_decode_to_f32(lockstep_dtype dtype, const void *blocks, size_t n, float *out) {
    const ls_dtype_row *row = ls_dtype(dtype);
    assert(row->block_bytes != 0);
    if (row->to_f32 != NULL) {
        row->to_f32(blocks, n, out);
        return;
    }
    const uint8_t *p = blocks;
    double tile[TILE];
    for (size_t i = 0; i < n; i += TILE) {
        size_t count = n - i < TILE ? n - i : TILE;
        row->to_f64(p + i / row->block_elements * row->block_bytes, count, tile);
        for (size_t j = 0; j < count; j++)
            out[i + j] = (float)tile[j];
    }
}

typedef float floats __attribute__((vector_size(16), aligned(1)));
typedef double doubles __attribute__((vector_size(32), aligned(8)));

/* Floats at any address. */
static void widen(const void *in, size_t n, double *out) {
    enum { LANES = 4 };
    const uint8_t *p = in;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        *(doubles *)(void *)(out + i) = __builtin_convertvector(*(const floats *)(const void *)(p + i * sizeof(float)), doubles);
    for (; i < n; i++) {
        float one;
        memcpy(&one, p + i * sizeof one, sizeof one);
        out[i] = (double)one;
    }
}

void ls_decode_to_f64(lockstep_dtype dtype, const void *blocks, size_t n, double *out) {
    const ls_dtype_row *row = ls_dtype(dtype);
    assert(row->block_bytes != 0);
    if (row->to_f64 != NULL) {
        row->to_f64(blocks, n, out);
        return;
    }
    if (dtype == LOCKSTEP_F32) {
        widen(blocks, n, out);
        return;
    }
    const uint8_t *p = blocks;
    float tile[TILE];
    for (size_t i = 0; i < n; i += TILE) {
        size_t count = n - i < TILE ? n - i : TILE;
        row->to_f32(p + i / row->block_elements * row->block_bytes, count, tile);
        widen(tile, count, out + i);
    }
}
