/* The steps of comparing weights, one file each; weights.c takes them in turn. */
#ifndef LS_CHECKPOINT_WEIGHT_STEPS_H
#define LS_CHECKPOINT_WEIGHT_STEPS_H

#include "checkpoint/weight_model.h"

/* Fills pairs by name and by the preset's rules. */
lockstep_status ls_weights_pair(ls_weights *weights, const char *tensors, lockstep_error *error);
typedef lockstep_status ls_weight_adder(void *context, const ls_weight_pair *pair);
/* Adds pairs of names that differ in their beginnings (weight_prefixes.c). */
lockstep_status ls_weights_pair_beginnings(ls_weights *weights, ls_weight_adder *add, void *context, lockstep_error *error);
/* Once everything was compared: pairs by content whose names contradict it (weight_search.c). */
lockstep_status ls_weights_find_contradictions(ls_weights *weights, lockstep_error *error);
/* Codes are equal only together with everything that belongs to them: what isn't becomes unsupported. */
void ls_weights_judge_schemes(ls_weights *weights);
/* NULL when there is no memory. */
ls_weight_pair *ls_weights_add_pair(ls_weights *weights, const ls_weight_pair *pair);
/* Compares one pair: verdict, layout, metrics, cause. */
lockstep_status ls_weights_compare(ls_weights *weights, ls_weight_pair *pair, lockstep_error *error);
/* Pairs by content what has no partner, and looks for content under other names. */
lockstep_status ls_weights_search(ls_weights *weights, lockstep_error *error);

/* A part's values with some changes done; `owned` is freed by the caller. */
typedef struct ls_weight_values {
    ls_view view;
    float *owned;
} ls_weight_values;

lockstep_status ls_weight_read(const ls_weights *weights, int side, const ls_weight_part *part, unsigned changes,
                               uint64_t heads, ls_weight_values *out_values, lockstep_error *error);
/* Query or key-value heads, by the name of the weight. */
uint64_t ls_weight_heads(const ls_weights *weights, const char *name);
/* The pair's two views, of equal shapes in the order of their elements; fills layout
 * and padding. LOCKSTEP_INCOMPARABLE when no layout makes the shapes agree. */
lockstep_status ls_weight_lay_out(ls_weight_pair *pair, ls_view *reference, ls_view *candidate);
/* Fills region, unless the pair differs everywhere (weight_regions.c). */
void ls_weight_find_region(ls_weight_pair *pair, const ls_view *reference, const ls_view *candidate, const lockstep_dtype types[LS_SIDES]);
/* Why a pair differs: transforms that are tried (weight_causes.c). */
lockstep_status ls_weight_find_cause(ls_weights *weights, ls_weight_pair *pair, lockstep_error *error);

#endif
