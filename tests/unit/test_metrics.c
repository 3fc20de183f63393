/* Metrics: values worked out by hand, every kernel against the plain C one, and the
 * same bits for any number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/kernel.h"
#include "compare/tolerance.h"
#include "tensor/decode.h"

static ls_view view_of(const void *data, lockstep_dtype dtype, uint64_t count) {
    ls_view view = {.data = data, .dtype = dtype, .rank = 1, .shape = {count}, .strides = {1}};
    return view;
}

static ls_metrics compare(lockstep_dtype dtype, const void *reference, const void *candidate, uint64_t count, double atol, double rtol) {
    ls_view r = view_of(reference, dtype, count), c = view_of(candidate, dtype, count);
    ls_metrics m;
    lockstep_error error;
    assert_int_equal(ls_compare(&r, &c, &(ls_compare_options){.atol = atol, .rtol = rtol}, &m, &error), LOCKSTEP_OK);
    return m;
}

#define COMPARE_F32(count, ...)                                      \
    __extension__({                                                  \
        static const float both[2][count] = {__VA_ARGS__};           \
        compare(LOCKSTEP_F32, both[0], both[1], count, 0, 0);        \
    })

static void assert_near(double found, double expected) {
    if (!(fabs(found - expected) <= 1e-14 * fabs(expected))) {
        print_error("found %.17g, expected %.17g\n", found, expected);
        fail();
    }
}

static uint32_t seed;
static uint32_t next(void) { return seed = seed * 1664525u + 1013904223u; }
static float uniform(void) { return (float)(next() >> 8) / (float)(1 << 24) - 0.5f; }

/* --- by hand */

/* d = 1, 0, -1, 4 on a reference of 1, 2, 4, 8 */
static void test_every_figure_of_four_numbers(void **state) {
    (void)state;
    ls_metrics m = COMPARE_F32(4, {1, 2, 4, 8}, {2, 2, 3, 12});
    assert_int_equal(m.elements, 4);
    assert_int_equal(m.finite, 4);
    assert_false(m.identical);
    assert_near(m.max_abs, 4);
    assert_int_equal(m.max_abs_at, 3);
    assert_near(m.max_rel, 1); /* 1/1, 0, 1/4, 4/8 */
    assert_int_equal(m.max_rel_at, 0);
    assert_near(m.mean_abs, 6.0 / 4);
    assert_near(m.mean_rel, 1.75 / 4);
    assert_near(m.rmse, sqrt(18.0 / 4));
    assert_near(m.rel_l2, sqrt(18.0 / 85)); /* 1 + 4 + 16 + 64 */
    assert_near(m.nmse, 18.0 / 85);
    assert_near(m.nmse_var, (18.0 / 4) / (85.0 / 4 - 3.75 * 3.75));
    assert_near(m.max_abs_over_max, 4.0 / 8);
    assert_near(m.sqnr_db, 10 * log10(85.0 / 18));
    assert_near(m.cosine, (2 + 4 + 12 + 96) / sqrt(85.0 * (4 + 4 + 9 + 144)));
    assert_near(m.reference.min, 1);
    assert_near(m.reference.max, 8);
    assert_near(m.reference.mean, 3.75);
    assert_near(m.reference.std, sqrt(85.0 / 4 - 3.75 * 3.75));
    assert_near(m.candidate.l2, sqrt(161.0));
}

static void test_equal_tensors_are_identical(void **state) {
    (void)state;
    ls_metrics m = COMPARE_F32(3, {1, -2, 0.1f}, {1, -2, 0.1f});
    assert_true(m.identical);
    assert_true(m.max_abs == 0 && m.max_rel == 0 && m.rel_l2 == 0 && m.nmse_var == 0 && m.cosine == 1 && m.max_ulp == 0);
    assert_true(isinf(m.sqnr_db) && m.sqnr_db > 0);
}

static void test_minus_zero_is_not_zero(void **state) {
    (void)state;
    ls_metrics m = COMPARE_F32(2, {0, 1}, {-0.0f, 1});
    assert_false(m.identical);
    assert_true(m.max_abs == 0 && m.beyond == 0 && m.max_ulp == 0);
    assert_false(signbit(m.candidate.min));
}

