#include "match/picture_node.h"

enum { LEAST_SIDE = 4 };

bool ls_shape_is_picture(int rank, const uint64_t *shape) {
    if (rank < 3 || (shape[rank - 3] != 3 && shape[rank - 1] != 3))
        return false;
    const bool is_last = shape[rank - 3] != 3;
    return shape[is_last ? rank - 3 : rank - 2] >= LEAST_SIDE && shape[is_last ? rank - 2 : rank - 1] >= LEAST_SIDE;
}

bool ls_node_is_picture(const ls_node *n) {
    const bool is_given = n->role == LOCKSTEP_ROLE_INPUT || n->source_count == 0 || *n->op == '\0';
    return is_given && n->role != LOCKSTEP_ROLE_WEIGHT && ls_shape_is_picture(n->rank, n->shape) && !ls_node_is_integer(n);
}
