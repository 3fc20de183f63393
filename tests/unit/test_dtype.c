/* Element types: decoding, byte order, sizes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/decode.h"
#include "tensor/quant_grids.h"
#include "tensor/dtype.h"

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* IEEE 754 by its definition: (-1)^s 2^(e-15) (1 + m/1024), and so on. */
static void test_f16_is_what_ieee_defines(void **state) {
    (void)state;
    for (unsigned half = 0; half < 65536; half++) {
        int exponent = half >> 10 & 31;
        double mantissa = half & 1023, sign = half & 0x8000 ? -1 : 1;
        float value = ls_f16_to_f32((uint16_t)half);
        if (exponent == 31 && mantissa != 0) {
            assert_true(isnan(value));
        } else {
            double expected = exponent == 31  ? (double)INFINITY
                              : exponent == 0 ? ldexp(mantissa, -24)
                                              : ldexp(1024 + mantissa, exponent - 25);
            assert_true((double)value == sign * expected);
            assert_int_equal(!!signbit(value), half >> 15);
        }
    }
}

static void test_f16_variants_agree_on_every_bit(void **state) {
    (void)state;
    uint16_t *in = malloc(65536 * sizeof *in);
    float *plain = malloc(65536 * sizeof *plain), *best = malloc(65536 * sizeof *best);
    for (unsigned i = 0; i < 65536; i++)
        in[i] = (uint16_t)i;
    ls_decode_f16_plain(in, 65536, plain);
    ls_decode_f16(in, 65536, best);
    assert_memory_equal(plain, best, 65536 * sizeof *plain);
    free(in);
    free(plain);
    free(best);
}

/* Every length and alignment up to a few vectors; what lies behind stays. */
static void test_f16_of_every_length_and_alignment(void **state) {
    (void)state;
    uint8_t raw[16 + 2 * 40];
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)(i * 37);
    for (size_t align = 0; align < 16; align++)
        for (size_t n = 0; n <= 40; n++) {
            float plain[41], best[41];
            plain[n] = best[n] = 12345;
            ls_decode_f16_plain(raw + align, n, plain);
            ls_decode_f16(raw + align, n, best);
            assert_memory_equal(plain, best, (n + 1) * sizeof *plain);
        }
}

static void test_bf16_is_the_upper_half_of_a_float(void **state) {
    (void)state;
    static const uint8_t in[] = {0, 0x80, 0x80, 0x3f, 0x01, 0x00, 0x80, 0xff, 0xa1, 0x7f};
    float out[5];
    ls_decode_bf16(in, 5, out);
    assert_int_equal(bits_of(out[0]), 0x80000000);
    assert_true(out[1] == 1.0f);
    assert_int_equal(bits_of(out[2]), 0x00010000); /* subnormal: kept */
    assert_true(isinf(out[3]) && out[3] < 0);
    assert_int_equal(bits_of(out[4]), 0x7fa10000);
}

static void test_integers_at_their_limits(void **state) {
    (void)state;
    static const int64_t i64[] = {INT64_MIN, -1, INT64_MAX, 1LL << 53};
    static const uint32_t u32[] = {0, UINT32_MAX};
    static const int8_t i8[] = {-128, 127};
    double wide[4];
    float narrow[2];
    ls_decode_to_f64(LOCKSTEP_I64, i64, 4, wide);
    assert_true(wide[0] == -0x1p63 && wide[1] == -1 && wide[2] == 0x1p63 && wide[3] == 0x1p53);
    ls_decode_to_f64(LOCKSTEP_U32, u32, 2, wide);
    assert_true(wide[0] == 0 && wide[1] == 4294967295.0);
    ls_decode_to_f32(LOCKSTEP_U32, u32, 2, narrow); /* rounds to nearest */
    assert_true(narrow[1] == 0x1p32f);
    ls_decode_to_f32(LOCKSTEP_I8, i8, 2, narrow);
    assert_true(narrow[0] == -128 && narrow[1] == 127);
}

static void test_any_byte_but_0_is_true(void **state) {
    (void)state;
    static const uint8_t in[] = {0, 1, 2, 255};
    float out[4];
    ls_decode_bool(in, 4, out);
    assert_true(out[0] == 0 && out[1] == 1 && out[2] == 1 && out[3] == 1);
}

/* d = 0.5 (0x3800), q counts from -16: by hand from ggml's block_q8_0. */
static void test_q8_0_by_hand_also_ending_inside_a_block(void **state) {
    (void)state;
    uint8_t blocks[2 * 34];
    for (int b = 0; b < 2; b++) {
        blocks[34 * b] = 0;
        blocks[34 * b + 1] = b == 0 ? 0x38 : 0xc0; /* 0.5, -2 */
        for (int j = 0; j < 32; j++)
            blocks[34 * b + 2 + j] = (uint8_t)(j - 16);
    }
    float out[34] = {0};
    out[33] = 99;
    ls_decode_q8_0(blocks, 33, out);
    for (int j = 0; j < 32; j++)
        assert_true(out[j] == 0.5f * (float)(j - 16));
    assert_true(out[32] == 32.0f && out[33] == 99);
}