static void test_nan_equals_nan_and_infinity_itself(void **state) {
    (void)state;
    ls_metrics m = COMPARE_F32(4, {NAN, INFINITY, -INFINITY, 1}, {NAN, INFINITY, -INFINITY, 1});
    assert_true(m.identical);
    assert_int_equal(m.finite, 1);
    assert_int_equal(m.nan_reference, 1);
    assert_int_equal(m.inf_candidate, 2);
    assert_int_equal(m.nonfinite_differ, 0);
    assert_int_equal(m.beyond, 0);
}

static void test_nonfinite_on_one_side_is_beyond_any_tolerance(void **state) {
    (void)state;
    static const float r[] = {NAN, 1, INFINITY, INFINITY, 2}, c[] = {1, NAN, -INFINITY, 3, 2};
    ls_metrics m = compare(LOCKSTEP_F32, r, c, 5, 1e30, 1e30);
    assert_int_equal(m.nonfinite_differ, 4);
    assert_int_equal(m.beyond, 4);
    assert_int_equal(m.finite, 1);
    assert_false(m.identical);
    assert_near(m.rel_l2, 0);
    assert_near(m.cosine, 1);
    /* each side's figures are of all its finite values */
    assert_near(m.reference.mean, 1.5);
    assert_near(m.candidate.mean, 2);
    assert_near(m.candidate.max, 3);
}

static void test_sums_leave_out_what_is_not_finite_on_both_sides(void **state) {
    (void)state;
    ls_metrics m = COMPARE_F32(3, {100, 3, 4}, {NAN, 3, 5});
    assert_near(m.rel_l2, sqrt(1.0 / 25)); /* without the 100 */
    assert_near(m.max_abs_over_max, 1.0 / 4);
    assert_int_equal(m.max_abs_at, 2);
}

static void test_relative_where_the_reference_is_zero(void **state) {
    (void)state;
    ls_metrics m = COMPARE_F32(4, {0, 0, 2, 4}, {0, 1, 2, 5});
    assert_true(isinf(m.max_rel));
    assert_int_equal(m.max_rel_at, 1);
    assert_near(m.mean_rel, 0.25 / 4); /* of all finite elements; the infinite one adds nothing */
}

static void test_a_reference_of_zeros(void **state) {
    (void)state;
    ls_metrics m = COMPARE_F32(2, {0, 0}, {3, 4});
    assert_true(isinf(m.rel_l2) && isinf(m.nmse) && isinf(m.nmse_var) && isinf(m.max_abs_over_max));
    assert_true(isinf(m.sqnr_db) && m.sqnr_db < 0);
    assert_true(m.cosine == 0);
    m = COMPARE_F32(2, {0, 0}, {0, 0});
    assert_true(m.rel_l2 == 0 && m.cosine == 1);
}

static void test_nothing_finite_and_nothing_at_all(void **state) {
    (void)state;
    ls_metrics m = COMPARE_F32(1, {NAN}, {NAN});
    assert_true(isnan(m.max_abs) && isnan(m.rel_l2) && isnan(m.cosine) && isnan(m.max_ulp) && isnan(m.reference.min));
    m = compare(LOCKSTEP_F32, "", "", 0, 0, 0);
    assert_true(m.identical && m.elements == 0 && isnan(m.max_abs));
}

static void test_a_constant_has_no_spread(void **state) {
    (void)state;
    float values[5000], others[5000];
    for (int i = 0; i < 5000; i++)
        values[i] = 0.1f, others[i] = 0.2f;
    ls_metrics m = compare(LOCKSTEP_F32, values, others, 5000, 0, 0);
    assert_true(m.reference.std == 0 && isinf(m.nmse_var));
    assert_near(m.reference.mean, (double)0.1f);
}

/* 1e6 + {0, 1}: the spread survives a mean that is 1e12 times its square */
static void test_a_large_mean_does_not_cancel_the_spread(void **state) {
    (void)state;
    enum { N = 1 << 17 };
    double *values = malloc(N * sizeof *values);
    for (int i = 0; i < N; i++)
        values[i] = 1e9 + (i & 1);
    ls_metrics m = compare(LOCKSTEP_F64, values, values, N, 0, 0);
    assert_near(m.reference.std, 0.5);
    free(values);
}

static void test_difference_beyond_double(void **state) {
    (void)state;
    static const double r[] = {1.7e308, 1}, c[] = {-1.7e308, 1};
    ls_metrics m = compare(LOCKSTEP_F64, r, c, 2, 0, 0);
    assert_int_equal(m.finite, 1);
    assert_int_equal(m.nonfinite_differ, 1);
    assert_true(m.reference.max == 1.7e308);
}

