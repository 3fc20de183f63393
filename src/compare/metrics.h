/* All metrics of two tensors in one pass (formulas: docs/metrics.md). */
#ifndef LS_COMPARE_METRICS_H
#define LS_COMPARE_METRICS_H

#include "compare/row_metrics.h"
#include "compare/shares.h"
#include "tensor/tensor.h"

/* Below this a value is a mask, not a number: what it is added to is blocked. */
#define LS_MASK_BELOW (-1e30)

/* d = candidate - reference; sums are over the elements that are finite on both
 * sides and masked on neither. Indexes are flat, row-major. NaN where a figure does not
 * exist. */
typedef struct ls_metrics {
    uint64_t elements, finite;
    bool identical; /* equal bits after decoding, everywhere (-0 is not 0; NaN is NaN) */
    double max_abs, max_rel, mean_abs, mean_rel, rmse;
    double rel_l2;            /* |d|_2 / |reference|_2; 0 when both are 0 */
    double nmse, nmse_var;    /* by the reference's mean square; by its variance */
    double max_abs_over_max;  /* max|d| / max|reference| */
    double sqnr_db, cosine;
    uint64_t max_abs_at, max_rel_at;
    double max_abs_reference, max_abs_candidate; /* the values at max_abs_at */
    double max_ulp;           /* for two f32, f16 or bf16 tensors of one type; else NaN */
    uint64_t above[LS_SHARES];
    uint64_t beyond;          /* elements with |d| > atol + rtol |reference| */
    uint64_t beyond_loose;    /* the same for a profile's second limits; the caller's to fill */
    uint64_t nan_reference, nan_candidate, inf_reference, inf_candidate;
    uint64_t nonfinite_differ; /* NaN or infinite on one side, or of another sign */
    uint64_t masked;           /* masked on both sides */
    uint64_t masked_differ;    /* masked on one side, a number on the other */
    double masked_spread;      /* of the finite masked values of a side: (max - min) / |min|, the larger of both */
    double masked_rel;         /* max |d| / |reference| where both are masked, but one not below LS_MASK_BELOW */
    struct ls_side_stats {
        double min, max, mean, std, l2; /* of its finite values */
        uint64_t hash; /* of its values as floats (as doubles, where a side needs them), where it was asked for */
    } reference, candidate;
    ls_row_metrics rows;
} ls_metrics;

typedef struct ls_compare_options {
    double atol, rtol;   /* only feed `beyond` */
    uint64_t row_length; /* figures of each row of so many elements; 0: none */
    bool hash;
    /* Values at or below this are a mask, on each side; 0: none are. */
    double mask_reference, mask_candidate;
} ls_compare_options;

/* Compares two views of equal element counts, in the row-major order of each.
 * Runs on all cores; the result does not depend on their number. */
lockstep_status ls_compare(const ls_view *reference, const ls_view *candidate, const ls_compare_options *options,
                           ls_metrics *out_metrics, lockstep_error *error);

#endif
