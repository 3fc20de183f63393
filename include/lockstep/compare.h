/* Comparing two traces or two checkpoints, as `lockstep diff` does.
 *
 *   1. traces    2. checkpoints
 *
 * A comparison is immutable: any number of threads may read it.
 */
#ifndef LOCKSTEP_COMPARE_H
#define LOCKSTEP_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lockstep/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default) /* the shared library exports what is declared here */

/* --------------------------------------------------------------- 1. traces */

/* The result of `lockstep diff` for two traces or other containers (docs/diff.md). */
typedef struct lockstep_trace_comparison lockstep_trace_comparison;

/* How to compare. Set `size`; members that are zero or NULL mean the defaults of `lockstep diff`. */
typedef struct lockstep_trace_options {
    size_t size;         /* sizeof(lockstep_trace_options) */
    const char *map;     /* a file of naming rules (docs/presets.md) */
    const char *preset;  /* a preset's name, or "none" */
    const char *tensors; /* regular expression for the candidate's names */
    const char *layers;  /* "0-3,7" */
    const char *passes;  /* "0:2,1:5": pass 0 of the reference with pass 2 of the candidate, and so on */
    const char *profile; /* docs/metrics.md */
    bool elementwise;    /* every element within atol + rtol * |reference|, as numpy.allclose */
    double atol, rtol;
    double min_coverage; /* share of the elements that must be compared, 0 to 1; 0 for the default, 0.5 */
} lockstep_trace_options;

/* A pair of tensors. Strings belong to the comparison. */
typedef struct lockstep_pair {
    const char *reference, *candidate; /* names, as recorded */
    const char *operation;             /* the candidate's, in its engine's spelling; "" if unknown */
    const char *method;                /* how the pair was found: "name", "preset", … */
    const char *layout;                /* how shapes were made equal: "as is", …; "" if that is impossible */
    const char *verdict;               /* "identical", "match", "explained", "diverged", … */
    bool fails;                        /* counts against a match */
    bool downstream;                   /* fails, but something that it depends on failed before */
    int layer;                         /* -1 outside blocks */
    uint64_t pass, order;              /* of the candidate: forward call, and position in the trace */
    uint64_t elements;                 /* number of elements compared */
    double rel_l2, max_abs, max_rel, cosine; /* docs/metrics.md; NaN if the pair was not compared */
    double tolerance;                  /* for rel_l2, unless a profile or atol and rtol decide */
} lockstep_pair;

/* Why the first divergence diverged. Strings belong to the comparison. */
typedef struct lockstep_cause {
    const char *id;  /* "scale", "swapped-with", … (docs/diff.md) */
    const char *text; /* one line */
    double residual; /* relative L2 that remains after undoing it */
} lockstep_cause;

/* Compares two traces on all cores, which takes as long as reading both. `options` may be NULL. On failure,
 * *out_comparison is untouched and `error` (may be NULL) is filled: LOCKSTEP_INVALID_ARGUMENT for wrong options,
 * otherwise the error of opening the files. A divergence is not a failure. */
lockstep_status lockstep_traces_compare(const char *reference, const char *candidate, const lockstep_trace_options *options,
                                        lockstep_trace_comparison **out_comparison, lockstep_error *error);
/* NULL is allowed. */
void lockstep_trace_comparison_close(lockstep_trace_comparison *comparison);
/* "match", "match (eager)", "diverged", "inputs-differ" or "incomparable". */
const char *lockstep_trace_comparison_verdict(const lockstep_trace_comparison *comparison);
/* The exit status of `lockstep diff` for it: 0 for a match, 1 for a divergence or different inputs, 2 otherwise. */
int lockstep_trace_comparison_exit_status(const lockstep_trace_comparison *comparison);
/* One line that says why there is no match; "" if the pairs show it, or if there is a match. */
const char *lockstep_trace_comparison_reason(const lockstep_trace_comparison *comparison);
/* The share of the candidate's elements that were compared, 0 to 1. */
double lockstep_trace_comparison_coverage(const lockstep_trace_comparison *comparison);
/* The number of pairs, which are in the order of execution. */
size_t lockstep_trace_comparison_pair_count(const lockstep_trace_comparison *comparison);
/* LOCKSTEP_INVALID_ARGUMENT if index is out of range. */
lockstep_status lockstep_trace_comparison_pair(const lockstep_trace_comparison *comparison, size_t index, lockstep_pair *out_pair);
/* The index of the pair of the first divergence; SIZE_MAX if there is none. */
size_t lockstep_trace_comparison_first(const lockstep_trace_comparison *comparison);
/* Causes of the first divergence, best first. */
size_t lockstep_trace_comparison_cause_count(const lockstep_trace_comparison *comparison);
lockstep_status lockstep_trace_comparison_cause(const lockstep_trace_comparison *comparison, size_t index, lockstep_cause *out_cause);
/* Writes the report of `lockstep diff --json` to a file. */
lockstep_status lockstep_trace_comparison_write_json(const lockstep_trace_comparison *comparison, const char *path, lockstep_error *error);

/* ---------------------------------------------------------- 2. checkpoints */

/* The result of `lockstep diff` for two checkpoints (docs/checkpoints.md). */
typedef struct lockstep_comparison lockstep_comparison;

/* A weight of the candidate (or a part of one) and the corresponding one of the reference.
 * Strings belong to the comparison. */
typedef struct lockstep_weight {
    const char *reference, *candidate; /* names, as in the files */
    const char *verdict;               /* "identical", "match", "worse", "differs", … */
    bool fails;                        /* neither identical nor match */
    double nmse;                       /* sum d^2 / sum reference^2; NaN if it wasn't compared */
    double allowed_nmse;               /* the largest NMSE that the two types explain */
    const char *layout;                /* the converter's changes that were applied; "" if none */
    const char *cause;                 /* why it fails, if a cause was found by trial; or NULL */
} lockstep_weight;

/* Compares configuration, vocabulary and weights. On failure, *out_comparison is
 * untouched and `error` (may be NULL) is filled. */
lockstep_status lockstep_checkpoints_compare(const char *reference, const char *candidate,
                                             lockstep_comparison **out_comparison, lockstep_error *error);
/* NULL is allowed. */
void lockstep_comparison_close(lockstep_comparison *comparison);
/* Whether no finding fails, and something was compared. */
bool lockstep_comparison_matches(const lockstep_comparison *comparison);
/* Findings are lines of text, most suspicious first, escaped for a terminal. NULL if index
 * is out of range. */
size_t lockstep_comparison_finding_count(const lockstep_comparison *comparison);
const char *lockstep_comparison_finding(const lockstep_comparison *comparison, size_t index, bool *out_fails);
/* Pairs of weights, in the order of the candidate's file. */
size_t lockstep_comparison_weight_count(const lockstep_comparison *comparison);
lockstep_status lockstep_comparison_weight(const lockstep_comparison *comparison, size_t index,
                                           lockstep_weight *out_weight);
/* The index of the first pair of the candidate's tensor that an engine calls `name`; SIZE_MAX
 * if there is none. */
size_t lockstep_comparison_find(const lockstep_comparison *comparison, const char *name);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