static void test_shares_and_tolerance(void **state) {
    (void)state;
    static const double r[] = {0, 0, 0, 0, 0, 0, 10}, c[] = {1e-6, 2e-6, 2e-5, -2e-4, 2e-3, 2e-2, 10.5};
    ls_metrics m = compare(LOCKSTEP_F64, r, c, 7, 1e-3, 0.1);
    static const uint64_t above[LS_SHARES] = {6, 5, 4, 3, 2, 1}; /* 1e-6 is not above 1e-6 */
    assert_memory_equal(m.above, above, sizeof above);
    assert_int_equal(m.beyond, 2); /* 2e-3 and 2e-2 > 1e-3; 0.5 <= 1e-3 + 1 */
}

static void test_exact_tolerance_is_within(void **state) {
    (void)state;
    static const double r[] = {8}, c[] = {10};
    assert_int_equal(compare(LOCKSTEP_F64, r, c, 1, 1, 0.125).beyond, 0);
    assert_int_equal(compare(LOCKSTEP_F64, r, c, 1, 0.5, 0.125).beyond, 1);
    assert_int_equal(compare(LOCKSTEP_F64, r, c, 1, 0, 0.25).beyond, 0);
    assert_int_equal(compare(LOCKSTEP_F64, r, c, 1, 0, 0.2499).beyond, 1);
}

static void test_ulps(void **state) {
    (void)state;
    static const float smallest = 1.401298464324817e-45f;
    assert_true(COMPARE_F32(1, {1}, {1.00000012f}).max_ulp == 1);
    assert_true(COMPARE_F32(1, {1}, {0.99999994f}).max_ulp == 1); /* finer below a power of two */
    float across[2] = {smallest, -2 * smallest};
    assert_true(compare(LOCKSTEP_F32, &across[0], &across[1], 1, 0, 0).max_ulp == 3);
    assert_true(COMPARE_F32(1, {3.4028234663852886e38f}, {-3.4028234663852886e38f}).max_ulp == 2.0 * 0x7f7fffff);
    assert_true(COMPARE_F32(2, {NAN, 1}, {1, 1}).max_ulp == 0);
    static const uint16_t half[2][3] = {{0x3c00, 0x0001, 0x7c00}, {0x3c02, 0x8001, 0x3c00}}; /* 1, smallest, infinity */
    assert_true(compare(LOCKSTEP_F16, half[0], half[1], 3, 0, 0).max_ulp == 2);
    static const uint16_t brain[2][2] = {{0x3f80, 0x7f80}, {0x3f7d, 0x7f80}};
    assert_true(compare(LOCKSTEP_BF16, brain[0], brain[1], 2, 0, 0).max_ulp == 3);
}

/* Most tiles are known not to hold the maximum: the one found is that of all elements. */
static void test_ulps_of_many_tiles(void **state) {
    (void)state;
    enum { N = 40000 };
    float *r = malloc(N * sizeof *r), *c = malloc(N * sizeof *c);
    for (int scale = 0; scale < 8; scale++) {
        for (size_t i = 0; i < N; i++) {
            r[i] = ldexpf(uniform(), -(int)(next() % 160)); /* subnormal ones, too */
            c[i] = r[i] * (1 + uniform() * powf(10, -(float)scale));
        }
        assert_true(compare(LOCKSTEP_F32, r, c, N, 0, 0).max_ulp == (double)ls_kernels_c.ulp_f32(r, c, N));
    }
    free(r);
    free(c);
}

static void test_ulps_need_one_type(void **state) {
    (void)state;
    static const float f = 1;
    static const double d = 1;
    ls_view r = view_of(&f, LOCKSTEP_F32, 1), c = view_of(&d, LOCKSTEP_F64, 1);
    ls_metrics m;
    assert_int_equal(ls_compare(&r, &c, &(ls_compare_options){.atol = 0, .rtol = 0}, &m, NULL), LOCKSTEP_OK);
    assert_true(isnan(m.max_ulp) && m.identical);
    assert_true(isnan(compare(LOCKSTEP_F64, &d, &d, 1, 0, 0).max_ulp));
}

