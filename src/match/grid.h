/* A batch of sequences of equal length has two axes in its tensors, and a third in attention scores. This
 * finds which sequences and which tokens of two batches are the same. */
#ifndef LS_MATCH_GRID_H
#define LS_MATCH_GRID_H

#include "match/token_alignment.h"

/* The rows of a pass: so many sequences of so many rows each, one after another. */
typedef struct ls_grid {
    uint64_t sequences, length;
} ls_grid;

/* Corresponding indexes on both sides. */
typedef struct ls_grid_axis {
    uint32_t *reference, *candidate;
    size_t count;
} ls_grid_axis;

typedef struct ls_grids {
    ls_grid reference, candidate;
    ls_grid_axis sequences, tokens; /* shared sequences, and the tokens that each of them shares */
    bool regular;                   /* nothing else is shared */
    const ls_row_pair *rows;        /* all shared rows, sequence by sequence; borrowed from the pass pair */
    size_t row_count;
} ls_grids;

/* One sequence where the rows are no regular batch. */
ls_grid ls_grid_of(const ls_pass *pass);
/* Reads the rows of a pass pair. False when out of memory, or when no rows are shared. */
bool ls_grids_read(const ls_pass *reference, const ls_pass *candidate, const ls_pass_pair *pair, ls_grids *out_grids);
/* The row after the last one of the same two sequences as this row. */
size_t ls_grids_run(const ls_grids *grids, size_t row);
void ls_grids_done(ls_grids *grids);

#endif
