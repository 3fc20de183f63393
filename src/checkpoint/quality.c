#include "checkpoint/quality.h"

#include <stddef.h>

/* PLACEHOLDER FIGURES */
const ls_quality_row ls_quality_rows[] = {
    {LOCKSTEP_F32, 0, 1e-13, 1e-13},
    {LOCKSTEP_F16, 4.3e-8, 4.3e-8, 5e-8},
    {LOCKSTEP_BF16, 2.8e-6, 2.8e-6, 5e-6},
    {LOCKSTEP_Q8_0, 3e-5, 5e-5, 1e-4},
    {LOCKSTEP_Q4_0, 8e-3, 1e-2, 2e-2},
};
const size_t ls_quality_count = sizeof ls_quality_rows / sizeof ls_quality_rows[0];

const ls_quality_row *ls_quality_of(lockstep_dtype dtype) {
    for (size_t i = 0; i < ls_quality_count; i++)
        if (ls_quality_rows[i].dtype == dtype)
            return &ls_quality_rows[i];
    return NULL;
}

/* A tensor's own distribution moves the error: measured on trained weights, the
 * worst tensor is within this of the figure kept for the type. */
static const double margin = 2;

static double given(lockstep_dtype dtype) {
    const ls_quality_row *row = ls_quality_of(dtype);
    return row == NULL ? 0 : row->gaussian > row->trained ? row->gaussian : row->trained;
}

double ls_quality_allowed(lockstep_dtype a, lockstep_dtype b) { return margin * (given(a) + (a != b ? given(b) : 0)); }

double ls_quality_allowed_row(lockstep_dtype a, lockstep_dtype b) {
    const ls_quality_row *x = ls_quality_of(a), *y = ls_quality_of(b);
    return margin * ((x != NULL ? x->row : 0) + (y != NULL && a != b ? y->row : 0));
}