static void test_element_counts_must_agree(void **state) {
    (void)state;
    static const float f[2];
    ls_view r = view_of(f, LOCKSTEP_F32, 1), c = view_of(f, LOCKSTEP_F32, 2);
    ls_metrics m;
    lockstep_error error;
    assert_int_equal(ls_compare(&r, &c, &(ls_compare_options){.atol = 0, .rtol = 0}, &m, &error), LOCKSTEP_INVALID_ARGUMENT);
}

/* --- kernels */

enum { LONGEST = 70, ROOM = LONGEST + 16 };

typedef struct buffers {
    uint8_t bytes[2][ROOM * sizeof(double)];
} buffers;

/* Values near each other, with zeros on either side among them. */
static void fill(buffers *b, size_t offset, size_t n, bool wide, int special) {
    for (size_t i = 0; i < n; i++) {
        float r = uniform(), c = r + uniform() * powf(10, -(float)(next() % 9));
        r = next() % 11 == 0 ? 0 : r;
        c = next() % 11 == 0 ? -0.0f : c;
        if (special > 0 && next() % 7 == 0)
            *(next() % 2 ? &r : &c) = special == 1 ? NAN : special == 2 ? INFINITY : -INFINITY;
        double both[2] = {(double)r, (double)c};
        for (int k = 0; k < 2; k++) {
            float narrow = (float)both[k];
            if (wide)
                memcpy(b->bytes[k] + offset + i * sizeof(double), &both[k], sizeof(double));
            else
                memcpy(b->bytes[k] + offset + i * sizeof(float), &narrow, sizeof(float));
        }
    }
}

static void assert_same_tile(const ls_tile *found, const ls_tile *expected) {
    assert_int_equal(found->finite, expected->finite);
    if (!expected->finite)
        return;
    assert_int_equal(found->same_bits, expected->same_bits);
    const double *f = &found->max_abs, *e = &expected->max_abs;
    for (size_t i = 0; i < (sizeof(ls_tile) - offsetof(ls_tile, max_abs)) / sizeof(double); i++)
        assert_memory_equal(&f[i], &e[i], sizeof *f);
}

static void check_kernels(const ls_kernels *k, const buffers *b, size_t offset, size_t n, bool wide) {
    const ls_kernels *c = &ls_kernels_c;
    const void *r = b->bytes[0] + offset, *v = b->bytes[1] + offset;
    ls_tile found, expected;
    (wide ? c->sum_f64 : c->sum_f32)(r, v, n, &expected);
    (wide ? k->sum_f64 : k->sum_f32)(r, v, n, &found);
    assert_same_tile(&found, &expected);
    if (!wide)
        assert_int_equal(k->ulp_f32(r, v, n), c->ulp_f32(r, v, n));
    assert_int_equal(k->ulp_16(r, v, n, 0x7c00), c->ulp_16(r, v, n, 0x7c00));
    assert_int_equal(k->ulp_16(r, v, n, 0x7f80), c->ulp_16(r, v, n, 0x7f80));
    double squares[2][3];
    (wide ? c->squares_f64 : c->squares_f32)(r, v, n, squares[0]);
    (wide ? k->squares_f64 : k->squares_f32)(r, v, n, squares[1]);
    for (int i = 0; i < 3; i++)
        assert_true(isnan(squares[0][i]) ? isnan(squares[1][i]) : squares[0][i] == squares[1][i]);
    if (!expected.finite)
        return;
    uint64_t a[LS_SHARES + 1] = {0}, e[LS_SHARES + 1] = {0};
    ls_count_limits limits = {expected.max_abs, false, 1e-4, 1e-2};
    (wide ? c->count_f64 : c->count_f32)(r, v, n, &limits, e);
    (wide ? k->count_f64 : k->count_f32)(r, v, n, &limits, a);
    assert_memory_equal(a, e, sizeof a);
}

