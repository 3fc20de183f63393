/* The reference's values drive the candidate's graph: each of its operations is computed in double precision, with its own
 * parameters and weights, on the reference's values for its operands, and the result is looked up among the reference's
 * tensors. Names play no part, and neither do the candidate's recorded activations: what is found is right, whatever went
 * wrong before it, and where nothing is found, something is wrong here, or the two sides factor the computation otherwise. */
#ifndef LS_REPLAY_REPLAY_H
#define LS_REPLAY_REPLAY_H

#include "eval/leaves.h"
#include "match/matching.h"

typedef enum ls_replay_class {
    LS_REPLAY_FOUND,       /* its result is a tensor of the reference */
    LS_REPLAY_COVERED,     /* the reference has no such tensor, but what is computed from it was found */
    LS_REPLAY_UNSUPPORTED, /* it can't be computed: the reason is given */
    LS_REPLAY_OPEN,        /* neither it nor what is computed from it was found */
    LS_REPLAY_BEYOND,      /* the reference, which has no graph, holds nothing that is computed from it */
    LS_REPLAY_CLASS_COUNT
} ls_replay_class;

/* How an operation's partner was found. */
typedef enum ls_replay_means {
    LS_REPLAY_BY_VALUE,    /* its result is the partner's */
    LS_REPLAY_BY_CONSUMER, /* its result is not, but what is computed from the partner's is right */
    LS_REPLAY_BY_END,      /* both are the last tensors of their passes */
} ls_replay_means;

/* How far an operation's result, computed from the reference's values, is from the reference's. */
typedef struct ls_local_error {
    double error;    /* relative L2 */
    double expected; /* that the rounding of its own weights explains */
    double channel, mean, scale; /* the worst channel, the worst channel's mean, and the common factor, in units of what is expected */
    double factor;   /* that brings the reference's values closest */
    bool is_spread;  /* the rounding of several products is in it: see region_error.c */
} ls_local_error;

typedef struct ls_replayed {
    size_t node; /* of the candidate */
    ls_replay_class class;
    ls_replay_means means;
    size_t partner;      /* of the reference; LS_NONE */
    size_t likeness;     /* the node of the reference whose values it has instead of its partner's; LS_NONE */
    const char *layout;  /* under which the partner has the candidate's shape; NULL */
    const char *reason;  /* of an unsupported one */
    ls_local_error local;
    size_t *region, region_count; /* of an origin: operations in front of it that belong to it, because the reference has no tensors for them */
    const char *rule;    /* of an origin: what is known to be done differently (ls_replay_rule), and explains it; or NULL */
    const char *instead; /* how it gives the reference's values */
    double left;         /* relative L2 then */
    bool has_pairs;      /* the partner's rotary halves are pairs here */
    const uint64_t *order; /* in which the partner's rows are this one's; NULL */
    bool orders_elements;  /* it is of elements instead */
    const struct ls_layout_vote *permutation; /* of axes, under which it has the partner's values; NULL where they differ */
    size_t weight;       /* of an origin that reads a weight, itself or in its region, which is not the reference's: its node; LS_NONE */
    double weight_error; /* relative L2 of the two weights */
    const char *weight_rule, *weight_text; /* what was done to it, and the same for people; NULL where that is not known */
    double weight_left;  /* relative L2 of the two without that */
    bool is_accepted;    /* an origin that the user has accepted by its rule: is_origin is false */
    bool is_origin;      /* what differs here is not inherited, and rounding does not explain it */
} ls_replayed;

/* Operations that are covered by one that was found, without those that only move values, or are computed from nothing that the caller
 * gives; and how many of them multiply with a weight.
 * Several that multiply the same operand count as one. Larger ones than the limits hide too much, and their operations are open. */
typedef struct ls_region_size {
    size_t operations, products, node; /* node: the one that was found */
} ls_region_size;
enum { LS_REGION_OPERATIONS = 8, LS_REGION_PRODUCTS = 1, LS_REGION_EXPERTS = 3 }; /* of experts without rounded weights, in twice as many operations */

/* An experiment on an operation at fault: what is left when it, or one of its region, is computed in another way. */
typedef struct ls_trial {
    const char *rule, *instead;
    double left; /* relative L2 */
    bool explains;
} ls_trial;

/* All experiments on one operation, in the order in which they were made. */
typedef struct ls_trials {
    size_t node; /* of the candidate; LS_NONE: on none */
    ls_trial *items;
    size_t count, capacity;
} ls_trials;

typedef struct ls_replay_options {
    bool exact;          /* all rows of large products are computed */
    const char *explain; /* the operation whose experiments are kept: the first at fault that is called so, or whose partner is; "": the first at fault; NULL: none */
} ls_replay_options;

typedef struct ls_replay {
    const ls_matching *matching;
    ls_replayed *items; /* the candidate's operations on floats, without views and writes to caches, in order */
    size_t count, capacity;
    size_t operations[LS_REPLAY_CLASS_COUNT];
    uint64_t elements[LS_REPLAY_CLASS_COUNT];
    size_t origins, accepted;
    ls_region_size largest; /* region */
    size_t lost, lost_of; /* of a reference without a graph: tensors that no operation's result was found as, of how many */
    size_t first_lost;    /* the first; LS_NONE */
    double reference_error;     /* relative L2: what the type in which the reference computes adds to each result; 0 of f32 */
    const char *reference_type; /* that type; NULL */
    size_t sampled; /* large operations of which only some rows were computed */
    ls_trials trials; /* of the operation that is to be explained */
    ls_arena arena;
} ls_replay;

/* The names of the classes. */
const char *ls_replay_class_name(ls_replay_class class);

/* The ids of the rules by which an operation at fault can be explained, from 0; NULL after the last one. */
const char *ls_replay_rule(size_t index);

/* The matching has taken in all nodes. Everything is borrowed. */
lockstep_status ls_replay_run(const ls_matching *matching, const ls_models *models, const ls_replay_options *options, ls_replay *out_replay, lockstep_error *error);
void ls_replay_done(ls_replay *replay);

/* A fault that moves the result by less, as relative L2, may look like rounding. */
double ls_local_error_limit(const ls_local_error *local);
/* What an operation's own weight and the reference's type explain is allowed so many times. */
bool ls_local_error_is_fault(const ls_local_error *local);

#endif
