/* What the parts of a replay share. */
#ifndef LS_REPLAY_REPLAYER_H
#define LS_REPLAY_REPLAYER_H

#include "replay/head_order.h"
#include "replay/partners.h"
#include "replay/replay.h"

enum {
    LS_REPLAYER_REGION = 1024, /* nodes of a region that are listed */
    LS_REPLAYER_VIEWS = 64,   /* views that are followed from a node */
    LS_REPLAYER_TRIALS = 20   /* substitutions for each node, on average */
};

/* A node of the candidate, while its pass is replayed. Arrays without values are not known. */
typedef struct ls_step {
    ls_array value;     /* the partner's in this node's layout; what was computed where there is none; of a write: the cache's contents */
    ls_array computed;  /* of a node with a partner, if the weights' rounding matters to it */
    ls_array moved;     /* computed, with the rounding of the weights that went into it changed at random */
    uint64_t kind;      /* see ls_replayer_kind; 0 as long as nobody has asked */
    size_t *roots;      /* nodes of the reference that stand for it, or for what it was computed from */
    size_t root_count;
    size_t partner;     /* LS_NONE */
    size_t likeness;    /* a partner that what is computed from it has refuted; LS_NONE */
    ls_replay_means means;
    const char *layout, *reason;
    const ls_layout_vote *permutation; /* see ls_replayed */
    ls_local_error local; /* where it is measured: when the node was found, while what was computed was at hand */
    bool is_measured;
    bool is_open, is_covered, is_known; /* known: it has been computed, or tried */
    bool is_near;       /* what covers it is near enough, see ls_region_size */
    size_t experts;     /* it has a row for each expert of each token, as this product of experts: its node + 1; or 0 */
    const uint64_t *order; /* of the partner's rows, where that is another; NULL */
    bool orders_elements;  /* it is of elements instead */
    bool is_reserved;   /* what it will stand for has been looked up before its turn */
    bool has_pairs;     /* the partner's rotary halves are pairs here */
} ls_step;

/* The writes to one cache, in order. */
typedef struct ls_cache_writes {
    size_t *nodes, count, capacity;
    size_t released; /* the first whose contents are still held */
} ls_cache_writes;

/* Relative errors that types explain, beyond that of f32. */
typedef struct ls_type_error {
    double reference; /* of all values, where the reference computes in the type */
    const char *reference_type; /* NULL */
    double weights;   /* of what the candidate, of PyTorch, computes with a weight of the type */
    double kernels;   /* of what the reference's kernels multiply or look up in a coarser type */
    double most;
} ls_type_error;

/* How weights are changed for an experiment. */
typedef struct ls_perturbation {
    uint64_t draw; /* number of a draw of all weights' rounding, from 1; 0: none */
    size_t weight; /* that has a factor; LS_NONE */
    double factor;
} ls_perturbation;

typedef enum ls_rotation { LS_ROTATES_NOTHING, LS_ROTATES_HALVES, LS_ROTATES_PAIRS } ls_rotation;

/* What experiments on one kind of operation have shown (experiments.c). */
enum { LS_EXPERIENCES = 16, LS_TOGETHER = 2 };
typedef struct ls_experience {
    ls_op_id id;
    bool explains;     /* this alteration did */
    size_t variants[LS_TOGETHER], k[LS_TOGETHER], together; /* of `together` variants */
    size_t failures;   /* operations that none explains */
} ls_experience;

