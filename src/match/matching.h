/* Which tensors of two traces correspond. Each method is a row of method_table.h. */
#ifndef LS_MATCH_MATCHING_H
#define LS_MATCH_MATCHING_H

#include "base/arena.h"
#include "match/grid.h"
#include "match/pair.h"
#include "match/pass_facts.h"
#include "match/side.h"
#include "match/token_alignment.h"

/* What goes into a comparison: two sides, the rules for their names, and what to compare. */
typedef struct ls_match_inputs {
    ls_side reference, candidate;
    ls_rules map, preset; /* a name where there are any */
    const char *tensors;  /* regular expression on the candidate's name, or NULL */
    const char *layers;   /* "0-3,7" or NULL */
    const char *passes;   /* "0:2,1:5" or NULL (chosen_passes.h) */
} ls_match_inputs;

/* What layouts need to know of a pass pair. */
typedef struct ls_pass_geometry {
    int32_t reference_last, candidate_last; /* highest positions; -1 where unknown */
    size_t reference_sequences, candidate_sequences;
    int32_t last_row;                       /* of the candidate's pass, or of the reference's where only that is known */
    const ls_pass_pair *items;              /* the pictures of a batch as rows, of which one is shared; NULL */
    bool has_grids;                         /* only some rows are shared */
    ls_grids grids;
} ls_pass_geometry;

typedef struct ls_matching {
    ls_match_inputs *in;
    ls_pairs *pairs;
    ls_token_alignment tokens;
    ls_pass_geometry *geometry; /* per pass pair */
    size_t geometry_count, geometry_capacity;
    ls_map votes;              /* for the axis permutations of pairs of one kind */
    /* per node of the reference */
    bool *reference_used;      /* has a partner */
    size_t *reference_outputs; /* per pass: its last computed tensor whose values were recorded, or LS_NONE */
    /* per node of the candidate, of which `seen` have been taken in */
    size_t seen, node_capacity;
    bool *wanted;
    size_t *pair_of;           /* value node -> pair + 1 */
    /* per pass of the candidate */
    size_t pass_capacity;
    ls_pass_facts *facts;
    size_t by_method[LS_METHOD_COUNT];
    size_t *absorbed_into;     /* candidate's value node -> pair + 1 that is this value plus a bias, or times a weight */
    size_t absorbed_count;
    size_t *candidate_only, *reference_only; /* nodes that could have been paired */
    size_t candidate_only_count, reference_only_count, candidate_total;
    ls_arena *arena;
} ls_matching;

/* `in`, `pairs` and `arena` are borrowed, and have to stay where they are. */
lockstep_status ls_matching_init(ls_match_inputs *in, ls_pairs *pairs, ls_arena *arena, ls_matching *out_matching, lockstep_error *error);
void ls_matching_done(ls_matching *matching);

/* Takes in the nodes and passes that the candidate got since, and appends their pairs, without metrics. */
lockstep_status ls_matching_grow(ls_matching *matching, lockstep_error *error);
/* Appends one pair, without metrics, unless the candidate's tensor has one, or the values of a side were left out. */
lockstep_status ls_matching_add(ls_matching *matching, const ls_pair *pair, lockstep_error *error);
/* Takes back some pairs: `dropped` has one entry per pair. */
void ls_matching_retract(ls_matching *matching, const bool *dropped);
/* Call it after the last node: sorts the pairs by the candidate's order, or the reference's, marks
 * tensors that a paired successor absorbs, and lists the unpaired ones. */
lockstep_status ls_matching_finish(ls_matching *matching, bool by_reference, lockstep_error *error);

/* No more tensors of this pass of the candidate will come. */
static inline bool ls_matching_has_whole(const ls_matching *m, size_t pass) {
    const ls_trace *candidate = m->in->candidate.trace;
    return candidate->memory == NULL || candidate->passes[pass].ended;
}
/* Only a part of the model was asked for. */
static inline bool ls_matching_is_selective(const ls_matching *m) { return m->in->tensors != NULL || m->in->layers != NULL; }

#define LS_METHOD_ROW(id, name, function) lockstep_status function(ls_matching *matching, size_t from, lockstep_error *error);
#include "match/method_table.h"
#undef LS_METHOD_ROW

/* The computed value that an operation adds a weight to, or multiplies by one; LS_NONE. */
size_t ls_value_before_weight(const ls_values *values, const ls_node *node);

#endif
