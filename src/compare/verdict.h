/* The result of comparing two tensors: a pair of activations or of weights. */
#ifndef LS_COMPARE_VERDICT_H
#define LS_COMPARE_VERDICT_H

#include <stdbool.h>

typedef enum ls_verdict {
    LS_VERDICT_IDENTICAL,
    LS_VERDICT_MATCH,        /* within tolerance */
    LS_VERDICT_EXPLAINED, /* of activations: beyond tolerance, but everything computed from it passes */
    LS_VERDICT_WORSE,        /* of weights: the same weight, but with more error than the two element types cause */
    LS_VERDICT_DIFFERS,      /* of weights: another weight */
    LS_VERDICT_DIVERGED,     /* of activations: beyond tolerance */
    LS_VERDICT_NONFINITE,    /* NaN, or an infinity on one side only */
    LS_VERDICT_SHAPE,        /* no layout makes the shapes agree */
    LS_VERDICT_UNSUPPORTED,  /* the values of a side can't be read or decoded */
    LS_VERDICT_UNALIGNED,    /* only some rows are shared, and these shapes don't show which axis has the rows */
    LS_VERDICT_COUNT
} ls_verdict;

const char *ls_verdict_name(ls_verdict verdict);
static inline bool ls_verdict_fails(ls_verdict verdict) { return verdict > LS_VERDICT_EXPLAINED; }
/* False if the two could not be compared, so that nothing is known. */
static inline bool ls_verdict_is_known(ls_verdict verdict) { return verdict < LS_VERDICT_UNSUPPORTED; }
/* Whether metrics were computed. */
static inline bool ls_verdict_has_metrics(ls_verdict verdict) { return verdict < LS_VERDICT_SHAPE; }

#endif
