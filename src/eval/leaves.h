/* The values of nodes that are given rather than computed: stored ones, and weights of model files. */
#ifndef LS_EVAL_LEAVES_H
#define LS_EVAL_LEAVES_H

#include "eval/eval.h"
#include "eval/models.h"

/* Each of these fails with a reason, and leaves `out` alone; otherwise out->values is to be freed. */

/* The values that were stored for a node. */
bool ls_leaf_stored(const ls_trace *trace, size_t node, ls_array *out, const char **out_reason);
/* A weight of a model file. */
bool ls_leaf_weight(const ls_models *models, size_t node, ls_array *out, const char **out_reason);

/* An operand of `reader` that is a weight of a model file, if the operation can take it as it is stored: then it is borrowed. */
bool ls_leaf_borrow(const ls_models *models, const ls_node *reader, size_t slot, ls_array *out);
/* Memory that nothing was written to: NaN. */
bool ls_leaf_unwritten(const ls_node *node, ls_array *out, const char **out_reason);

/* Room for a node's values; NULL, with a reason, if there is none. */
double *ls_values_new(const ls_node *node, const char **out_reason);
/* An array of the node's shape, with these values. */
void ls_values_give(const ls_node *node, double *values, ls_array *out);
/* Sets the reason. Always false. */
bool ls_no_values(const char **out_reason, const char *reason);

#endif
