/* Views: strides, byte order, slices, statistics. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/slice.h"
#include "tensor/stats.h"

/* [2, 3, 4] of 0 … 23 */
static ls_view counting(const void *data, lockstep_dtype dtype) {
    ls_view view = {.data = data, .dtype = dtype, .rank = 3, .shape = {2, 3, 4}};
    ls_view_set_contiguous(&view);
    return view;
}

static const float counted[24] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                  12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};

static void assert_values(const ls_view *view, size_t count, const double *expected) {
    double values[64];
    assert_int_equal(ls_view_elements(view), count);
    ls_view_read_f64(view, 0, count, values);
    for (size_t i = 0; i < count; i++)
        assert_true(values[i] == expected[i]);
}
#define ASSERT_VALUES(view, ...)                                              \
    assert_values(&(view), sizeof((const double[]){__VA_ARGS__}) / sizeof(double), \
                  (const double[]){__VA_ARGS__})

static void assert_sliced(const char *text, size_t count, const double *expected) {
    ls_view view = counting(counted, LOCKSTEP_F32);
    lockstep_error error;
    assert_int_equal(ls_view_slice(&view, text, &error), LOCKSTEP_OK);
    assert_values(&view, count, expected);
}
#define ASSERT_SLICED(text, ...)                                              \
    assert_sliced(text, sizeof((const double[]){__VA_ARGS__}) / sizeof(double), \
                  (const double[]){__VA_ARGS__})

static void test_transposed(void **state) {
    (void)state;
    ls_view view = {.data = (const uint8_t *)counted, .dtype = LOCKSTEP_F32, .rank = 2, .shape = {3, 2}, .strides = {1, 3}};
    assert_false(ls_view_is_contiguous(&view));
    ASSERT_VALUES(view, 0, 3, 1, 4, 2, 5);
}

static void test_stride_0_repeats(void **state) {
    (void)state;
    ls_view view = {.data = (const uint8_t *)counted, .dtype = LOCKSTEP_F32, .rank = 2, .shape = {2, 2}, .strides = {0, 1}};
    ASSERT_VALUES(view, 0, 1, 0, 1);
}

static void test_axes_of_1_have_any_stride(void **state) {
    (void)state;
    ls_view view = {.data = (const uint8_t *)counted, .dtype = LOCKSTEP_F32, .rank = 3, .shape = {1, 2, 1}, .strides = {99, 1, -7}};
    assert_true(ls_view_is_contiguous(&view));
}

static void test_big_endian_at_odd_addresses(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0, 0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0}; /* 1, -2 from bytes[1] on */
    ls_view view = {.data = bytes + 1, .dtype = LOCKSTEP_F32, .swap = true, .rank = 1, .shape = {2}, .strides = {1}};
    ASSERT_VALUES(view, 1, -2);
    float raw[2];
    ls_view_read_raw(&view, 0, 2, raw);
    assert_true(raw[0] == 1 && raw[1] == -2);
}

/* Every range of a strided view is the same range of all its values; long enough
 * for several tiles. */
static void test_ranges_across_tiles(void **state) {
    (void)state;
    enum { ROWS = 37, COLUMNS = 301 };
    int32_t *numbers = malloc(ROWS * COLUMNS * sizeof *numbers);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        numbers[i] = i;
    ls_view view = {.data = (const uint8_t *)numbers, .dtype = LOCKSTEP_I32, .rank = 2,
                    .shape = {COLUMNS, ROWS}, .strides = {1, COLUMNS}};
    for (uint64_t first = 0; first < ROWS * COLUMNS; first += 997) {
        float values[3000];
        size_t count = ROWS * COLUMNS - first < 3000 ? ROWS * COLUMNS - (size_t)first : 3000;
        ls_view_read_f32(&view, first, count, values);
        for (size_t i = 0; i < count; i++) {
            uint64_t at = first + i;
            assert_true(values[i] == (float)(at % ROWS * COLUMNS + at / ROWS));
        }
    }
    free(numbers);
}

/* Expected values are NumPy's for np.arange(24).reshape(2, 3, 4)[…]. */
static void test_slices(void **state) {
    (void)state;
    ASSERT_SLICED("1, 2, 3", 23);
    ASSERT_SLICED("-1,-3,-4", 12);
    ASSERT_SLICED("0,1", 4, 5, 6, 7);
    ASSERT_SLICED("..., 1", 1, 5, 9, 13, 17, 21);
    ASSERT_SLICED("1, ..., ::2", 12, 14, 16, 18, 20, 22);
    ASSERT_SLICED("0, 0, ::-1", 3, 2, 1, 0);
    ASSERT_SLICED("0, 0, 2:0:-1", 2, 1);
    ASSERT_SLICED("0, 0, -3:-1", 1, 2);
    ASSERT_SLICED("0, 0, -99:99:3", 0, 3);
    ASSERT_SLICED("0, 0, ::9223372036854775807", 0);
    ASSERT_SLICED("0, 0, ::-9223372036854775807", 3);
    ASSERT_SLICED(" 1 , 2 , 1 : 3 ", 21, 22);
    ASSERT_SLICED("1,2,3,...", 23);
}

static void test_empty_slices(void **state) {
    (void)state;
    static const char *const texts[] = {"0, 0, 2:2", "5:", "0, 0, 0:3:-1", ":0"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ls_view view = counting(counted, LOCKSTEP_F32);
        assert_int_equal(ls_view_slice(&view, texts[i], NULL), LOCKSTEP_OK);
        assert_int_equal(ls_view_elements(&view), 0);
        assert_ptr_equal(view.data, counted);
    }
}

