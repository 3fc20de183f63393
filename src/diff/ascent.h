/* Climbs from a pair to what it was computed from: its nearest paired ancestors. */
#ifndef LS_DIFF_ASCENT_H
#define LS_DIFF_ASCENT_H

#include "diff/walk.h"

typedef struct ls_ascent {
    const ls_walk *walk;
    size_t *stack, depth;
    size_t *seen, round; /* node -> the last climb that saw it */
    /* What the last climb found. */
    ls_index_list inputs;   /* pairs */
    ls_index_list interval; /* nodes without a partner between them and the start */
    ls_index_list weights;  /* nodes: the weights that went into it after its inputs */
} ls_ascent;

/* The walk is borrowed. */
lockstep_status ls_ascent_open(const ls_walk *walk, ls_ascent *out_ascent, lockstep_error *error);
void ls_ascent_close(ls_ascent *ascent);
/* Fills in the three lists; the next climb overwrites them. */
void ls_ascent_climb(ls_ascent *ascent, size_t pair);

#endif
