#include "checkpoint/quality.h"

#include <math.h>
#include <stddef.h>

/* Measured with ggml's own quantizers (bench/type_error.py): 2^22 normally distributed
 * values; the 39 matrices of a trained BERT. */
const ls_quality_row ls_quality_rows[] = {
    /*               gaussian  trained   row */
    {LOCKSTEP_F32, 0, 5e-14, 5e-14}, /* a change computed in floats: half an ulp of each element */
    {LOCKSTEP_F16, 4.32e-08, 4.33e-08, 8.78e-08},
    {LOCKSTEP_BF16, 2.76e-06, 2.86e-06, 6.59e-06},
    {LOCKSTEP_Q8_0, 2.86e-05, 4.17e-05, 1.60e-04},
    {LOCKSTEP_Q4_0, 6.67e-03, 8.74e-03, 3.34e-02},
};
const size_t ls_quality_count = sizeof ls_quality_rows / sizeof ls_quality_rows[0];

const ls_quality_row *ls_quality_of(lockstep_dtype dtype) {
    for (size_t i = 0; i < ls_quality_count; i++)
        if (ls_quality_rows[i].dtype == dtype)
            return &ls_quality_rows[i];
    return NULL;
}

/* A tensor's own distribution moves the error: measured on trained weights, the worst
 * tensor is within this factor. What isn't there at all has an error of 1, which no type
 * may have. */
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