/* Rows longer and shorter than tiles and chunks, against one loop over all elements. */
static void test_the_worst_row_and_lost_rows(void **state) {
    (void)state;
    enum { COUNT = 600000 };
    static float r[COUNT], c[COUNT];
    const uint64_t lengths[] = {1, 3, 32, 5000, 200000, COUNT};
    seed = 7;
    for (size_t i = 0; i < COUNT; i++) {
        r[i] = uniform();
        c[i] = r[i] * (1 + 1e-3f * uniform());
    }
    for (size_t i = 300000; i < 300064; i++)
        c[i] = 0;
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        uint64_t length = lengths[k], worst_row = 0, lost = 0;
        double worst = -1;
        for (uint64_t row = 0; row < COUNT / length; row++) {
            double error2 = 0, squares = 0, kept = 0;
            for (uint64_t i = row * length; i < (row + 1) * length; i++) {
                double d = (double)c[i] - (double)r[i];
                error2 += d * d, squares += (double)r[i] * (double)r[i], kept += (double)c[i] * (double)c[i];
            }
            lost += kept == 0 && squares > 0;
            if (error2 > 0 && error2 / squares > worst * (1 + 1e-12))
                worst = error2 / squares, worst_row = row;
        }
        ls_view vr = view_of(r, LOCKSTEP_F32, COUNT), vc = view_of(c, LOCKSTEP_F32, COUNT);
        ls_metrics m;
        assert_int_equal(ls_compare(&vr, &vc, &(ls_compare_options){.row_length = length}, &m, NULL), LOCKSTEP_OK);
        assert_int_equal(m.rows.rows, COUNT / length);
        assert_int_equal(m.rows.worst_row, worst_row);
        assert_true(fabs(m.rows.worst_nmse - worst) <= 1e-10 * worst); /* the naive sum above rounds n times */
        assert_int_equal(m.rows.lost, lost);
        assert_true(lost == 0 || m.rows.first_lost == 300000 / length + (300000 % length != 0));
    }
}

static void test_equal_values_have_equal_hashes(void **state) {
    (void)state;
    enum { COUNT = 100000 };
    static float whole[COUNT], other[COUNT];
    static uint16_t halves[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        halves[i] = (uint16_t)(i % 0x7c00);
        whole[i] = ls_f16_to_f32(halves[i]);
        other[i] = whole[i];
    }
    other[COUNT - 1] = -1;
    ls_view f = view_of(whole, LOCKSTEP_F32, COUNT), h = view_of(halves, LOCKSTEP_F16, COUNT), o = view_of(other, LOCKSTEP_F32, COUNT);
    ls_metrics m;
    assert_int_equal(ls_compare(&f, &h, &(ls_compare_options){.hash = true}, &m, NULL), LOCKSTEP_OK);
    assert_true(m.reference.hash == m.candidate.hash);
    assert_int_equal(ls_compare(&f, &o, &(ls_compare_options){.hash = true}, &m, NULL), LOCKSTEP_OK);
    assert_true(m.reference.hash != m.candidate.hash);
}

static void test_every_kernel_gives_the_bits_of_plain_c(void **state) {
    (void)state;
    const ls_kernels *variants[] = {&ls_kernels_c, ls_kernels_avx2()};
    buffers b;
    for (int v = 0; v < 2; v++)
        for (size_t n = 1; n <= LONGEST; n++)
            for (size_t offset = 0; offset < 9; offset++)
                for (int special = 0; special < 4; special++)
                    for (int wide = 0; wide < 2 && variants[v] != NULL; wide++) {
                        fill(&b, offset, n, wide, special);
                        check_kernels(variants[v], &b, offset, n, wide);
                    }
}

static void test_counting_nothing(void **state) {
    (void)state;
    uint64_t counts[LS_SHARES + 1] = {0};
    const ls_count_limits limits = {1, false, 0, 0};
    ls_kernels_best()->count_f32("", "", 0, &limits, counts);
    assert_int_equal(counts[0] + counts[LS_SHARES], 0);
    assert_int_equal(ls_kernels_best()->ulp_f32("", "", 0), 0);
    assert_int_equal(ls_kernels_best()->ulp_16("", "", 0, 0x7c00), 0);
}

/* Tiles that are all within are not counted: at the limits, both ways agree. */
static void test_a_shortcut_counts_as_the_long_way(void **state) {
    (void)state;
    double r[ROOM], c[ROOM];
    for (int k = 0; k < 2000; k++) {
        for (int i = 0; i < LONGEST; i++)
            r[i] = (double)uniform(), c[i] = r[i] * (1 + 1e-3 * (double)uniform());
        double rtol = 5e-4 + 1e-6 * (double)uniform();
        uint64_t beyond = 0;
        for (int i = 0; i < LONGEST; i++)
            beyond += !(fabs(c[i] - r[i]) <= 0 + rtol * fabs(r[i]));
        assert_int_equal(compare(LOCKSTEP_F64, r, c, LONGEST, 0, rtol).beyond, beyond);
    }
}

/* --- whole tensors */

