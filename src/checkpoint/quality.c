#include "checkpoint/quality.h"

#include <math.h>
#include <stddef.h>

/* Measured with ggml's own quantizers (bench/type_error.py): 2^22 normally distributed
 * values; the 39 matrices of a trained BERT. */
static const ls_quality_row table[] = {
    /*               gaussian  trained   row  keeps its size */
    {LOCKSTEP_F32, 0, 5e-14, 5e-14, false}, /* a converter's change computed in float32: half an ulp of each element */
    {LOCKSTEP_F16, 4.32e-08, 4.33e-08, 8.78e-08, false},
    {LOCKSTEP_BF16, 2.76e-06, 2.86e-06, 6.59e-06, false},
    {LOCKSTEP_Q8_0, 2.86e-05, 4.17e-05, 1.60e-04, true},
    {LOCKSTEP_Q4_0, 6.67e-03, 8.74e-03, 3.34e-02, true},
    {LOCKSTEP_Q4_1, 4.88e-03, 5.77e-03, 1.10e-02, true},
    {LOCKSTEP_Q5_0, 1.63e-03, 2.18e-03, 8.34e-03, true},
    {LOCKSTEP_Q5_1, 1.14e-03, 1.34e-03, 2.61e-03, true},
    {LOCKSTEP_Q2_K, 7.19e-02, 8.06e-02, 1.11e-01, true},
    {LOCKSTEP_Q3_K, 2.09e-02, 2.50e-02, 4.46e-02, true},
    {LOCKSTEP_Q4_K, 5.00e-03, 5.93e-03, 1.13e-02, true},
    {LOCKSTEP_Q5_K, 1.25e-03, 1.49e-03, 2.83e-03, true},
    {LOCKSTEP_Q6_K, 2.99e-04, 3.73e-04, 1.16e-03, true},
    {LOCKSTEP_IQ2_XXS, 1.18e-01, 1.77e-01, 1.06e+00, false},
    {LOCKSTEP_IQ2_XS, 8.97e-02, 1.21e-01, 5.80e-01, false},
    {LOCKSTEP_IQ2_S, 6.18e-02, 9.44e-02, 5.48e-01, false},
    {LOCKSTEP_IQ3_XXS, 3.30e-02, 4.26e-02, 1.82e-01, false},
    {LOCKSTEP_IQ3_S, 1.87e-02, 2.76e-02, 1.54e-01, false},
    {LOCKSTEP_IQ1_S, 2.36e-01, 2.89e-01, 8.09e-01, false},
    {LOCKSTEP_IQ1_M, 2.03e-01, 2.37e-01, 6.09e-01, false},
    {LOCKSTEP_IQ4_NL, 5.61e-03, 6.59e-03, 2.05e-02, true},
    {LOCKSTEP_IQ4_XS, 5.71e-03, 6.75e-03, 2.02e-02, true},
    {LOCKSTEP_TQ1_0, 6.51e-01, 7.14e-01, 8.50e-01, false},
    {LOCKSTEP_TQ2_0, 6.51e-01, 7.14e-01, 8.50e-01, false},
    {LOCKSTEP_MXFP4, 1.32e-02, 1.67e-02, 5.79e-02, false},
    {LOCKSTEP_NVFP4, 9.05e-03, 1.75e-02, 2.53e-02, false},
    {LOCKSTEP_Q1_0, 3.61e-01, 4.25e-01, 9.79e-01, false},
    {LOCKSTEP_Q2_0, 5.15e-01, 5.47e-01, 6.84e-01, false},
    /* with a scale for each row, or (less than 8 bits) for groups of 128, of 32 (f4) or of 64 (nf4) */
    {LOCKSTEP_SCALED_E4M3, 7.02e-04, 6.97e-04, 9.65e-04, false},
    {LOCKSTEP_SCALED_E5M2, 2.77e-03, 2.74e-03, 3.85e-03, false},
    {LOCKSTEP_SCALED_I8, 7.53e-05, 4.49e-04, 7.07e-03, false},
    {LOCKSTEP_SCALED_I6, 6.99e-04, 1.21e-03, 8.31e-03, false},
    {LOCKSTEP_SCALED_I5, 2.88e-03, 4.80e-03, 3.35e-02, false},
    {LOCKSTEP_SCALED_I4, 1.23e-02, 2.01e-02, 1.05e-01, false},
    {LOCKSTEP_SCALED_I3, 5.65e-02, 8.82e-02, 2.66e-01, false},
    {LOCKSTEP_SCALED_I2, 2.53e-01, 3.13e-01, 4.95e-01, false},
    {LOCKSTEP_SCALED_F4, 1.33e-02, 1.67e-02, 5.79e-02, false},
    {LOCKSTEP_SCALED_NF4, 8.47e-03, 9.74e-03, 3.18e-02, false},
};
enum { ROWS = sizeof table / sizeof table[0] };

const ls_quality_row *ls_quality_of(lockstep_dtype dtype) {
    for (size_t i = 0; i < ROWS; i++)
        if (table[i].dtype == dtype)
            return &table[i];
    return NULL;
}

/* The error depends on a tensor's distribution: of the trained weights that were measured, the
 * worst tensor is within this factor. A tensor of zeros has an error of 1, which must never
 * be allowed. */
static double with_margin(double nmse) {
    const double margin = 2;
    return fmin(margin * nmse, (1 + nmse) / 2);
}

static double given(const ls_quality_row *row) { return row == NULL ? 0 : fmax(row->gaussian, row->trained); }

double ls_quality_allowed(lockstep_dtype a, lockstep_dtype b) {
    return with_margin(given(ls_quality_of(a)) + (a != b ? given(ls_quality_of(b)) : 0));
}

double ls_quality_allowed_row(lockstep_dtype a, lockstep_dtype b) {
    const ls_quality_row *x = ls_quality_of(a), *y = ls_quality_of(b);
    return with_margin((x != NULL ? x->row : 0) + (y != NULL && a != b ? y->row : 0));
}

/* Half a step next to 1, and half a step of the subnormal numbers. */
static bool rounding_of(lockstep_dtype dtype, double *atol, double *rtol) {
    static const struct {
        lockstep_dtype dtype;
        double rtol, atol;
    } steps[] = {{LOCKSTEP_F64, 0x1p-53, 0},        {LOCKSTEP_F32, 0x1p-24, 0x1p-150},   {LOCKSTEP_F16, 0x1p-11, 0x1p-25},
                 {LOCKSTEP_BF16, 0x1p-8, 0x1p-134}, {LOCKSTEP_F8_E4M3, 0x1p-4, 0x1p-10}, {LOCKSTEP_F8_E5M2, 0x1p-3, 0x1p-17}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i].dtype == dtype) {
            *atol += steps[i].atol;
            *rtol += steps[i].rtol;
            return true;
        }
    return ls_dtype(dtype)->block_elements == 1 && !ls_dtype(dtype)->is_float; /* integers are exact */
}

bool ls_quality_rounding(lockstep_dtype a, lockstep_dtype b, double *out_atol, double *out_rtol) {
    const double slack = 1.001; /* both types round, one after the other */
    double atol = 0, rtol = 0;
    if (!rounding_of(a, &atol, &rtol) || !rounding_of(b, &atol, &rtol))
        return false;
    *out_atol = atol * slack;
    *out_rtol = rtol * slack;
    return true;
}

double ls_quality_wrong_row(lockstep_dtype reference, lockstep_dtype candidate) {
    const double allowed = ls_quality_allowed_row(reference, candidate);
    return fmax(allowed, fmin(10 * allowed, 0.5));
}
