#include "tensor/dtype.h"

#include <assert.h>
#include <string.h>

#include "base/checked.h"
#include "tensor/decode.h"

static const ls_dtype_row rows[LOCKSTEP_DTYPE_COUNT] = {
    /*                  name  block  bytes float  to_f32         to_f64         swap       npy */
    [LOCKSTEP_BOOL] = {"bool", 1, 1, false, ls_decode_bool, NULL, NULL, "|b1"},
    [LOCKSTEP_I8] = {"i8", 1, 1, false, ls_decode_i8, NULL, NULL, "|i1"},
    [LOCKSTEP_U8] = {"u8", 1, 1, false, ls_decode_u8, NULL, NULL, "|u1"},
    [LOCKSTEP_I16] = {"i16", 1, 2, false, ls_decode_i16, NULL, ls_swap_2, "<i2"},
    [LOCKSTEP_U16] = {"u16", 1, 2, false, ls_decode_u16, NULL, ls_swap_2, "<u2"},
    [LOCKSTEP_I32] = {"i32", 1, 4, false, NULL, ls_decode_i32, ls_swap_4, "<i4"},
    [LOCKSTEP_U32] = {"u32", 1, 4, false, NULL, ls_decode_u32, ls_swap_4, "<u4"},
    [LOCKSTEP_I64] = {"i64", 1, 8, false, NULL, ls_decode_i64, ls_swap_8, "<i8"},
    [LOCKSTEP_U64] = {"u64", 1, 8, false, NULL, ls_decode_u64, ls_swap_8, "<u8"},
    [LOCKSTEP_F16] = {"f16", 1, 2, true, ls_decode_f16, NULL, ls_swap_2, "<f2"},
    [LOCKSTEP_BF16] = {"bf16", 1, 2, true, ls_decode_bf16, NULL, ls_swap_2, NULL},
    [LOCKSTEP_F32] = {"f32", 1, 4, true, ls_decode_f32, NULL, ls_swap_4, "<f4"},
    [LOCKSTEP_F64] = {"f64", 1, 8, true, NULL, ls_decode_f64, ls_swap_8, "<f8"},
    [LOCKSTEP_F8_E4M3] = {"f8_e4m3", 1, 1, true, ls_decode_f8_e4m3, NULL, NULL, NULL},
    [LOCKSTEP_F8_E5M2] = {"f8_e5m2", 1, 1, true, ls_decode_f8_e5m2, NULL, NULL, NULL},
    [LOCKSTEP_F8_E4M3FNUZ] = {"f8_e4m3fnuz", 1, 1, true, ls_decode_f8_e4m3fnuz, NULL, NULL, NULL},
    [LOCKSTEP_F8_E5M2FNUZ] = {"f8_e5m2fnuz", 1, 1, true, ls_decode_f8_e5m2fnuz, NULL, NULL, NULL},
    [LOCKSTEP_F8_E8M0] = {"f8_e8m0", 1, 1, true, ls_decode_f8_e8m0, NULL, NULL, NULL},
    [LOCKSTEP_F4] = {"f4", 2, 1, true, ls_decode_f4, NULL, NULL, NULL},
    [LOCKSTEP_Q4_0] = {"q4_0", 32, 18, true, ls_decode_q4_0, NULL, ls_swap_q4_0, NULL},
    [LOCKSTEP_Q4_1] = {"q4_1", 32, 20, true, ls_decode_q4_1, NULL, ls_swap_q4_1, NULL},
    [LOCKSTEP_Q5_0] = {"q5_0", 32, 22, true, ls_decode_q5_0, NULL, ls_swap_q5_0, NULL},
    [LOCKSTEP_Q5_1] = {"q5_1", 32, 24, true, ls_decode_q5_1, NULL, ls_swap_q5_1, NULL},
    [LOCKSTEP_Q8_0] = {"q8_0", 32, 34, true, ls_decode_q8_0, NULL, ls_swap_q8_0, NULL},
    [LOCKSTEP_Q8_1] = {"q8_1", 32, 36, true, ls_decode_q8_1, NULL, ls_swap_q8_1, NULL},
    [LOCKSTEP_Q2_K] = {"q2_K", 256, 84, true, ls_decode_q2_K, NULL, ls_swap_q2_K, NULL},
    [LOCKSTEP_Q3_K] = {"q3_K", 256, 110, true, ls_decode_q3_K, NULL, ls_swap_q3_K, NULL},
    [LOCKSTEP_Q4_K] = {"q4_K", 256, 144, true, ls_decode_q4_K, NULL, ls_swap_q4_K, NULL},
    [LOCKSTEP_Q5_K] = {"q5_K", 256, 176, true, ls_decode_q5_K, NULL, ls_swap_q5_K, NULL},
    [LOCKSTEP_Q6_K] = {"q6_K", 256, 210, true, ls_decode_q6_K, NULL, ls_swap_q6_K, NULL},
    [LOCKSTEP_Q8_K] = {"q8_K", 256, 292, true, ls_decode_q8_K, NULL, ls_swap_q8_K, NULL},
    [LOCKSTEP_IQ2_XXS] = {"iq2_xxs", 256, 66, true, ls_decode_iq2_xxs, NULL, ls_swap_iq2_xxs, NULL},
    [LOCKSTEP_IQ2_XS] = {"iq2_xs", 256, 74, true, ls_decode_iq2_xs, NULL, ls_swap_iq2_xs, NULL},
    [LOCKSTEP_IQ2_S] = {"iq2_s", 256, 82, true, ls_decode_iq2_s, NULL, ls_swap_iq2_s, NULL},
    [LOCKSTEP_IQ3_XXS] = {"iq3_xxs", 256, 98, true, ls_decode_iq3_xxs, NULL, ls_swap_iq3_xxs, NULL},
    [LOCKSTEP_IQ3_S] = {"iq3_s", 256, 110, true, ls_decode_iq3_s, NULL, ls_swap_iq3_s, NULL},
    [LOCKSTEP_IQ1_S] = {"iq1_s", 256, 50, true, ls_decode_iq1_s, NULL, ls_swap_iq1_s, NULL},
    [LOCKSTEP_IQ1_M] = {"iq1_m", 256, 56, true, ls_decode_iq1_m, NULL, ls_swap_iq1_m, NULL},
    [LOCKSTEP_IQ4_NL] = {"iq4_nl", 32, 18, true, ls_decode_iq4_nl, NULL, ls_swap_iq4_nl, NULL},
    [LOCKSTEP_IQ4_XS] = {"iq4_xs", 256, 136, true, ls_decode_iq4_xs, NULL, ls_swap_iq4_xs, NULL},
    [LOCKSTEP_TQ1_0] = {"tq1_0", 256, 54, true, ls_decode_tq1_0, NULL, ls_swap_tq1_0, NULL},
    [LOCKSTEP_TQ2_0] = {"tq2_0", 256, 66, true, ls_decode_tq2_0, NULL, ls_swap_tq2_0, NULL},
    [LOCKSTEP_MXFP4] = {"mxfp4", 32, 17, true, ls_decode_mxfp4, NULL, NULL, NULL},
    [LOCKSTEP_NVFP4] = {"nvfp4", 64, 36, true, ls_decode_nvfp4, NULL, NULL, NULL},
    [LOCKSTEP_Q1_0] = {"q1_0", 128, 18, true, ls_decode_q1_0, NULL, ls_swap_q1_0, NULL},
    [LOCKSTEP_Q2_0] = {"q2_0", 64, 18, true, ls_decode_q2_0, NULL, ls_swap_q2_0, NULL},
    [LOCKSTEP_OPAQUE] = {"opaque", 1, 0, false, NULL, NULL, NULL, NULL},
};

