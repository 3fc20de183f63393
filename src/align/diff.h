/* Two traces compared: pairs, verdicts, and where they first part ways. */
#ifndef LS_ALIGN_DIFF_H
#define LS_ALIGN_DIFF_H

#include "align/columns.h"
#include "align/noise.h"
#include "align/rows.h"
#include "preset/rules.h"
#include "align/values.h"
#include "compare/tolerance.h"
#include "trace/trace.h"

typedef enum ls_how {
    LS_HOW_MAP,
    LS_HOW_NAME,
    LS_HOW_PRESET,
    LS_HOW_ELIMINATION, /* neither side has another tensor */
    LS_HOW_CONTENT,     /* each is the other's closest by far */
    LS_HOW_PLACE,       /* in the same place of both, which have no names */
    LS_HOW_OUTPUT,      /* both are what their pass gives in the end */
    LS_HOW_COUNT
} ls_how;

typedef enum ls_verdict {
    LS_VERDICT_IDENTICAL,
    LS_VERDICT_MATCH,
    LS_VERDICT_REFORMULATED, /* beyond tolerance, but everything computed from it passes */
    LS_VERDICT_DIVERGED,
    LS_VERDICT_NONFINITE,    /* NaN, or an infinity on one side only */
    LS_VERDICT_SHAPE,        /* no layout makes the shapes agree */
    LS_VERDICT_UNSUPPORTED,  /* the values of a side can't be read */
    LS_VERDICT_UNALIGNED,    /* only some rows are shared, and they can't be told in these shapes */
} ls_verdict;

/* Why a pair beyond tolerance may be no fault: see reformulated.h. */
typedef enum ls_excuse {
    LS_EXCUSE_NONE,
    LS_EXCUSE_NOISE,      /* little beyond, and no more than its inputs or other layers have */
    LS_EXCUSE_FACTOR,     /* one factor, undone later */
    LS_EXCUSE_SOFTMAX,    /* a constant in each row, which the softmax cancels */
    LS_EXCUSE_MASKED,     /* masked on one side already, on the other only later */
    LS_EXCUSE_SHIFTED,    /* of positions, where a batch is padded in front on one side */
    LS_EXCUSE_ALL_LAYERS, /* the same tensor differs as much in every layer */
    LS_EXCUSE_COUNT
} ls_excuse;

typedef struct ls_pair {
    size_t reference, candidate;             /* the nodes with the names that paired */
    size_t reference_value, candidate_value; /* the nodes with the values */
    size_t passes;                           /* index into rows.pairs */
    ls_how how;
    const ls_rule *rule;                     /* of the map or the preset; NULL */
    char layout[160];
    ls_metrics metrics;   /* valid unless shape or unsupported */
    int noise;            /* row of ls_noise_rows */
    double tolerance;     /* on the relative L2, of that row at this depth */
    ls_verdict verdict;
    ls_excuse excuse;     /* of a reformulated pair */
    bool consequence;     /* fails, but something that it depends on failed before */
    bool extra;           /* the candidate's tensor has another pair, which stands for it */
    bool is_scores;       /* goes into a softmax, where large negative values are a mask */
    double left_of_rows;  /* of scores that diverged: relative L2 once each row's mean difference is taken away */
    bool exact_inputs;    /* all that it was computed from is identical */
    double mask_reference, mask_candidate; /* values at or below these are a mask */
    uint64_t elements;    /* of the candidate that were compared */
    const char *trouble;  /* for shape and unsupported */
    bool compared;
    bool resynced;        /* the candidate went on with the reference's values */
    double left;          /* relative L2 after that: what its element type can't hold */
    const char *grade;    /* in the profile's words, or NULL */
} ls_pair;

/* Why a pair diverged: a transform that was applied, and what was left after it. */
typedef struct ls_cause {
    const char *id;   /* stable: docs/diff.md */
    char text[240];
    double residual;  /* relative L2 after undoing it; before, it is the pair's rel_l2 */
} ls_cause;

enum { LS_CAUSES_MAX = 4 };

/* Rows of the candidate's pass in which the first divergence is beyond tolerance. */
typedef struct ls_failing_rows {
    size_t count, of;     /* of those that were compared; 0: not known */
    uint32_t first, last;
} ls_failing_rows;

typedef enum ls_outcome {
    LS_OUTCOME_MATCH,
    LS_OUTCOME_DIVERGED,
    LS_OUTCOME_INPUTS_DIFFER,
    LS_OUTCOME_INCOMPARABLE,
} ls_outcome;

typedef struct ls_diff_options {
    const char *map;      /* a file of rules, or NULL */
    const char *preset;   /* a name, "none", or NULL: by the reference's model */
    const char *tensors;  /* regular expression on the candidate's name, or NULL */
    const char *layers;   /* "0-3,7" or NULL */
    const ls_profile *profile;
    bool elementwise;     /* atol and rtol were given: numpy.allclose's rule */
    double atol, rtol, min_coverage;
} ls_diff_options;