typedef struct ls_replayer {
    const ls_matching *m;
    const ls_trace *candidate;
    const ls_models *models;
    bool exact;           /* all rows of large products are computed */
    const char *explain;  /* see ls_replay_options */
    ls_trials *trials;
    ls_partners partners;
    ls_step *steps;       /* per node of the candidate */
    size_t *consumers, *first_consumer; /* of each node: consumers[first_consumer[i] … first_consumer[i + 1]) */
    ls_map cache_numbers; /* "process/context/name" -> index + 1 */
    ls_cache_writes *caches;
    size_t cache_count, cache_capacity;
    size_t *last_node;    /* per pass of the candidate: behind its last node */
    size_t *cache_of;     /* per node: of a state or a write, LS_NONE otherwise */
    ls_array *decoded;    /* per node: weights, up to a limit */
    double **variances;   /* per node: of the groups of a rounded weight, where they are few */
    uint64_t decoded_elements;
    ls_map learned;       /* (kind of the candidate's node, kind of its partner) -> 1; (kind, 0) -> how many */
    ls_map votes;         /* for layouts */
    ls_map lessons;       /* situation in which a substitution was needed -> what solved it; see substitute.c */
    size_t lost_for;      /* operations since the last that was found */
    size_t trials_left;   /* of substitutions: where everything differs, they would lead nowhere */
    ls_type_error types;
    double type_error;    /* the most of these */
    size_t pass_pair;     /* of the pass that is replayed */
    bool teaches_nothing; /* the pass has one token, at position 0: rotations, masks and softmax change nothing */
    ls_rotation rotation; /* of the pass, by its first RoPE */
    ls_head_groups groups; /* of its linear attention */
    const uint64_t **orders; /* per node that chooses experts: how many rows the reference has for them, how many there are here, and in which order (row_order.h), where it is known */
    bool *is_given;       /* per node: computed from nothing that the caller gives, such as the angles of counted positions */
    bool *is_silent;      /* per pass of the candidate: see ls_replayer_is_silent */
    bool *is_handed_on;   /* per node: another graph reads it, so its value is kept */
    bool *is_right;       /* of a reference without a graph, per node: found, or covered by what was, before anything was substituted; NULL until then */
    double guesses_left, draws_left; /* multiplications that may be spent on guesses (anchors.c) and draws (region_error.c) in this pass */
    size_t *places;       /* of a reference without a graph, per tensor: the only node whose result it may be, LS_NONE for any, the number of nodes for none */
    size_t *anchors;      /* of a reference without a graph, per node: the tensor that is taken to be its result, whatever was computed; or LS_NONE */
    size_t *taken;        /* per node of the reference that is the first with its content: the node of the pass that was settled on one of them, or LS_NONE */
    /* Trying values in place of a node's: */
    ls_array *tried;      /* per node */
    unsigned char *depends; /* per node: 0 not known, 1 no, 2 yes */
    size_t *touched, touched_count, touched_capacity, first_tried;
    uint64_t held;        /* elements of the pass's values */
    size_t oldest;        /* the first node of the pass whose value may still be released */
    size_t sampled;       /* a node of which only some rows are computed, or LS_NONE */
    const struct ls_alteration *altered; /* how one node is computed for an experiment; or NULL */
    ls_experience experiences[LS_EXPERIENCES];
    size_t experience_count;
    ls_perturbation perturbed;
    ls_arena *arena;      /* of the result */
    ls_arena scratch;     /* of the pass */
} ls_replayer;

/* ------------------------------------------------------------------ operands.c */

lockstep_status ls_replayer_prepare(ls_replayer *replayer, lockstep_error *error);
/* Computes a node from what is known. `moved`: from what has been moved, where there is some. On success the values are to
 * be freed; `out_scale` may be NULL. */
bool ls_replayer_compute(ls_replayer *replayer, size_t node, bool moved, ls_array *out, double **out_scale, const char **out_reason);
/* The same from what has been moved, and with the rounding of its own weight; false where neither plays a part. `computed`: what
 * ls_replayer_compute has given, or NULL. */
bool ls_replayer_compute_moved(ls_replayer *replayer, size_t node, const ls_array *computed, ls_array *out);
/* Of a softmax of which some rows were computed, the reference lacks the columns of cells that were never written: these are zeros in
 * all rows. */
