/* Tensors that hold pictures which a model is given. */
#ifndef LS_MATCH_PICTURE_NODE_H
#define LS_MATCH_PICTURE_NODE_H

#include "trace/trace.h"

/* Whether a shape is that of pictures: three colours, before rows and columns or after them. */
bool ls_shape_is_picture(int rank, const uint64_t *shape);
/* Floats of such a shape that a model is given: an input of its graph, or under a name that is used for nothing else. */
bool ls_node_is_picture(const ls_node *node);
/* Whether two nodes that correspond are. */
static inline bool ls_nodes_are_pictures(const ls_node *reference, const ls_node *candidate) { return ls_node_is_picture(reference) && ls_node_is_picture(candidate); }
/* The same without either, where no operation is known to compute it: to be tried, and not to be relied upon. */
bool ls_node_may_be_picture(const ls_node *node);

#endif
