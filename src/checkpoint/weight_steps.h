/* The steps of comparing weights, one file each; weights.c runs them in order. */
#ifndef LS_CHECKPOINT_WEIGHT_STEPS_H
#define LS_CHECKPOINT_WEIGHT_STEPS_H

#include "checkpoint/weight_model.h"

/* Fills pairs by name and by the preset's rules. */
lockstep_status ls_weights_pair(ls_weights *weights, const char *tensors, lockstep_error *error);
typedef lockstep_status ls_weight_adder(void *context, const ls_weight_pair *pair);
/* Adds pairs whose names differ only in their prefixes (weight_prefixes.c). */
lockstep_status ls_weights_pair_beginnings(ls_weights *weights, ls_weight_adder *add, void *context, lockstep_error *error);
/* After everything was compared: finds pairs by content whose names contradict them (weight_search.c). */
lockstep_status ls_weights_find_contradictions(ls_weights *weights, lockstep_error *error);
/* Codes count as equal only if everything that belongs to them is equal, too; otherwise they become unsupported. */
void ls_weights_judge_schemes(ls_weights *weights);
/* NULL when there is no memory. */
ls_weight_pair *ls_weights_add_pair(ls_weights *weights, const ls_weight_pair *pair);
/* Compares one pair: verdict, layout, metrics, cause. */
lockstep_status ls_weights_compare(ls_weights *weights, ls_weight_pair *pair, lockstep_error *error);
/* Whether a sample of two parts agrees within what their types allow; a constant proves nothing. */
bool ls_weight_parts_agree(ls_weights *weights, const ls_weight_pair *pair);
/* Pairs stacked experts with single ones by content (weight_stacks.c). */
lockstep_status ls_weights_pair_stacks(ls_weights *weights, lockstep_error *error);
/* Pairs fused weights with their parts by content (weight_parts.c). */
lockstep_status ls_weights_pair_parts(ls_weights *weights, lockstep_error *error);
/* Pairs the remaining tensors by content, and searches for content under other names. */
lockstep_status ls_weights_search(ls_weights *weights, lockstep_error *error);

/* A part's values with some changes applied; the caller frees `owned`. */
typedef struct ls_weight_values {
    ls_view view;
    float *owned;
} ls_weight_values;

lockstep_status ls_weight_read(const ls_weights *weights, int side, const ls_weight_part *part, unsigned changes,
                               uint64_t heads, ls_weight_values *out_values, lockstep_error *error);
/* Query or key-value heads, by the name of the weight. */
uint64_t ls_weight_heads(const ls_weights *weights, const char *name);
/* Makes the pair's two views equal in shape, with corresponding elements in the same order; appends what was done,
 * and fills in the padding. LOCKSTEP_INCOMPARABLE when no layout makes the shapes agree. */
lockstep_status ls_weight_lay_out(ls_weight_pair *pair, ls_view *reference, ls_view *candidate, ls_text *layout);
/* Judges a pair of which a side has codes by what its scheme rounds to them (weight_cells.c). */
lockstep_status ls_weight_judge_codes(ls_weight_pair *pair, const ls_view sides[LS_SIDES], const lockstep_dtype types[LS_SIDES], lockstep_error *error);
/* Fills region, unless the pair differs everywhere (weight_regions.c). */
void ls_weight_find_region(ls_weight_pair *pair, const ls_view *reference, const ls_view *candidate, const lockstep_dtype types[LS_SIDES]);
/* Finds out why a pair differs, by trying transforms (weight_causes.c). */
void ls_weight_find_cause(ls_weights *weights, ls_weight_pair *pair);
/* The same, by looking at rows and columns (weight_rows.c). */
void ls_weight_find_rows(ls_weights *weights, ls_weight_pair *pair);

#endif