void ls_replayer_mask_out(ls_replayer *replayer, size_t node);
/* Of a node with a row for each expert of each token: whether the order is known in which the reference has them. True of any other. */
bool ls_replayer_knows_order(const ls_replayer *replayer, size_t node);
/* Whether some rows of a node are computed only, where these are enough. */
bool ls_replayer_is_dear(const ls_replayer *replayer, size_t node);
/* The values of an operand of a node, which are to be freed. */
bool ls_replayer_operand(ls_replayer *replayer, size_t operand, size_t now, bool moved, ls_array *out, const char **out_reason);
/* Computed nodes of the same pass from which a node is computed, through views and caches, into a list of `capacity`. */
size_t ls_replayer_inputs(const ls_replayer *replayer, size_t node, size_t *out, size_t capacity);
/* Writes of earlier passes without tokens into the parts of caches that it reads. */
size_t ls_replayer_earlier_writes(const ls_replayer *replayer, size_t node, size_t *out, size_t capacity);
/* Nodes of earlier passes that it is computed from, as their graphs' results. */
size_t ls_replayer_handed_on(const ls_replayer *replayer, size_t node, size_t *out, size_t capacity);
/* Nodes of the same pass with a partner that read a node, through views, and through open nodes that belong to them. */
size_t ls_replayer_readers(const ls_replayer *replayer, size_t node, size_t *out, size_t capacity);
/* Open nodes from which a node is computed, without others with a partner between them. */
size_t ls_replayer_region(const ls_replayer *replayer, size_t node, size_t *out, size_t capacity);
/* The node of which this one is another name, another shape or a part, or that has computed it elsewhere; LS_NONE if there is none. */
size_t ls_replayer_behind(const ls_trace *trace, size_t node);
/* The last write to a cache before `now`; LS_NONE. */
size_t ls_replayer_last_write(const ls_replayer *replayer, size_t state, size_t now);
/* The node whose values an operand has, when it is read by the node `now`: a weight, an input, an operation, or the write
 * that left a cache as it is. LS_NONE for a cache to which nothing was written. */
size_t ls_replayer_holder(const ls_replayer *replayer, size_t operand, size_t now);
/* The holders from which a node is computed. A write has its cache before it, besides its operands. */
size_t ls_replayer_holders(const ls_replayer *replayer, size_t node, size_t out[LS_EVAL_OPERANDS + 1]);
/* What a node lies in, through views. */
size_t ls_replayer_base(const ls_replayer *replayer, size_t node);
/* A weight's own values, decoded, to be freed. */
bool ls_replayer_weight_values(ls_replayer *replayer, size_t weight, ls_array *out, const char **out_reason);
/* The weight that a slot holds, through views; LS_NONE. */
size_t ls_replayer_weight(const ls_replayer *replayer, const ls_node *node, size_t slot);
/* Forgets what was tried. */
void ls_replayer_untry(ls_replayer *replayer);
void ls_replayer_try(ls_replayer *replayer, size_t node, const ls_array *value);
/* An open node's value is computed again where it is needed, until what was tried is forgotten. */
void ls_replayer_unfix(ls_replayer *replayer, size_t node);
/* Computes such a node at once, so that what reads it need not. In the order of the nodes, none waits for another. */
bool ls_replayer_refresh(ls_replayer *replayer, size_t node, const char **out_reason);

/* ------------------------------------------------------------------ weight_rounding.c */

/* For a product with a rounded weight: the variance of each element of the result that its rounding explains, and of a
 * common factor (see local_error.c). False where there is none. known: the rows that are wanted, of which there is one at least; NULL
 * for all. */
typedef struct ls_rounding {
    double *variance;       /* per element of the result's wanted rows, to be freed */
    double *weight;         /* of the weight [m, k], per group of elements of a row, to be freed unless it is borrowed */
    bool is_borrowed;
    ls_array x;             /* the operand that it is multiplied with, of a product its wanted rows, to be freed */
    uint64_t m, k, group;   /* elements of a group */
} ls_rounding;
bool ls_replayer_rounding(ls_replayer *replayer, size_t node, const bool *known, ls_rounding *out);
/* Of a weight alone: the variances of its groups. */
bool ls_rounding_of_weight(ls_replayer *replayer, size_t weight, ls_rounding *out);
/* The variance of the sum of the errors of a product's result, each times an element of `direction`. */
double ls_rounding_along(const ls_rounding *rounding, const double *direction);
void ls_rounding_release(ls_rounding *rounding);
/* Whether a node's value changes with what is tried. */
bool ls_replayer_depends(ls_replayer *replayer, size_t node);

/* ------------------------------------------------------------------ local_error.c */

/* The rows that were computed, which have a number at least: how many, and which; to be freed, NULL if out of memory. */
uint64_t ls_rows_known(const ls_array *computed, uint64_t columns, bool **out_known);