/* The low nibble of byte j is element j, the high one element j + 16. */
static void test_q4_0_by_hand(void **state) {
    (void)state;
    uint8_t block[18] = {0x00, 0x3c}; /* d = 1 */
    for (int j = 0; j < 16; j++)
        block[2 + j] = (uint8_t)(j | (15 - j) << 4);
    float out[32];
    ls_decode_q4_0(block, 32, out);
    for (int j = 0; j < 16; j++)
        assert_true(out[j] == (float)(j - 8) && out[j + 16] == (float)(15 - j - 8));
}

static void test_swapping_twice_changes_nothing(void **state) {
    (void)state;
    for (int d = 0; d < LOCKSTEP_DTYPE_COUNT; d++) {
        const ls_dtype_row *row = ls_dtype((lockstep_dtype)d);
        uint8_t once[4 * LS_MAX_BLOCK_BYTES], twice[sizeof once], start[sizeof once];
        for (size_t i = 0; i < sizeof start; i++)
            start[i] = (uint8_t)i;
        if (row->swap == NULL)
            continue;
        memcpy(once, start, sizeof start);
        row->swap(once, 3);
        memcpy(twice, once, sizeof once);
        row->swap(twice, 3);
        assert_memory_equal(twice, start, sizeof start);
        assert_memory_not_equal(once, start, 3 * row->block_bytes);
        assert_memory_equal(once + 3 * row->block_bytes, start + 3 * row->block_bytes,
                            sizeof start - 3 * row->block_bytes);
    }
}

/* Every code and every place to end, on unaligned blocks. */
static void test_every_variant_of_the_quantized_decoders_gives_the_bits_of_plain_c(void **state) {
    (void)state;
    const ls_quants *fast = ls_quants_avx2();
    if (fast == NULL)
        skip();
    static uint8_t bytes[1 + 4096 * 64];
    static float expected[2048], found[2048];
    uint32_t seed = 5;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    ls_grids_prepare();
#define X(type, elements, size, fields)                                                                   \
    for (size_t at = 1; at + 2048 / (elements) * (size) <= sizeof bytes; at += 2048 / (elements) * (size)) { \
        size_t n = 2048 - at % (2 * (elements));                                                          \
        ls_quants_c.type(bytes + at, n, expected);                                                        \
        fast->type(bytes + at, n, found);                                                                 \
        for (size_t i = 0; i < n; i++)                                                                    \
            if (isnan(expected[i]) ? !isnan(found[i]) : memcmp(&expected[i], &found[i], 4) != 0)          \
                fail_msg(#type ": element %zu of %zu: %g, expected %g", i, n, (double)found[i], (double)expected[i]); \
    }
    LS_QUANT_LIST(X)
#undef X
}

static void test_every_row_is_whole(void **state) {
    (void)state;
    for (int d = 0; d < LOCKSTEP_DTYPE_COUNT; d++) {
        const ls_dtype_row *row = ls_dtype((lockstep_dtype)d);
        lockstep_dtype found;
        const bool is_scaled = d >= LOCKSTEP_SCALED_E4M3; /* codes: their elements have no bytes of their own */
        assert_true(is_scaled ? !ls_dtype_find(row->name, &found) : ls_dtype_find(row->name, &found) && found == (lockstep_dtype)d);
        assert_true(row->block_bytes <= LS_MAX_BLOCK_BYTES && row->block_elements <= LS_MAX_BLOCK_ELEMENTS);
        assert_int_equal((row->to_f32 != NULL) + (row->to_f64 != NULL), d != LOCKSTEP_OPAQUE && !is_scaled);
    }
    lockstep_dtype unused;
    assert_false(ls_dtype_find("f33", &unused));
    assert_string_equal(lockstep_dtype_name((lockstep_dtype)99), "unknown");
}

static void test_sizes_in_bytes(void **state) {
    (void)state;
    uint64_t bytes = 7;
    assert_true(ls_dtype_bytes(LOCKSTEP_F16, 6, 3, &bytes) && bytes == 12);
    assert_true(ls_dtype_bytes(LOCKSTEP_Q4_0, 128, 64, &bytes) && bytes == 72);
    assert_false(ls_dtype_bytes(LOCKSTEP_Q4_0, 64, 16, &bytes)); /* a row ends inside a block */
    assert_false(ls_dtype_bytes(LOCKSTEP_F64, UINT64_MAX / 4, 1, &bytes));
    assert_false(ls_dtype_bytes(LOCKSTEP_OPAQUE, 1, 1, &bytes));
    assert_int_equal(bytes, 72); /* untouched on failure */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16_is_what_ieee_defines),
        cmocka_unit_test(test_f16_variants_agree_on_every_bit),
        cmocka_unit_test(test_f16_of_every_length_and_alignment),
        cmocka_unit_test(test_bf16_is_the_upper_half_of_a_float),
        cmocka_unit_test(test_integers_at_their_limits),
        cmocka_unit_test(test_any_byte_but_0_is_true),
        cmocka_unit_test(test_q8_0_by_hand_also_ending_inside_a_block),
        cmocka_unit_test(test_q4_0_by_hand),
        cmocka_unit_test(test_swapping_twice_changes_nothing),
        cmocka_unit_test(test_every_variant_of_the_quantized_decoders_gives_the_bits_of_plain_c),
        cmocka_unit_test(test_every_row_is_whole),
        cmocka_unit_test(test_sizes_in_bytes),
    };
    return cmocka_run_group_tests_name("dtype", tests, NULL, NULL);
}
