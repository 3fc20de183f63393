#include "match/picture_node.h"

#include <string.h>

enum { LEAST_SIDE = 4 };

bool ls_shape_is_picture(int rank, const uint64_t *shape) {
    if (rank < 3 || (shape[rank - 3] != 3 && shape[rank - 1] != 3))
        return false;
    const bool is_last = shape[rank - 3] != 3;
    return shape[is_last ? rank - 3 : rank - 2] >= LEAST_SIDE && shape[is_last ? rank - 2 : rank - 1] >= LEAST_SIDE;
}

/* The names under which processors and engines hand pixels to a model. */
static bool has_usual_name(const ls_node *n) {
    static const char *const names[] = {"pixel_values", "inp_raw"};
    bool usual = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        usual = usual || strcmp(n->name, names[i]) == 0;
    return usual;
}

bool ls_node_may_be_picture(const ls_node *n) {
    return *n->op == '\0' && n->role != LOCKSTEP_ROLE_WEIGHT && ls_shape_is_picture(n->rank, n->shape) && !ls_node_is_integer(n);
}

bool ls_node_is_picture(const ls_node *n) {
    return (n->role == LOCKSTEP_ROLE_INPUT || has_usual_name(n)) && n->role != LOCKSTEP_ROLE_WEIGHT && ls_shape_is_picture(n->rank, n->shape) && !ls_node_is_integer(n);
}
