/* What a type does to weights: the error that ggml's own quantizers (or rounding)
 * leave on them, as measured (docs/metrics.md). */
#ifndef LS_CHECKPOINT_QUALITY_H
#define LS_CHECKPOINT_QUALITY_H

#include <stdbool.h>

#include "tensor/dtype.h"

typedef struct ls_quality_row {
    lockstep_dtype dtype;
    double gaussian; /* NMSE of normally distributed weights */
    double trained;  /* the largest NMSE of a trained BERT's matrices */
    double row;      /* the largest NMSE of a row of these */
} ls_quality_row;

extern const ls_quality_row ls_quality_rows[];
extern const size_t ls_quality_count;

/* NULL for a type that holds what it is given: integers, f64. */
const ls_quality_row *ls_quality_of(lockstep_dtype dtype);
/* The NMSE that a pair of these types may have: twice what each gives. */
double ls_quality_allowed(lockstep_dtype a, lockstep_dtype b);
/* What rounding to these types does to an element: |d| <= atol + rtol |reference|.
 * False where one of them is a block type, whose errors depend on the neighbours. */
bool ls_quality_rounding(lockstep_dtype a, lockstep_dtype b, double *out_atol, double *out_rtol);
/* The same for a row. */
double ls_quality_allowed_row(lockstep_dtype a, lockstep_dtype b);

#endif
