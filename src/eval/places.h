/* Tensors that lie in another one's memory: views, and what writes to a part of a cache. */
#ifndef LS_EVAL_PLACES_H
#define LS_EVAL_PLACES_H

#include "eval/eval.h"

/* Bytes of an element; 0 for a type whose elements have no addresses. */
uint64_t ls_node_element_bytes(const ls_node *node);
/* The elements of a view of `base`, whose values are given. Fails, with a reason, where it goes beyond them. */
bool ls_place_read(const ls_node *view, const ls_node *base, const double *values, double *out, const char **out_reason);
/* Writes values into the contents of `base`, as the node does: all of them, perhaps scaled, or rows to the rows that `index` names. False,
 * perhaps after some of them, where that is not understood. */
bool ls_place_write(const ls_node *write, const ls_node *base, const ls_array *values, const ls_array *index, double *contents);

#endif
