/* What two tensors look like, in few numbers: cells for heat maps, a histogram of the differences, and the worst positions.
 * Of each block of elements that one cell stands for, the cell is the element whose two values differ most, so that a cell
 * always holds two values that are in the tensors, and nothing is averaged away. */
#ifndef LS_REPORT_PICTURE_H
#define LS_REPORT_PICTURE_H

#include "tensor/tensor.h"

enum { LS_PICTURE_SLICES = 16, LS_PICTURE_BINS = 64, LS_PICTURE_WORST = 12 };

typedef struct ls_picture_cell {
    float reference, candidate;
    uint32_t at; /* in its block: row * column_step + column */
} ls_picture_cell;

typedef struct ls_picture_place {
    uint64_t at; /* flat, row-major */
    double reference, candidate;
} ls_picture_place;

/* A tensor is seen as slices of rows and columns, its last two axes without those of size 1. */
typedef struct ls_picture {
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK];
    uint64_t slices, rows, columns;
    uint64_t drawn[LS_PICTURE_SLICES]; /* the slices with the largest differences, in their order */
    double errors[LS_PICTURE_SLICES];  /* relative L2 of those */
    size_t drawn_count;
    uint64_t row_step, column_step, height, width; /* of each drawn slice */
    ls_picture_cell *cells;                        /* drawn_count * height * width */
    double largest;                                /* |value| of a side, finite and not masked */
    double largest_difference;
    uint64_t differences[LS_PICTURE_BINS]; /* from -largest_difference to largest_difference; the finite ones */
    double low, high;                      /* of both sides' values */
    uint64_t values[2][LS_PICTURE_BINS];
    uint64_t left_out; /* elements that are not finite, or masked, on a side: in no histogram */
    ls_picture_place worst[LS_PICTURE_WORST]; /* largest first; not finite on one side only: before all others */
    size_t worst_count;
} ls_picture;

/* The views have equally many elements, which correspond; `cells` is the most that may be drawn. The caller releases it. */
lockstep_status ls_picture_draw(const ls_view *reference, const ls_view *candidate, uint64_t cells, ls_picture *out_picture, lockstep_error *error);
void ls_picture_done(ls_picture *picture);

/* Whether a value has a colour: it is finite, and no mask. */
bool ls_picture_has(double value);

#endif
