/* Rows in another order. Implementations of experts gather the rows of each expert, in an order of their own. */
#ifndef LS_REPLAY_ROW_ORDER_H
#define LS_REPLAY_ROW_ORDER_H

#include "tensor/tensor.h"

/* For each of `rows` rows, the row of the reference that is most like it, each another one; to be freed. The reference has at least as
 * many. NULL if out of memory, or if there are too many rows. */
uint64_t *ls_row_order_find(const double *values, const ls_view *reference, uint64_t rows, uint64_t columns);
/* The reference's rows in this order; to be freed, NULL if out of memory. */
double *ls_row_order_apply(const uint64_t *order, const ls_view *reference, uint64_t rows, uint64_t columns);

#endif
