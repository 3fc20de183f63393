/* Whether each recorded operation gives, on its own recorded inputs, what was recorded: a wrong kernel or a dump that
 * lies shows without any reference. */
#ifndef LS_VERIFY_VERIFY_H
#define LS_VERIFY_VERIFY_H

#include "base/arena.h"
#include "eval/models.h"
#include "verify/testimony.h"

/* One operation. */
typedef struct ls_check {
    size_t node, family;
    const char *reason; /* why it was not checked; NULL if it was */
    uint64_t compared;  /* elements */
    double share;       /* of its rows, which were computed: 1 but for dear operations */
    double error, row_error; /* relative L2 of all, and of the worst row; infinite where only the recorded value is not finite */
    uint64_t worst_row;
    double bound;
    bool is_empty;      /* no finite number but zeros: it says nothing about the noise of its family */
    bool is_outlier;    /* within its bound, but far from the others of its family */
    ls_fault fault;
} ls_check;

/* Operations of one kind, on one type of weights. */
typedef struct ls_check_family {
    const ls_op *op;
    const char *type;
    bool one_row;     /* of one token */
    uint64_t queries; /* of fused attention, whose kernel is chosen by their number; 0 of others */
    bool equal_types; /* of a product: that of both operands */
    size_t count; /* that were checked */
    double median, median_row, largest, bound;
    size_t worst; /* check */
} ls_check_family;

/* Why operations were not checked. */
typedef struct ls_check_reason {
    const char *text;
    size_t count, first; /* operations; the first check */
} ls_check_reason;

typedef struct ls_verification {
    const ls_trace *trace;
    ls_check *checks; /* of each operation that computes something, in order */
    size_t count, capacity, checked, sampled, failed;
    size_t reduced; /* products of f32 that agree, multiplied in TF32, f16 or bf16 */
    ls_check_family *families;
    size_t family_count, family_capacity;
    ls_check_reason *reasons;
    size_t reason_count, reason_capacity;
} ls_verification;

/* models: files that have the weights, which traces usually lack. exact: of large products, too, all rows are computed.
 * Everything is borrowed. */
lockstep_status ls_verify(const ls_trace *trace, const ls_models *models, bool exact, ls_verification *out_verification,
                          lockstep_error *error);
/* Checks those of the operations again that are wanted (per node), in all of their rows. */
void ls_verify_all_rows(ls_verification *verification, const ls_models *models, const bool *wanted);
void ls_verification_done(ls_verification *verification);

#endif