static void test_wrong_slices(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } wrong[] = {
        {"2", "index 2 is out of bounds for axis 0 with size 2"},
        {"0, -4", "index -4 is out of bounds for axis 1 with size 3"},
        {"0,0,0,0", "found 4 indices, the tensor has 3 axes"},
        {"0,0,0,0,0,0,0,0,0", "more indices than the tensor has axes"},
        {"::0", "a step can't be 0"},
        {"..., ...", "only one ..."},
        {"x", "expected integers"},
        {"1,,2", "expected integers"},
        {"1:2:3:4", "expected integers"},
        {"99999999999999999999", "expected integers"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ls_view view = counting(counted, LOCKSTEP_F32);
        lockstep_error error;
        assert_int_equal(ls_view_slice(&view, wrong[i].text, &error), LOCKSTEP_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, wrong[i].message));
        assert_int_equal(view.rank, 3); /* untouched on failure */
    }
}

/* A block's elements have no address: slices of them count from the start. */
static void test_slices_of_a_block_type(void **state) {
    (void)state;
    uint8_t blocks[4 * 34] = {0}; /* [2, 64]; value i % 128 - 64, scale 1 */
    for (int i = 0; i < 128; i++) {
        blocks[i / 32 * 34 + 1] = 0x3c;
        blocks[i / 32 * 34 + 2 + i % 32] = (uint8_t)(i - 64);
    }
    ls_view whole = {.data = blocks, .dtype = LOCKSTEP_Q8_0, .rank = 2, .shape = {2, 64}};
    ls_view_set_contiguous(&whole);
    ls_view view = whole;
    assert_int_equal(ls_view_slice(&view, "1, 30:35", NULL), LOCKSTEP_OK);
    ASSERT_VALUES(view, 30, 31, 32, 33, 34);
    assert_int_equal(ls_view_slice(&view, "::-2", NULL), LOCKSTEP_OK);
    ASSERT_VALUES(view, 34, 32, 30);
    assert_int_equal(ls_view_slice(&view, "-1", NULL), LOCKSTEP_OK);
    ASSERT_VALUES(view, 30);
    view = whole;
    assert_int_equal(ls_view_slice(&view, ":, 63", NULL), LOCKSTEP_OK);
    ASSERT_VALUES(view, -1, 63);
}

static void test_statistics_by_hand(void **state) {
    (void)state;
    const double values[] = {3, -1, 0, NAN, INFINITY, -0.0, -INFINITY, 2};
    ls_view view = {.data = (const uint8_t *)values, .dtype = LOCKSTEP_F64, .rank = 1, .shape = {8}, .strides = {1}};
    ls_stats stats;
    assert_int_equal(ls_view_stats(&view, &stats, NULL), LOCKSTEP_OK);
    assert_true(stats.elements == 8 && stats.nan == 1 && stats.inf == 2 && stats.zeros == 2);
    assert_true(stats.min == -1 && stats.max == 3 && stats.mean == 0.8);
    assert_true(fabs(stats.std - sqrt(2.16)) < 1e-15); /* (9+1+0+0+4)/5 - 0.64 */
    assert_true(fabs(stats.l2 - sqrt(14)) < 1e-15);
}

static void test_statistics_of_nothing_finite(void **state) {
    (void)state;
    const double values[] = {NAN, INFINITY};
    ls_view view = {.data = (const uint8_t *)values, .dtype = LOCKSTEP_F64, .rank = 1, .shape = {2}, .strides = {1}};
    ls_stats stats;
    assert_int_equal(ls_view_stats(&view, &stats, NULL), LOCKSTEP_OK);
    assert_true(isnan(stats.min) && isnan(stats.mean) && isnan(stats.l2) && stats.nan == 1);
    view.shape[0] = 0;
    assert_int_equal(ls_view_stats(&view, &stats, NULL), LOCKSTEP_OK);
    assert_true(stats.elements == 0 && isnan(stats.max));
}

/* A spread of 1 beside a mean of 1e9: a sum of squares would lose it. The result
 * has the same bits for any number of threads. */
static void test_statistics_of_a_large_mean_on_any_number_of_threads(void **state) {
    (void)state;
    enum { N = 500000 };
    double *values = malloc(N * sizeof *values);
    for (int i = 0; i < N; i++)
        values[i] = 1e9 + (i % 2 == 0 ? 1 : -1);
    ls_view view = {.data = (const uint8_t *)values, .dtype = LOCKSTEP_F64, .rank = 1, .shape = {N}, .strides = {1}};
    ls_stats first = {0}, stats;
    static const char *const threads[] = {"1", "2", "3", "16"};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        setenv("LOCKSTEP_THREADS", threads[i], 1);
        assert_int_equal(ls_view_stats(&view, &stats, NULL), LOCKSTEP_OK);
        if (i == 0)
            first = stats;
        assert_memory_equal(&stats, &first, sizeof stats);
    }
    unsetenv("LOCKSTEP_THREADS");
    assert_true(first.mean == 1e9 && fabs(first.std - 1) < 1e-9);
    free(values);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transposed),
        cmocka_unit_test(test_stride_0_repeats),
        cmocka_unit_test(test_axes_of_1_have_any_stride),
        cmocka_unit_test(test_big_endian_at_odd_addresses),
        cmocka_unit_test(test_ranges_across_tiles),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_empty_slices),
        cmocka_unit_test(test_wrong_slices),
        cmocka_unit_test(test_slices_of_a_block_type),
        cmocka_unit_test(test_statistics_by_hand),
        cmocka_unit_test(test_statistics_of_nothing_finite),
        cmocka_unit_test(test_statistics_of_a_large_mean_on_any_number_of_threads),
    };
    return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