/* The position of one odd value among many tiles and chunks decides nothing else. */
static void test_nonfinite_values_anywhere(void **state) {
    (void)state;
    enum { N = 70000 };
    float *r = calloc(N, sizeof *r), *c = calloc(N, sizeof *c);
    for (size_t i = 0; i < N; i++)
        r[i] = c[i] = 1;
    static const size_t places[] = {0, 1, 7, 8, 2047, 2048, 4096, 65535, 65536, 69999};
    for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
        c[places[k]] = NAN;
        ls_metrics m = compare(LOCKSTEP_F32, r, c, N, 1, 1);
        assert_true(m.finite == N - 1 && m.nan_candidate == 1 && m.nonfinite_differ == 1 && m.beyond == 1 && !m.identical);
        assert_true(m.reference.l2 == sqrt((double)N) && m.candidate.l2 == sqrt((double)(N - 1)));
        c[places[k]] = 3;
        m = compare(LOCKSTEP_F32, r, c, N, 1, 1);
        assert_true(m.max_abs == 2 && m.max_abs_at == places[k] && m.max_rel_at == places[k]);
        c[places[k]] = 1;
    }
    free(r);
    free(c);
}

static void random_pair(float *r, float *c, size_t n) {
    for (size_t i = 0; i < n; i++) {
        r[i] = uniform();
        c[i] = r[i] + 1e-3f * uniform();
    }
    r[n / 3] = NAN;
    c[n / 2] = INFINITY;
}

static void test_the_same_bits_for_any_number_of_threads(void **state) {
    (void)state;
    enum { N = 1000003 };
    float *r = malloc(N * sizeof *r), *c = malloc(N * sizeof *c);
    random_pair(r, c, N);
    ls_metrics expected, found;
    for (int threads = 1; threads <= 3; threads++) {
        char text[8];
        snprintf(text, sizeof text, "%d", threads);
        setenv("LOCKSTEP_THREADS", text, 1);
        memset(&found, 0, sizeof found);
        found = compare(LOCKSTEP_F32, r, c, N, 1e-4, 1e-3);
        if (threads == 1)
            expected = found;
        assert_memory_equal(&found.max_abs, &expected.max_abs, sizeof found - offsetof(ls_metrics, max_abs));
    }
    unsetenv("LOCKSTEP_THREADS");
    free(r);
    free(c);
}

/* Where the values lie and how they are stored changes how they are read, not the result. */
static void test_the_same_bits_for_any_storage(void **state) {
    (void)state;
    enum { ROWS = 60, COLUMNS = 90, N = ROWS * COLUMNS };
    static float r[N], c[N], transposed[N], swapped[N];
    static double wide[N];
    random_pair(r, c, N);
    for (size_t i = 0; i < N; i++) {
        transposed[i % COLUMNS * ROWS + i / COLUMNS] = r[i];
        wide[i] = (double)r[i];
    }
    memcpy(swapped, r, sizeof r);
    ls_swap_4(swapped, N);
    uint8_t *odd = malloc(sizeof r + 1);
    memcpy(odd + 1, r, sizeof r);
    const ls_view candidate = view_of(c, LOCKSTEP_F32, N);
    ls_view references[5] = {view_of(r, LOCKSTEP_F32, N), view_of(odd + 1, LOCKSTEP_F32, N), view_of(swapped, LOCKSTEP_F32, N),
                             {.data = (const uint8_t *)transposed, .dtype = LOCKSTEP_F32, .rank = 2, .shape = {ROWS, COLUMNS}, .strides = {1, ROWS}},
                             view_of(wide, LOCKSTEP_F64, N)};
    references[2].swap = true;
    ls_metrics expected, found;
    for (int k = 0; k < 5; k++) {
        assert_int_equal(ls_compare(&references[k], &candidate, &(ls_compare_options){.atol = 1e-4, .rtol = 1e-3}, &found, NULL), LOCKSTEP_OK);
        if (k == 0)
            expected = found;
        if (k == 4)
            found.max_ulp = expected.max_ulp; /* of two types */
        assert_memory_equal(&found.max_abs, &expected.max_abs, sizeof found - offsetof(ls_metrics, max_abs));
    }
    free(odd);
}

/* --- documentation */

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static void assert_mentions(const char *text, const char *word) {
    char quoted[80];
    snprintf(quoted, sizeof quoted, "`%s`", word);
    if (strstr(text, quoted) == NULL)
        fail_msg("docs/metrics.md does not mention %s", quoted);
}