/* ------------------------------------------------------------------ lookup.c */

/* A tensor of the reference in a node's layout. */
typedef struct ls_sighting {
    size_t partner;
    int depth;          /* levels below what the operands stand for */
    double error;       /* of what was computed: relative L2 */
    ls_array value;     /* to be freed */
    const char *layout;
    ls_layout_vote vote;
    bool has_vote, has_pairs;
    const uint64_t *order; /* in which the partner's rows are the node's; NULL */
    bool orders_elements;  /* it is of elements instead */
} ls_sighting;

enum { LS_SIGHTINGS = 16, LS_SIZES = 4 };
typedef struct ls_sightings {
    ls_sighting items[LS_SIGHTINGS];
    size_t count;
} ls_sightings;

void ls_sightings_release(ls_sightings *sightings);
/* Tensors of the reference within reach of `roots` that equal `computed` within the tolerance, best first. */
void ls_replayer_look_up(ls_replayer *replayer, size_t node, const ls_array *computed, const size_t *roots, size_t root_count, double tolerance, ls_sightings *out);
/* Tensors of the reference that an open node may stand for, nearest first. */
void ls_replayer_possible(ls_replayer *replayer, size_t node, ls_sightings *out);
/* One tensor of the reference, in the layouts in which a node may have it. */
void ls_replayer_lay_out(ls_replayer *replayer, size_t node, size_t partner, ls_sightings *out);
/* Tensors of the reference from which the partner of `reader` is computed, other than the node's own, in the layouts in which it
 * may have them. */
void ls_replayer_above(ls_replayer *replayer, size_t node, size_t reader, ls_sightings *out);
/* The numbers of elements that a tensor of a set may have and be a node's. */
size_t ls_replayer_sizes(const ls_replayer *replayer, size_t node, uint64_t out[LS_SIZES]);
/* A tensor of a set that stands for nothing yet, neither itself nor a copy. */
bool ls_replayer_is_lost(const ls_replayer *replayer, size_t partner);
/* Relative L2, on a sample, of values in a node's place and a tensor of the reference; infinite if it has no layout like the node's. */
double ls_replayer_unlikeness(ls_replayer *replayer, size_t node, const ls_array *value, size_t partner);
/* Whether one of these is more like what was computed for a node than by chance. */
bool ls_replayer_is_like_a_lost_one(ls_replayer *replayer, size_t node);
/* The only one of these of a node's size; LS_NONE if there are others, or none. */
size_t ls_replayer_only_lost(const ls_replayer *replayer, size_t node);
/* Whether one of its operands is a weight. */
bool ls_replayer_has_weight(const ls_replayer *replayer, size_t node);
/* Sum of the squares by which rounding may move a result; 0 where `moved` has no values. */
double ls_replayer_moved_squares(const ls_array *computed, const ls_array *moved);
/* Relative L2 of what was computed for a node and its value. */
double ls_replayer_differs(const ls_replayer *replayer, size_t node, const ls_array *computed);
ls_type_error ls_replayer_type_error(const ls_replayer *replayer);
/* What of it explains the result of a node and of the open ones before it. */
double ls_replayer_type_error_of(const ls_replayer *replayer, size_t node);
/* Of this operation alone. */
double ls_replayer_own_type_error(const ls_replayer *replayer, size_t node);
/* What can be wrong with a result without being a fault, as relative L2. `moved` is NULL, or what rounding may make of it. */
double ls_replayer_tolerance(const ls_replayer *replayer, size_t node, const ls_array *computed, const ls_array *moved);
/* Relative error of a node that is computed in f32. */
double ls_replayer_floor(const ls_replayer *replayer, size_t node);
/* A node was found by its value: others of its kind will have partners of the same kind. */
void ls_replayer_learn(ls_replayer *replayer, size_t node, const ls_sighting *sighting);
/* Whether nodes of its kind have been found by their values. */
bool ls_replayer_has_usual_partner(const ls_replayer *replayer, size_t node);
/* What kind of node it is: the same in all layers. */
uint64_t ls_replayer_kind(const ls_replayer *replayer, size_t node);
uint64_t ls_replayer_kind_of_partner(const ls_replayer *replayer, size_t partner);

