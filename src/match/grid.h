/* A batch of sequences of one length lies in its tensors along two axes, and in attention
 * scores along a third: which sequences and which tokens of two batches are the same. */
#ifndef LS_MATCH_GRID_H
#define LS_MATCH_GRID_H

#include "match/token_alignment.h"

/* The rows of a pass: `sequences` of `length` rows each, one after another. */
typedef struct ls_grid {
    uint64_t sequences, length;
} ls_grid;

/* The indexes that are the same, on both sides. */
typedef struct ls_grid_axis {
    uint32_t *reference, *candidate;
    size_t count;
} ls_grid_axis;

typedef struct ls_grids {
    ls_grid reference, candidate;
    ls_grid_axis sequences, tokens; /* tokens: of each of these sequences */
    bool regular;                   /* all that is shared is these tokens of these sequences */
    const ls_row_pair *rows;        /* all that is shared, a sequence after another; the pass pair's */
    size_t row_count;
} ls_grids;

/* Reads the rows of two passes that are paired. False when out of memory, or when they have no rows in common. */
bool ls_grids_read(const ls_pass *reference, const ls_pass *candidate, const ls_pass_pair *pair, ls_grids *out_grids);
/* The row after the last that is of the same sequences as this one. */
size_t ls_grids_run(const ls_grids *grids, size_t row);
void ls_grids_done(ls_grids *grids);

#endif