/* Everything that the JSON report writes for a pair: the keys in its source. */
static void test_every_figure_is_documented(void **state) {
    (void)state;
    static const char *const keys[] = {
        "rel_l2", "max_abs", "max_rel", "mean_abs", "mean_rel", "rmse", "nmse", "nmse_var", "max_abs_over_max", "cosine",
        "sqnr_db", "max_ulp", "elements", "finite", "max_abs_at", "max_rel_at", "beyond", "nan_reference", "nan_candidate",
        "inf_reference", "inf_candidate", "nonfinite_differ", "max_abs_reference", "max_abs_candidate", "masked", "masked_differ", "above", "identical", "min", "max", "mean", "std", "l2"};
    char *text = read_file("docs/metrics.md"), *source = read_file("src/report/json_values.c");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char quoted[80];
        snprintf(quoted, sizeof quoted, "\"%s\"", keys[i]);
        assert_non_null(strstr(source, quoted));
        assert_mentions(text, keys[i]);
    }
    const char *end = strstr(source, "void ls_json_dump");
    for (const char *at = strstr(source, "static json_t *side_json"); at != NULL && at < end; at = strchr(at + 1, '"')) {
        bool found = *at != '"'; /* each quoted word before it is one of the keys, or a format */
        for (size_t i = 0; i < sizeof keys / sizeof keys[0] && !found; i++)
            found = strncmp(at + 1, keys[i], strlen(keys[i])) == 0 && at[1 + strlen(keys[i])] == '"';
        if (!found && strncmp(at, "\"%.0e\"", 6) != 0 && strncmp(at, "\"reference\"", 11) != 0 && strncmp(at, "\"candidate\"", 11) != 0)
            fail_msg("a figure that this test does not know: %.30s", at);
        if (*at == '"')
            at = strchr(at + 1, '"');
    }
    free(text);
    free(source);
}

static void test_every_profile_and_noise_row_is_documented(void **state) {
    (void)state;
    char *text = read_file("docs/metrics.md"), row[80];
    for (const ls_profile *p = ls_profiles; p->name != NULL; p++)
        assert_mentions(text, p->name);
    for (const ls_precision_class *n = ls_precision_classes; n->name != NULL; n++) {
        assert_mentions(text, n->name);
        snprintf(row, sizeof row, "| `%s` | %.0e |", n->name, n->rel_l2);
        if (strstr(text, row) == NULL)
            fail_msg("docs/metrics.md has no row '%s'", row);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_figure_of_four_numbers),
        cmocka_unit_test(test_equal_tensors_are_identical),
        cmocka_unit_test(test_minus_zero_is_not_zero),
        cmocka_unit_test(test_nan_equals_nan_and_infinity_itself),
        cmocka_unit_test(test_nonfinite_on_one_side_is_beyond_any_tolerance),
        cmocka_unit_test(test_sums_leave_out_what_is_not_finite_on_both_sides),
        cmocka_unit_test(test_relative_where_the_reference_is_zero),
        cmocka_unit_test(test_a_reference_of_zeros),
        cmocka_unit_test(test_nothing_finite_and_nothing_at_all),
        cmocka_unit_test(test_a_constant_has_no_spread),
        cmocka_unit_test(test_a_large_mean_does_not_cancel_the_spread),
        cmocka_unit_test(test_difference_beyond_double),
        cmocka_unit_test(test_shares_and_tolerance),
        cmocka_unit_test(test_exact_tolerance_is_within),
        cmocka_unit_test(test_ulps),
        cmocka_unit_test(test_ulps_of_many_tiles),
        cmocka_unit_test(test_ulps_need_one_type),
        cmocka_unit_test(test_element_counts_must_agree),
        cmocka_unit_test(test_every_kernel_gives_the_bits_of_plain_c),
        cmocka_unit_test(test_the_worst_row_and_lost_rows),
        cmocka_unit_test(test_equal_values_have_equal_hashes),
        cmocka_unit_test(test_counting_nothing),
        cmocka_unit_test(test_a_shortcut_counts_as_the_long_way),
        cmocka_unit_test(test_nonfinite_values_anywhere),
        cmocka_unit_test(test_the_same_bits_for_any_number_of_threads),
        cmocka_unit_test(test_the_same_bits_for_any_storage),
        cmocka_unit_test(test_every_figure_is_documented),
        cmocka_unit_test(test_every_profile_and_noise_row_is_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
