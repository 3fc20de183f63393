/* Layers that the candidate runs in some passes, but not in others in which the reference runs them. */
#ifndef LS_DIFF_LAYERS_LEFT_OUT_H
#define LS_DIFF_LAYERS_LEFT_OUT_H

#include "diff/model.h"

typedef struct ls_layers_left_out {
    size_t operations, passes; /* of the reference */
    size_t first;              /* the reference's first such node */
    int layer;                 /* its layer */
    size_t layers;             /* in the first such pass */
} ls_layers_left_out;

/* False if there are none, or where memory runs out. */
bool ls_layers_left_out_find(const ls_diff *diff, ls_layers_left_out *out);

#endif