const ls_dtype_row *ls_dtype(lockstep_dtype dtype) {
    assert((unsigned)dtype < LOCKSTEP_DTYPE_COUNT);
    return &rows[dtype];
}

const char *lockstep_dtype_name(lockstep_dtype dtype) {
    return (unsigned)dtype < LOCKSTEP_DTYPE_COUNT ? rows[dtype].name : "unknown";
}

bool ls_dtype_find(const char *name, lockstep_dtype *out_dtype) {
    for (int i = 0; i < LOCKSTEP_DTYPE_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0) {
            *out_dtype = (lockstep_dtype)i;
            return true;
        }
    return false;
}

bool ls_dtype_bytes(lockstep_dtype dtype, uint64_t elements, uint64_t inner, uint64_t *out_bytes) {
    const ls_dtype_row *row = ls_dtype(dtype);
    if (row->block_bytes == 0 || inner % row->block_elements != 0 ||
        elements % row->block_elements != 0)
        return false;
    return ls_mul_u64(elements / row->block_elements, row->block_bytes, out_bytes);
}

/* Elements decoded at once where a result needs another width: small enough for
 * the stack and the first-level cache, a multiple of every block. */
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

void ls_decode_to_f64(lockstep_dtype dtype, const void *blocks, size_t n, double *out) {
    const ls_dtype_row *row = ls_dtype(dtype);
    assert(row->block_bytes != 0);
    if (row->to_f64 != NULL) {
        row->to_f64(blocks, n, out);
        return;
    }
    const uint8_t *p = blocks;
    float tile[TILE];
    for (size_t i = 0; i < n; i += TILE) {
        size_t count = n - i < TILE ? n - i : TILE;
        row->to_f32(p + i / row->block_elements * row->block_bytes, count, tile);
        for (size_t j = 0; j < count; j++)
            out[i + j] = (double)tile[j];
    }
}
