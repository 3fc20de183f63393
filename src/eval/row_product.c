#include "eval/row_product.h"

#include <math.h>

/* A factor of 0 (what a mask left out) makes the other one irrelevant, even if it is not known. */
static ls_row_product multiply_carefully(const double *a, const double *b, uint64_t n) {
    ls_row_product p = {0, 0};
    for (uint64_t i = 0; i < n; i++) {
        const double term = a[i] == 0 || b[i] == 0 ? 0 : a[i] * b[i];
        p.sum += term;
        p.squares += term * term;
    }
    return p;
}

typedef double wide_lanes __attribute__((vector_size(32), aligned(8)));
typedef float narrow_lanes __attribute__((vector_size(32), aligned(4)));

/* Two vectors at a time, so that one addition need not wait for the other. */
#define DEFINE_MULTIPLY(name, number, vector)                                                                                                    \
    __attribute__((always_inline)) static inline ls_row_product name(const number *a, const number *b, uint64_t n) {                             \
        enum { LANES = sizeof(vector) / sizeof(number) };                                                                                        \
        vector sum[2] = {{0}}, squares[2] = {{0}};                                                                                               \
        ls_row_product p = {0, 0};                                                                                                               \
        uint64_t i = 0;                                                                                                                          \
        for (; i + 2 * LANES <= n; i += 2 * LANES)                                                                                               \
            for (int k = 0; k < 2; k++) {                                                                                                        \
                const vector term = *(const vector *)(const void *)(a + i + k * LANES) * *(const vector *)(const void *)(b + i + k * LANES);     \
                sum[k] += term;                                                                                                                  \
                squares[k] += term * term;                                                                                                       \
            }                                                                                                                                    \
        for (; i < n; i++) {                                                                                                                     \
            const double term = (double)a[i] * (double)b[i];                                                                                     \
            p.sum += term;                                                                                                                       \
            p.squares += term * term;                                                                                                            \
        }                                                                                                                                        \
        for (int k = 0; k < 2 * LANES; k++) {                                                                                                    \
            p.sum += (double)sum[k / LANES][k % LANES];                                                                                          \
            p.squares += (double)squares[k / LANES][k % LANES];                                                                                  \
        }                                                                                                                                        \
        return p;                                                                                                                                \
    }
DEFINE_MULTIPLY(multiply_wide, double, wide_lanes)
DEFINE_MULTIPLY(multiply_narrow, float, narrow_lanes)

#ifdef __x86_64__
__attribute__((target("avx2"))) static ls_row_product multiply_wide_avx2(const double *a, const double *b, uint64_t n) { return multiply_wide(a, b, n); }
__attribute__((target("avx2,fma"))) static ls_row_product multiply_narrow_avx2(const float *a, const float *b, uint64_t n) { return multiply_narrow(a, b, n); }
#endif

ls_row_product ls_row_multiply(const double *a, const double *b, uint64_t n) {
#ifdef __x86_64__
    const ls_row_product p = __builtin_cpu_supports("avx2") ? multiply_wide_avx2(a, b, n) : multiply_wide(a, b, n);
#else
    const ls_row_product p = multiply_wide(a, b, n);
#endif
    return isfinite(p.squares) ? p : multiply_carefully(a, b, n);
}

ls_row_product ls_row_multiply_narrow(const float *a, const float *b, uint64_t n) {
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? multiply_narrow_avx2(a, b, n) : multiply_narrow(a, b, n);
#else
    return multiply_narrow(a, b, n);
#endif
}

double ls_row_scale(double sum, double squares) {
    const double root = sqrt(squares);
    return fabs(sum) > root ? fabs(sum) : root;
}
