/* Two traces compared: what went in, which tensors correspond, the pairs, and what they show together. */
#ifndef LS_DIFF_MODEL_H
#define LS_DIFF_MODEL_H

#include "compare/tolerance.h"
#include "diff/remark.h"
#include "match/matching.h"
#include "replay/replay.h"
#include "verify/verify.h"

typedef enum ls_outcome {
    LS_OUTCOME_MATCH,
    LS_OUTCOME_MODEL_MATCH, /* the graph and the weights are right; nothing that was computed was recorded */
    LS_OUTCOME_DIVERGED,
    LS_OUTCOME_INPUTS_DIFFER,
    LS_OUTCOME_INCOMPARABLE,
} ls_outcome;

/* Share of the candidate's elements that has to be compared for a match, unless the user says otherwise. */
#define LS_MIN_COVERAGE 0.5

typedef struct ls_diff_options {
    const char *map;      /* a file of rules, or NULL */
    const char *preset;   /* a name, "none", or NULL: by the reference's model */
    const char *tensors;  /* regular expression on the candidate's name, or NULL */
    const char *layers;   /* "0-3,7" or NULL */
    const char *passes;   /* "0:2,1:5", of the reference and of the candidate, or NULL */
    const ls_profile *profile;
    bool elementwise;     /* atol and rtol were given: numpy.allclose's rule */
    double atol, rtol, min_coverage;
    const char *const *models; /* paths of files with the candidate's weights; none: those that its trace names */
    size_t model_count;
    const char *const *accept;  /* RULE or RULE@OPERATIONS: faults that are known, and by design */
    size_t accept_count;
    bool exact;                 /* all rows of large products are computed, however long it takes */
    const char *image;          /* the picture that both sides were given, for the causes of what differs in pixels; or NULL */
    const char *explain;        /* the operation whose experiments are kept: see ls_replay_options */
} ls_diff_options;

/* Nodes of the graph that was walked (ls_diff_graph), or indexes of pairs. */
typedef struct ls_index_list {
    size_t *items, count;
} ls_index_list;

typedef struct ls_diff_result {
    double coverage;         /* share of the candidate's elements that were compared */
    bool order_of_reference; /* pairs are in the reference's order: the candidate has none, or no graph */
    bool order_known;        /* otherwise no divergence can be called the first */
    size_t failing;          /* pairs that fail */
    size_t first;            /* pair of the first divergence, or LS_NONE */
    ls_index_list interval;  /* nodes without a partner between it and its last matching inputs */
    ls_index_list inputs;    /* pairs that it was computed from */
    ls_index_list weights;   /* nodes: the weights that went into it after its inputs */
    const char *unit_length; /* an output that the reference normalizes to length 1 and the candidate does not; or NULL */
    ls_outcome outcome;
    ls_remark reason;        /* of an outcome that needs one */
    ls_remarks hints;        /* what this comparison can't show */
} ls_diff_result;

typedef struct ls_diff {
    ls_diff_options options;
    ls_match_inputs in;
    ls_matching matching;
    ls_pairs pairs;
    ls_diff_result result;
    size_t output_count; /* pairs of final outputs among all */
    size_t outputs_seen; /* pass pairs whose final outputs have been paired */
    ls_models models;    /* that have the candidate's weights */
    bool is_replayed;    /* the two below are there */
    ls_replay replay;
    ls_verification verification;
    size_t weights_alike; /* weights in the two checkpoints that were compared, and are the same but for rounding */
    ls_arena arena;
} ls_diff;

/* The graph that was walked, whose nodes the result lists. */
static inline const ls_trace *ls_diff_graph(const ls_diff *diff) {
    const ls_trace *reference = diff->in.reference.trace, *candidate = diff->in.candidate.trace;
    return candidate->is_graph || !reference->is_graph ? candidate : reference;
}
/* The tolerance follows from the precision of what was computed; it is not a rule of the user's. */
static inline bool ls_diff_is_by_precision(const ls_diff *diff) { return diff->options.profile == &ls_profiles[0] && !diff->options.elementwise; }
/* Compiled regions of the candidate ran eagerly: its compiler was not tested. The reference's is not in question. */
static inline bool ls_diff_is_eager(const ls_diff *diff) { return diff->in.candidate.trace->compiled_eagerly; }
/* Only a part of the model was asked for, of this comparison or of both recordings. */
static inline bool ls_diff_is_selective(const ls_diff *diff) {
    return ls_matching_is_selective(&diff->matching) || (diff->in.reference.trace->only != NULL && diff->in.candidate.trace->only != NULL);
}
/* What a command that compares exits with: 0 match, 1 diverged or other inputs, 2 not comparable. */
int ls_outcome_exit_status(ls_outcome outcome);
static inline bool ls_outcome_is_match(ls_outcome outcome) { return outcome == LS_OUTCOME_MATCH || outcome == LS_OUTCOME_MODEL_MATCH; }
/* The outcome's name, with what limits a match. */
const char *ls_diff_verdict(const ls_diff *diff);

#endif
