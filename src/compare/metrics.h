/* All metrics of two tensors in one pass (formulas: docs/metrics.md). */
#ifndef LS_COMPARE_METRICS_H
#define LS_COMPARE_METRICS_H

#include "compare/row_metrics.h"
#include "compare/shares.h"
#include "tensor/tensor.h"

/* A value below this is a mask, not a number: it blocks what it is added to. */
#define LS_MASK_BELOW (-1e30)

/* d = candidate - reference. Sums are over the elements that are finite on both sides and
 * masked on neither. Indexes are flat and row-major. Values that don't exist are NaN. */
typedef struct ls_metrics {
    uint64_t elements, finite;
    bool identical; /* equal bits after decoding, everywhere (-0 is not 0; NaN is NaN) */
    double max_abs, max_rel, mean_abs, mean_rel, rmse;
    double rel_l2;            /* |d|_2 / |reference|_2; 0 if both are 0 */
    double nmse, nmse_var;    /* relative to the reference's mean square; to its variance */
    double max_abs_over_max;  /* max|d| / max|reference| */
    double sqnr_db, cosine;
    uint64_t max_abs_at, max_rel_at;
    double max_abs_reference, max_abs_candidate; /* the values at max_abs_at */
    double max_ulp;           /* for two f32, f16 or bf16 tensors of one type; else NaN */
    uint64_t above[LS_SHARES];
    uint64_t beyond;          /* elements with |d| > atol + rtol |reference| */
    uint64_t beyond_loose;    /* the same for a profile's second limits; filled by the caller */
    uint64_t nan_reference, nan_candidate, inf_reference, inf_candidate;
    uint64_t nonfinite_differ; /* NaN or infinite on one side only, or with another sign */
    uint64_t masked;           /* masked on both sides */
    uint64_t masked_differ;    /* masked on one side, a number on the other */
    double masked_spread;      /* (max - min) / |min| of a side's finite masked values; the larger of both sides */
    double masked_rel;         /* max |d| / |reference| if masked on both sides, but not both below LS_MASK_BELOW */
    struct ls_side_stats {
        double min, max, mean, std, l2; /* over finite values */
        uint64_t hash; /* of the values as floats (as doubles if a side needs them), if requested */
    } reference, candidate;
    ls_row_metrics rows;
} ls_metrics;

typedef struct ls_compare_options {
    double atol, rtol;   /* only affect `beyond` */
    uint64_t row_length; /* elements per row for row metrics; 0 for none */
    bool hash;
    /* For each side, values at or below this are a mask; 0 if there is none. */
    double mask_reference, mask_candidate;
} ls_compare_options;

/* Compares two views with equal numbers of elements, each in its row-major order.
 * Runs on all cores; the result does not depend on their number. */
lockstep_status ls_compare(const ls_view *reference, const ls_view *candidate, const ls_compare_options *options,
                           ls_metrics *out_metrics, lockstep_error *error);

#endif