typedef struct ls_diff {
    ls_diff_options options;
    ls_trace *reference, *candidate;
    ls_values reference_values, candidate_values;
    ls_rows rows;
    ls_rules map, preset;    /* those in use; a name where there are any */
    ls_map votes;            /* for the permutations of pairs of one kind */
    /* per node of the reference */
    ls_columns *reference_columns;
    ls_noise *reference_noise;
    bool *reference_used;    /* has a partner */
    bool *reference_scores;  /* goes into a softmax */
    size_t *reference_outputs; /* per pass: the last tensor of its own that was kept, or LS_NONE */
    /* per node of the candidate, of which `seen` have been taken in */
    size_t seen, node_capacity;
    bool *wanted, *candidate_scores;
    ls_columns *candidate_columns;
    ls_noise *candidate_noise;
    size_t *pair_of;         /* value node -> pair + 1 */
    /* per pass of the candidate */
    size_t pass_capacity;
    ls_pass_facts *facts;
    const char *unit_length; /* an output that the reference brings to length 1, and the candidate does not; or NULL */
    size_t output_count;     /* pairs of final outputs among all */
    size_t outputs_seen;     /* pairs of passes whose final outputs had their turn */

    ls_pair *pairs;          /* in the candidate's order, once finished */
    size_t pair_count, pair_capacity;
    size_t by_how[LS_HOW_COUNT];
    size_t *implied_by;      /* candidate's value node -> pair + 1 that is it plus a bias, or times a weight */
    size_t implied_count;
    size_t *candidate_only, *reference_only; /* nodes: what could have been paired */
    size_t candidate_only_count, reference_only_count, candidate_total;
    double coverage;         /* share of the candidate's elements that were compared */
    bool order_of_reference; /* pairs lie in the reference's order: the candidate has none, or no graph */
    bool order_known;        /* else no divergence can be called the first */
    size_t failing;          /* pairs that fail */
    size_t first;            /* pair of the first divergence, or LS_NONE */
    size_t *interval;        /* nodes of ls_diff_graph without a partner between it and its last matching inputs */
    size_t interval_count;
    size_t *inputs;          /* pairs that the first divergence was computed from */
    size_t input_count;
    size_t *weights;         /* nodes of ls_diff_graph: the weights that went into it after its inputs */
    size_t weight_count;
    ls_cause causes[LS_CAUSES_MAX]; /* of the first divergence, by residual; see diagnose/ */
    size_t cause_count;
    ls_failing_rows failing_rows;
    ls_outcome outcome;
    ls_text why;             /* one line for an outcome that is not match or diverged */
    ls_text hints;           /* lines: what this comparison can't show */
    ls_arena arena;
} ls_diff;

lockstep_status ls_diff_run(const char *reference, const char *candidate, const ls_diff_options *options,
                            ls_diff *out_diff, lockstep_error *error);

/* The same of two that are open, and closed as by ls_diff_begin. */
lockstep_status ls_diff_traces(ls_trace *reference, ls_trace *candidate, const ls_diff_options *options, ls_diff *out_diff, lockstep_error *error);

/* The same in steps, for a candidate that grows while it is compared: begin; grow
 * after each part of it; compare the pairs that came of it; finish. */

/* Both traces are the diff's from here on, and closed by ls_diff_done, or at once on failure,
 * where *out_diff is untouched. The candidate may hold anything yet. */
lockstep_status ls_diff_begin(ls_trace *reference, ls_trace *candidate, const ls_diff_options *options, ls_diff *out_diff, lockstep_error *error);
/* Takes in the candidate's new nodes and passes, and pairs them. */
lockstep_status ls_diff_grow(ls_diff *diff, lockstep_error *error);
/* LS_LAYOUT_LEARN for the first of two rounds over all pairs; see ls_layout_find. */
lockstep_status ls_diff_compare(ls_diff *diff, size_t pair, ls_layout_choice choice, lockstep_error *error);
/* Finds the first divergence among what was compared, and concludes. */
lockstep_status ls_diff_finish(ls_diff *diff, lockstep_error *error);
void ls_diff_done(ls_diff *diff);

/* Whose nodes `interval` and `weights` are: the graph that was walked. */
static inline const ls_trace *ls_diff_graph(const ls_diff *diff) {
    return diff->candidate->is_graph || !diff->reference->is_graph ? diff->candidate : diff->reference;
}
/* The tolerance is that of the noise, not a rule of the user's. */
static inline bool ls_diff_is_by_noise(const ls_diff *diff) { return diff->options.profile == &ls_profiles[0] && !diff->options.elementwise; }
/* False for pairs that could not be compared. */
static inline bool ls_pair_says_something(const ls_pair *pair) { return pair->verdict < LS_VERDICT_UNSUPPORTED; }
static inline bool ls_pair_fails(const ls_pair *pair) { return pair->verdict > LS_VERDICT_REFORMULATED; }
const char *ls_verdict_name(ls_verdict verdict);
/* Of the outcome, with what limits a match. */
const char *ls_diff_verdict(const ls_diff *diff);
/* The compiler of a side was not tested: its compiled regions ran eagerly. */
static inline bool ls_diff_is_eager(const ls_diff *diff) { return diff->reference->compiled_eagerly || diff->candidate->compiled_eagerly; }
const char *ls_how_name(ls_how how);
/* As a sentence ends: "3 reformulated: one factor, undone later". */
const char *ls_excuse_text(ls_excuse excuse);

#endif
