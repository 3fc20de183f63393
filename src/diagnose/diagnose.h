/* Why the first divergence diverged. Each rule fits a transform, applies it, and
 * says what is left; only one that leaves no more than the pair's tolerance counts. */
#ifndef LS_DIAGNOSE_DIAGNOSE_H
#define LS_DIAGNOSE_DIAGNOSE_H

#include "align/sight.h"

/* The pair's values, in the candidate's order; at most LS_EVIDENCE_MAX of them. */
typedef struct ls_evidence {
    ls_diff *diff;
    const ls_pair *pair;
    const ls_sight *sight;
    const double *reference, *candidate; /* both 0 where both are masked */
    double *scratch; /* room for as many */
    size_t count;
    size_t channels; /* size of the candidate's innermost axis; divides count */
} ls_evidence;

enum { LS_EVIDENCE_MAX = 1 << 18 };

enum { LS_FREE_PER_CHANNEL = -1 };

/* One row a rule. `fit` fills text and residual; false when it doesn't apply. */
typedef struct ls_cause_rule {
    const char *id;
    bool (*fit)(const ls_evidence *evidence, ls_cause *out_cause);
    int free; /* numbers that are fitted; more elements than these have to be explained by them */
} ls_cause_rule;

extern const ls_cause_rule ls_cause_rules[]; /* simplest first; ends with id == NULL */

bool ls_fit_scale(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_offset(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_unary(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_soft_cap(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_channel_scale(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_channel_offset(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_swapped(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_missing_term(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_rope_pairs(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_norm_eps(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_activation(const ls_evidence *evidence, ls_cause *out_cause);
bool ls_fit_rope_frequency(const ls_evidence *evidence, ls_cause *out_cause);

/* |a - b|_2 / |b|_2 over finite elements; infinite when b is all zeros and a isn't. */
double ls_residual(const double *a, const double *b, size_t count);

/* Fills diff->failing_rows, where one axis is that of the rows. */
void ls_find_failing_rows(ls_diff *diff, const ls_pair *pair, const ls_sight *sight);

/* Fills diff->causes and diff->failing_rows. Nothing happens when there is no divergence, or when it has no
 * values to look at. */
lockstep_status ls_diagnose(ls_diff *diff, lockstep_error *error);

#endif
