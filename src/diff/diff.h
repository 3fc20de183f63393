/* Two traces compared: what went in, which tensors correspond, the pairs, and what they show together. */
#ifndef LS_DIFF_DIFF_H
#define LS_DIFF_DIFF_H

#include "compare/tolerance.h"
#include "diff/remark.h"
#include "match/matching.h"

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
    ls_arena arena;
} ls_diff;

/* Compares two traces, or other containers, by path. The caller frees *out_diff. */
lockstep_status ls_diff_paths(const char *reference, const char *candidate, const ls_diff_options *options, ls_diff **out_diff, lockstep_error *error);
/* Compares two open traces, which belong to the diff from here on: they are closed with it, or at once on failure. */
lockstep_status ls_diff_traces(ls_trace *reference, ls_trace *candidate, const ls_diff_options *options, ls_diff **out_diff, lockstep_error *error);

/* The same in steps, for a candidate that grows while it is compared: open; grow after each part of
 * it; compare the pairs that it brought; finish. */

/* Takes both traces over like ls_diff_traces. The candidate may still be empty. */
lockstep_status ls_diff_open(ls_trace *reference, ls_trace *candidate, const ls_diff_options *options, ls_diff **out_diff, lockstep_error *error);
/* Takes in the candidate's new nodes and passes, and pairs them. */
lockstep_status ls_diff_grow(ls_diff *diff, lockstep_error *error);
/* LS_LAYOUT_LEARN for the first of two rounds over all pairs; see ls_layout_find. */
lockstep_status ls_diff_compare(ls_diff *diff, size_t pair, ls_layout_choice choice, lockstep_error *error);
/* Finds the first divergence among the pairs, and decides the outcome. */
lockstep_status ls_diff_finish(ls_diff *diff, lockstep_error *error);
/* NULL is allowed. */
void ls_diff_free(ls_diff *diff);

/* The graph that was walked, whose nodes the result lists. */
static inline const ls_trace *ls_diff_graph(const ls_diff *diff) {
    const ls_trace *reference = diff->in.reference.trace, *candidate = diff->in.candidate.trace;
    return candidate->is_graph || !reference->is_graph ? candidate : reference;
}
/* The tolerance follows from the precision of what was computed; it is not a rule of the user's. */
static inline bool ls_diff_is_by_precision(const ls_diff *diff) { return diff->options.profile == &ls_profiles[0] && !diff->options.elementwise; }
/* Compiled regions of a side ran eagerly: its compiler was not tested. */
static inline bool ls_diff_is_eager(const ls_diff *diff) { return diff->in.reference.trace->compiled_eagerly || diff->in.candidate.trace->compiled_eagerly; }
/* Only a part of the model was asked for, of this comparison or of both recordings. */
static inline bool ls_diff_is_selective(const ls_diff *diff) {
    return ls_matching_is_selective(&diff->matching) || (diff->in.reference.trace->only != NULL && diff->in.candidate.trace->only != NULL);
}
/* The outcome's name, with what limits a match. */
const char *ls_diff_verdict(const ls_diff *diff);

#endif
