/* Two checkpoints compared: configuration, vocabulary, weights. */
#ifndef LS_CHECKPOINT_CHECKPOINT_DIFF_H
#define LS_CHECKPOINT_CHECKPOINT_DIFF_H

#include "checkpoint/settings.h"
#include "checkpoint/vocabulary.h"
#include "checkpoint/weights.h"

typedef enum ls_what { LS_WHAT_CONFIG = 1, LS_WHAT_VOCAB = 2, LS_WHAT_WEIGHTS = 4, LS_WHAT_ALL = 7 } ls_what;

/* The most suspicious first. */
typedef enum ls_finding_kind {
    LS_FINDING_CONFIG,
    LS_FINDING_VOCAB,
    LS_FINDING_NONFINITE,
    LS_FINDING_SHAPE,
    LS_FINDING_MISSING, /* in the reference only */
    LS_FINDING_EXTRA,   /* in the candidate only */
    LS_FINDING_NAMES,   /* a pair by content whose names contradict it */
    LS_FINDING_DUPLICATE,
    LS_FINDING_COMMON,  /* one cause shared by several tensors */
    LS_FINDING_DIFFERS,
    LS_FINDING_WORSE,
    LS_FINDING_LOST_ROWS,
    LS_FINDING_UNSUPPORTED, /* a weight that can't be decoded */
    LS_FINDING_UNREAD,      /* anything else that can't be compared although both sides may have it */
    LS_FINDING_COVERAGE,
    LS_FINDING_REMARK,
    LS_FINDING_KINDS
} ls_finding_kind;

typedef struct ls_finding {
    ls_finding_kind kind;
    bool fails;
    bool gap;         /* something could not be compared, so the verdict is not a match */
    double weight;    /* larger is more suspicious, within a kind */
    const char *text; /* escaped */
    size_t pair;      /* of weights.pairs, or SIZE_MAX */
} ls_finding;

typedef struct ls_checkpoint_options {
    unsigned what; /* of ls_what */
    double min_coverage;
    ls_weights_options weights;
} ls_checkpoint_options;

typedef struct ls_checkpoint_diff {
    ls_checkpoint sides[LS_SIDES];
    unsigned what;
    ls_settings settings;
    ls_vocabulary vocabulary;
    ls_weights weights;
    ls_finding *findings;
    size_t finding_count, finding_capacity;
    double coverage;
    bool comparable; /* some of the requested parts could be compared */
    bool matches;    /* and no finding fails, or is a gap */
    bool differs;    /* a finding fails */
    ls_arena arena;
} ls_checkpoint_diff;

/* out_diff is large and must not move until it is done. */
lockstep_status ls_checkpoint_diff_run(const char *reference, const char *candidate, const ls_checkpoint_options *options,
                                       ls_checkpoint_diff *out_diff, lockstep_error *error);
/* Compares two tensors that are known to correspond, and adds them to the pairs of weights. */
lockstep_status ls_checkpoint_diff_pair(ls_checkpoint_diff *diff, size_t reference, size_t candidate, lockstep_error *error);
void ls_checkpoint_diff_done(ls_checkpoint_diff *diff);
const char *ls_finding_kind_name(ls_finding_kind kind);
/* "match", "differs", "incomplete" (nothing differs, but something could not be compared)
 * or "incomparable". */
const char *ls_checkpoint_verdict_name(const ls_checkpoint_diff *diff);

/* For checkpoint_diff.c: turns the results of the steps into findings. */
lockstep_status ls_checkpoint_judge(ls_checkpoint_diff *diff, double min_coverage, lockstep_error *error);

#endif
