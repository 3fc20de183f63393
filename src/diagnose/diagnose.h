/* Why the first divergence diverged. Each rule fits a transform, applies it, and
 * says what is left; only one that leaves no more than the pair's tolerance counts. */
#ifndef LS_DIAGNOSE_DIAGNOSE_H
#define LS_DIAGNOSE_DIAGNOSE_H

#include "compare/cause.h"
#include "diff/model.h"
#include "match/aligned_pair.h"

enum { LS_CAUSES_MAX = 4 };

/* Rows of the candidate's pass in which the first divergence is beyond tolerance. */
typedef struct ls_failing_rows {
    size_t count, of;     /* of those that were compared; 0: not known */
    uint32_t first, last;
} ls_failing_rows;

/* Places along an axis of the candidate, as it was compared, in which the first divergence is beyond tolerance: some, but not all. */
typedef struct ls_failing_places {
    int axis; /* from outside */
    bool is_last;
    uint64_t count, of, first, last;
} ls_failing_places;
enum { LS_FAILING_AXES = 4 };

/* A rule that applies, and what it leaves, whether or not that explains anything. */
typedef struct ls_attempt {
    ls_cause cause;
    bool explains;
} ls_attempt;

/* Of one pair; at most one for each rule. */
enum { LS_ATTEMPTS_MAX = 32 };
typedef struct ls_attempts {
    ls_attempt items[LS_ATTEMPTS_MAX];
    size_t count;
} ls_attempts;

typedef struct ls_diagnosis {
    ls_cause causes[LS_CAUSES_MAX]; /* of the first divergence, best first */
    size_t cause_count;
    ls_failing_rows failing_rows;
    ls_failing_places axes[LS_FAILING_AXES]; /* beside that of the rows */
    size_t axis_count;
} ls_diagnosis;

/* The pair's values, in the candidate's order; at most LS_EVIDENCE_MAX of them. */
typedef struct ls_evidence {
    ls_diff *diff;
    const ls_pair *pair;
    const ls_aligned_pair *aligned;
    const double *reference, *candidate; /* both 0 where both are masked */
    double *scratch; /* room for as many */
    size_t count;
    size_t channels; /* size of the candidate's innermost axis; divides count */
} ls_evidence;

enum { LS_EVIDENCE_MAX = 1 << 18 };

/* JUDGED: the rule reads the tensors itself, whatever their shapes, and says what explains them; no other is tried then. */
enum { LS_FREE_PER_CHANNEL = -1, LS_FREE_PROVEN = -2, LS_FREE_JUDGED = -3 };

#define LS_CAUSE_ROW(id, function, ...) bool function(const ls_evidence *evidence, ls_cause *out_cause);
#include "diagnose/cause_table.h"
#undef LS_CAUSE_ROW

/* |a - b|_2 / |b|_2 over finite elements; infinite when b is all zeros and a isn't. */
double ls_residual(const double *a, const double *b, size_t count);

/* Relative L2 that the rounding of the operation's own weight leaves, whatever the cause; 0 where it is not known. */
double ls_evidence_rounding(const ls_evidence *evidence);

/* Finds the failing rows, where one axis of the pair is that of the rows. */
void ls_find_failing_rows(const ls_diff *diff, const ls_pair *pair, const ls_aligned_pair *aligned, ls_failing_rows *out_rows);

/* Finds the places along the other axes. */
void ls_find_failing_places(const ls_diff *diff, const ls_pair *pair, const ls_aligned_pair *aligned, ls_diagnosis *out_diagnosis);

/* Looks for the cause of a divergence. The diagnosis is empty when the pair does not diverge, or there are no values
 * to look at. attempts: NULL, or receives what was tried. */
lockstep_status ls_diagnose_pair(ls_diff *diff, const ls_pair *pair, ls_diagnosis *out_diagnosis, ls_attempts *out_attempts, lockstep_error *error);
/* The same for the first divergence, if there is one. */
lockstep_status ls_diagnose(ls_diff *diff, ls_diagnosis *out_diagnosis, lockstep_error *error);

#endif
