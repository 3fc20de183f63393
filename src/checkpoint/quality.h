/* The quantization error that is typical of a type: that of ggml's own quantizers (or of
 * rounding), as measured on weights (docs/metrics.md). */
#ifndef LS_CHECKPOINT_QUALITY_H
#define LS_CHECKPOINT_QUALITY_H

#include <stdbool.h>

#include "tensor/dtype.h"

typedef struct ls_quality_row {
    lockstep_dtype dtype;
    double gaussian; /* NMSE of normally distributed weights */
    double trained;  /* the largest NMSE of a trained BERT's matrices */
    double row;      /* the largest NMSE of a row of these */
    bool keeps_size; /* what it gives is the original times 1 - NMSE to 1, on average, whatever the distribution */
} ls_quality_row;

/* NULL for a type that holds every value exactly: integers, f64. */
const ls_quality_row *ls_quality_of(lockstep_dtype dtype);
/* The NMSE that a pair of these types may have: twice what is typical of them. */
double ls_quality_allowed(lockstep_dtype a, lockstep_dtype b);
/* The error of rounding an element to these types: |d| <= atol + rtol |reference|.
 * False if one of them is a block type, whose errors depend on neighboring elements. */
bool ls_quality_rounding(lockstep_dtype a, lockstep_dtype b, double *out_atol, double *out_rtol);
/* The same for a row. */
double ls_quality_allowed_row(lockstep_dtype a, lockstep_dtype b);
/* A row with a larger NMSE is not the reference's. */
double ls_quality_wrong_row(lockstep_dtype reference, lockstep_dtype candidate);

#endif
