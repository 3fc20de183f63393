/* A reference and a candidate tensor that correspond, and what comparing them showed. */
#ifndef LS_MATCH_PAIR_H
#define LS_MATCH_PAIR_H

#include "compare/metrics.h"
#include "compare/verdict.h"
#include "match/layout.h"
#include "match/method.h"
#include "preset/rules.h"

/* Why a pair beyond tolerance may be no fault: see diff/excuses.h. */
typedef enum ls_excuse {
    LS_EXCUSE_NONE,
    LS_EXCUSE_NOISE,      /* little beyond, and no more than its inputs or other layers have */
    LS_EXCUSE_FACTOR,     /* one factor, undone later */
    LS_EXCUSE_SOFTMAX,    /* a constant in each row, which the softmax cancels */
    LS_EXCUSE_MASKED,     /* masked on one side already, on the other only later */
    LS_EXCUSE_SHIFTED,    /* depends on positions, and one side pads its batch in front */
    LS_EXCUSE_ALL_LAYERS, /* the same tensor differs as much in every layer */
    LS_EXCUSE_REPLAYED,   /* right when it is computed from the reference's values: rounding of weights and kernels has added up */
    LS_EXCUSE_STEP,       /* pictures that differ by one 8-bit step here and there */
    LS_EXCUSE_ACCEPTED,   /* the user has accepted what explains it */
    LS_EXCUSE_COUNT
} ls_excuse;

/* What the graph around a pair makes of its metrics. */
typedef struct ls_mark {
    ls_verdict verdict;
    ls_excuse excuse;  /* of an explained pair */
    double tolerance;  /* on the relative L2 */
    bool exact_inputs; /* everything that it was computed from is identical */
    bool downstream;   /* fails, but something that it depends on failed before */
} ls_mark;

/* The text of a layout in which the reference gathers the rows of each expert. */
#define LS_ROWS_BY_EXPERT "rows by expert"
/* And of one in which its heads are in another order. */
#define LS_HEADS_REGROUPED "heads regrouped"

typedef struct ls_pair {
    size_t reference, candidate;             /* the nodes whose names paired */
    size_t reference_value, candidate_value; /* the nodes that hold the values */
    size_t pass_pair;                        /* its index in the token alignment */
    ls_method method;
    const ls_rule *rule;  /* of the map or the preset; NULL */
    ls_reorder reorder;   /* of the reference's elements, where no rule says it */
    const uint64_t *order; /* of the reference's rows, where that is another; NULL. Borrowed */
    bool orders_elements;  /* it is of elements instead */
    const struct ls_layout_vote *permutation; /* of axes, where it is known; NULL. Borrowed */
    bool is_extra;        /* the candidate's tensor has another pair, which stands for it */
    bool is_compared;
    bool has_one_layout;  /* no other permutation makes the shapes agree */
    bool is_score;        /* feeds a softmax, where large negative values are a mask */
    bool is_resynced;     /* the candidate went on with the reference's values */
    const char *layout;   /* what was done to compare them; NULL before, and where nothing helps */
    ls_metrics metrics;   /* valid unless the shapes don't agree or a side can't be read */
    uint64_t elements;    /* of the candidate that were compared */
    bool reference_is_cut; /* the reference's tensor holds fewer rows than its pass has */
    int precision;        /* the class, an index of ls_precision_classes */
    double mask_reference, mask_candidate; /* values at or below these are a mask */
    double steps;         /* of pictures in 8 bits of which no element is more than a step off: the share that is; else 0 */
    double left_of_rows;  /* of scores that diverged: relative L2 once each row's mean difference is taken away */
    double left;          /* of a resynced pair: relative L2 after it, which is what the element type can't hold */
    const char *reason;   /* why the pair could not be compared */
    const char *grade;    /* in the profile's words, or NULL */
    ls_mark mark;
} ls_pair;

typedef struct ls_pairs {
    ls_pair *items; /* in the candidate's order once the comparison is finished, or the reference's (ls_diff_result) */
    size_t count, capacity;
} ls_pairs;

static inline bool ls_mark_is_known(const ls_mark *mark) { return ls_verdict_is_known(mark->verdict); }
static inline bool ls_mark_fails(const ls_mark *mark) { return ls_verdict_fails(mark->verdict); }
static inline bool ls_pair_is_known(const ls_pair *pair) { return ls_mark_is_known(&pair->mark); }
static inline bool ls_pair_fails(const ls_pair *pair) { return ls_mark_fails(&pair->mark); }
/* What the reference's elements have to be reordered by. */
static inline ls_reorder ls_pair_reorder(const ls_pair *pair) { return pair->rule != NULL ? pair->rule->reorder : pair->reorder; }
/* Its metrics are valid. */
static inline bool ls_pair_has_metrics(const ls_pair *pair) { return ls_verdict_has_metrics(pair->mark.verdict); }

#endif
