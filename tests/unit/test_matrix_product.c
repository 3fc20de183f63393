/* Products of two matrices: sums and their terms' squares, against plain loops. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random_place.h"
#include "eval/matrix_product.h"

enum { M = 70, N = 9, K = 1056 }; /* K: not a multiple of a group's columns times a vector's */

static double between(uint64_t k, double least, double most) { return least + (most - least) * (double)ls_random_place(k, 1 << 20) / (1 << 20); }

typedef struct matrices {
    float weight[M * K];
    double a[M * K], b[N * K], out[N * M], scale[N * M];
    ls_array stored;
} matrices;

static matrices *new_matrices(void) {
    matrices *x = calloc(1, sizeof *x);
    assert_non_null(x);
    for (uint64_t i = 0; i < M * K; i++)
        x->a[i] = (double)(x->weight[i] = (float)between(i, -1, 1));
    for (uint64_t i = 0; i < N * K; i++)
        x->b[i] = (double)(float)between(i + 77777, -1, 1);
    x->stored = (ls_array){.rank = 2, .shape = {M, K}, .elements = M * K, .stored = {.data = (const uint8_t *)x->weight, .dtype = LOCKSTEP_F32, .rank = 1, .shape = {M * K}, .strides = {1}}};
    return x;
}

/* Sums to `exact`, relative to their scale, and scales to `rough`, relative. */
static void check(matrices *x, bool is_stored, bool is_narrow, double exact, double rough) {
    const ls_matrix_product p = {.a = is_stored ? NULL : x->a, .weight = is_stored ? &x->stored : NULL, .b = x->b, .m = M, .n = N, .k = K, .is_narrow = is_narrow, .out = x->out, .scale = x->scale};
    assert_true(ls_matrix_multiply(&p));
    for (uint64_t row = 0; row < N; row++)
        for (uint64_t i = 0; i < M; i++) {
            double sum = 0, squares = 0;
            for (uint64_t k = 0; k < K; k++) {
                const double term = x->a[i * K + k] == 0 || x->b[row * K + k] == 0 ? 0 : x->a[i * K + k] * x->b[row * K + k];
                sum += term;
                squares += term * term;
            }
            const double scale = fmax(fabs(sum), sqrt(squares)), found = x->out[row * M + i], of = x->scale[row * M + i];
            if (!isfinite(sum)) {
                assert_true(isnan(sum) ? isnan(found) : found == sum);
                continue;
            }
            assert_true(fabs(found - sum) <= exact * scale);
            assert_true(fabs(of - scale) <= rough * scale);
        }
}

static void test_in_double_precision(void **state) {
    matrices *x = new_matrices();
    (void)state;
    check(x, false, false, 1e-13, 1e-5);
    check(x, true, false, 1e-13, 0.15);
    free(x);
}

static void test_in_single_precision(void **state) {
    matrices *x = new_matrices();
    (void)state;
    check(x, true, true, 1e-5, 0.15);
    free(x);
}

/* A scale is that of the terms, wherever a row of b has a few values that outweigh the others of their group. */
static void test_values_that_outweigh_others(void **state) {
    matrices *x = new_matrices();
    (void)state;
    for (uint64_t row = 0; row < N; row++)
        for (uint64_t k = 0; k < 5; k++)
            x->b[row * K + ls_random_place(row * 5 + k, K)] = (double)(float)between(row, 100, 1000);
    check(x, true, true, 1e-5, 0.15);
    check(x, true, false, 1e-13, 0.15);
    for (uint64_t i = 0; i < N * K; i++) /* everywhere: more columns by themselves than are worth it */
        x->b[i] = (double)(float)(x->b[i] * pow(10, between(i + 5, -6, 2)));
    check(x, true, true, 1e-5, 0.15);
    free(x);
}

/* What is not finite stays in its row and its column; a zero makes the other factor irrelevant. */
static void test_values_that_are_no_numbers(void **state) {
    matrices *x = new_matrices();
    (void)state;
    x->b[3 * K + 5] = NAN;
    x->b[4 * K + 6] = INFINITY;
    x->b[5 * K + 7] = 0;
    x->a[8 * K + 7] = INFINITY;
    x->weight[8 * K + 7] = INFINITY;
    for (int way = 0; way < 3; way++)
        check(x, way > 0, way == 2, way == 2 ? 1e-5 : 1e-13, 0.15);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_double_precision),
        cmocka_unit_test(test_in_single_precision),
        cmocka_unit_test(test_values_that_outweigh_others),
        cmocka_unit_test(test_values_that_are_no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