/* ------------------------------------------------------------------ substitute.c */

/* Whether another value may be tried for a node: of a reference without a graph, only where nothing proves it right. */
bool ls_replayer_is_suspect(const ls_replayer *replayer, size_t node);
/* Whether a node, or what is open between it and an earlier one, reads a weight, or what was found. */
bool ls_replayer_is_anchored_behind(const ls_replayer *replayer, size_t node, size_t from);
/* A node was not found, and was computed from open ones: tries the reference's tensors in their place until it is. */
bool ls_replayer_substitute(ls_replayer *replayer, size_t node);
/* An open node, whose readers were found: perhaps only because their rounding hides that it is at fault. It is settled, then. How
 * often a node of its kind was not is learned. */
void ls_replayer_unhide(ls_replayer *replayer, size_t node);

/* ------------------------------------------------------------------ second_walk.c */

/* Walks a pass of a reference without a graph again, as often as tensors are found a better place for. */
void ls_replayer_walk_again(ls_replayer *replayer, size_t pass);

/* ------------------------------------------------------------------ anchors.c */

/* Once a pass has been replayed on a set: finds a tensor that stands for nothing, and the operation that it is the result of, although
 * something in front of that is at fault. False if there is none. */
bool ls_replayer_anchor(ls_replayer *replayer, size_t pass);

/* ------------------------------------------------------------------ replayer_setup.c */

/* On failure, too, ls_replayer_done is to be called. */
lockstep_status ls_replayer_init(ls_replayer *replayer, lockstep_error *error);
void ls_replayer_done(ls_replayer *replayer);
/* The first node of a pass of the candidate. */
size_t ls_replayer_first(const ls_replayer *replayer, size_t pass);

/* ------------------------------------------------------------------ replayer_memory.c */

/* The values of a pass may be larger than memory: the oldest ones that nothing needs any more are released. */
void ls_replayer_release_oldest(ls_replayer *replayer, size_t pass, size_t now);
/* Of what was written to a cache before this write: only the last contents are needed later. */
void ls_replayer_release_writes(ls_replayer *replayer, size_t write);
/* All of a pass but what later ones read. */
void ls_replayer_release_pass(ls_replayer *replayer, size_t pass);

/* ------------------------------------------------------------------ replayer.c */

/* What was measured of later nodes of the pass may have been computed from what this one stood for until now. */
void ls_replayer_unmeasure(ls_replayer *replayer, size_t node);
void ls_replayer_settle(ls_replayer *replayer, size_t node, ls_sighting *sighting, ls_replay_means means);
void ls_replayer_process(ls_replayer *replayer, size_t node, bool again);
/* Processes all nodes of a pass. */
void ls_replayer_walk(ls_replayer *replayer, size_t pass);
/* Whether a node with a partner is at fault, which is measured unless it has been. */
bool ls_replayer_is_at_fault(ls_replayer *replayer, size_t node);
/* Zeros, one number throughout, and few numbers are found everywhere: then this is false. */
bool ls_replayer_proves(const ls_array *values);
/* Whether the pass has no tokens, among others that do: an encoder, or what prepares a decoder's caches. The reference may compute
 * its tensors in several passes. */
bool ls_replayer_is_silent(const ls_replayer *replayer);
/* The end of one graph is the end of the other. */
void ls_replayer_pair_ends(ls_replayer *replayer, size_t pass);
/* What a node's operands stand for, into a list of the pass's arena. */
size_t ls_replayer_roots(ls_replayer *replayer, size_t node, size_t **out);

/* ------------------------------------------------------------------ variants.c */

/* What engines, converters and configurations are known to do differently. Each variant is an experiment: an operation that is at
 * fault is computed again in another way, and where the reference's values come out, that is what differs. */

/* What is done to a mask. */
typedef enum ls_mask_change { LS_MASK_AS_IT_IS, LS_MASK_LONGER, LS_MASK_OF_WINDOW, LS_MASK_WITHOUT_WINDOW, LS_MASK_OF_ALL, LS_MASK_CAUSAL } ls_mask_change;

