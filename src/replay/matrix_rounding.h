/* What rounding explains of a product with several matrices: each row of the result has its own, of an expert or of a head. */
#ifndef LS_REPLAY_MATRIX_ROUNDING_H
#define LS_REPLAY_MATRIX_ROUNDING_H

#include "replay/replayer.h"

/* Each gives the variances of the wanted rows, from r->weight and r->x, as ls_replayer_rounding does. False where the shapes don't fit;
 * r->variance is to be freed all the same. */

/* MUL_MAT_ID. */
bool ls_rounding_of_experts(const ls_node *node, const ls_array *ids, const bool *known, ls_rounding *r);
/* MUL_MAT whose weight has more than two axes. */
bool ls_rounding_of_stack(const ls_node *node, const ls_node *weight, const bool *known, ls_rounding *r);

#endif