/* How a node is computed instead. */
struct ls_alteration {
    size_t at;
    ls_node node;       /* with another kind or other parameters */
    ls_parameter parameters[LS_OP_PARAMETERS_MAX + 1];
    ls_mask_change mask;
    int window;         /* positions, or by how many it is longer */
    int shift;          /* of RoPE's positions */
    bool is_crosswise;  /* a softmax along the axis before the last */
    struct {
        bool is_set;
        size_t slot;    /* of the operand whose values are taken for [.., second, first, after], and made [.., first, second, after] again */
        uint64_t first, second, after;
    } axes;
    const ls_node *nodes; /* of the graph */
    bool swaps;         /* its two operands */
    bool is_void;       /* nothing would change */
    char text[200];     /* for people */
};

/* Alters a node, in addition to what was altered before, in the k-th way of a variant (its rule is ls_replay_rule of it); false after the last. */
bool ls_alteration_add(size_t variant, size_t k, struct ls_alteration *alteration);
void ls_alteration_copy(const struct ls_alteration *from, struct ls_alteration *out);
enum { LS_ALTERATION_NUMBERS = 4 };
/* A node with the k-th of its numbers, such as the base of RoPE or eps, times a factor. False where it has none. It must not be moved. */
bool ls_alteration_of_number(const ls_trace *trace, size_t node, size_t k, double factor, struct ls_alteration *out);
/* An operand as an alteration has it, such as a mask. */
void ls_alteration_apply(const struct ls_alteration *alteration, size_t slot, ls_array *operand);
/* Replaces a parameter. */
void ls_alteration_set(struct ls_alteration *alteration, const char *key, double value);

/* ------------------------------------------------------------------ spatial_variants.c */

/* The k-th way in which an operation of a picture is computed otherwise; false after the last. */
bool ls_vary_padding(struct ls_alteration *alteration, size_t k);
bool ls_vary_pooling(struct ls_alteration *alteration, size_t k);
bool ls_vary_softmax_axis(struct ls_alteration *alteration, size_t k);
bool ls_vary_axes(struct ls_alteration *alteration, size_t k);
/* Swaps the axes of values [.., first, second, after]. */
bool ls_swap_axes(double *values, uint64_t elements, uint64_t first, uint64_t second, uint64_t after);

/* ------------------------------------------------------------------ experiments.c */

/* Tries every variant of an operation at fault, and two together where none explains it. Sets the rule of what leaves least, if what it leaves
 * is no fault. */
void ls_replayer_vary(ls_replayer *replayer, ls_replayed *item);

/* ------------------------------------------------------------------ local_error.c */

/* Rows are tokens, columns channels. */
typedef struct ls_differences {
    uint64_t rows, columns;
    double *difference, *reference, *variance; /* reference: without what is masked; variance: NULL if nothing is rounded */
    double floor;  /* standard deviation of an element's rounding error, without the weights' */
    double norm, typical; /* of the reference: L2, and the mean square */
    double type, *of_type; /* relative L2 that types explain; of each channel, the mean variance that this is for an element, which need not average
                              out over tokens: NULL if there is none */
} ls_differences;

/* Where the reference has few tensors, a result may have the rounding of several open products in front of it. */
bool ls_replayer_has_rounded_region(const ls_replayer *replayer, size_t node);
/* Of a node with a partner. False where it can't be computed. */
bool ls_replayer_local_error(ls_replayer *replayer, size_t node, ls_local_error *out);
/* The same from what was computed for it. Rows that were not are NaN. */
bool ls_replayer_measure(ls_replayer *replayer, size_t node, const ls_array *computed, const double *scale, ls_local_error *out);

/* ------------------------------------------------------------------ region_error.c */

/* In units of what is allowed, but for `squares`: what the weights' rounding explains of the difference. */
typedef struct ls_region_error {
    double squares, all, channel, mean, factor; /* channel: or token; factor: on everything, or on a weight */
} ls_region_error;

/* Of a node that was computed from open ones whose weights are rounded. False where that is too large. `known`: the rows of the table. */
bool ls_replayer_judge_region(ls_replayer *replayer, size_t node, const ls_array *computed, const bool *known, const ls_differences *table, double floor, ls_region_error *out);

#endif
