/* Errors per row (a run of row_length elements) of a tensor that is read in pieces: finds
 * the worst row, and rows that were lost. */
#ifndef LS_COMPARE_ROW_METRICS_H
#define LS_COMPARE_ROW_METRICS_H

#include "compare/kernel.h"
#include "tensor/tensor.h"

/* Metrics over the rows of a tensor, if requested. */
typedef struct ls_row_metrics {
    uint64_t rows;
    double worst_nmse; /* the largest sum d^2 / sum reference^2 of a row; NaN if there is none */
    uint64_t worst_row;
    double largest_error2, largest_error_nmse; /* of the row with the largest sum d^2 */
    uint64_t largest_error_row;
    uint64_t lost, first_lost; /* rows of zeros whose reference isn't zero; the first is valid if lost > 0 */
    double largest_lost;       /* the largest sum reference^2 of lost rows */
} ls_row_metrics;

typedef struct ls_row_sums {
    double error2, reference2, candidate2; /* sums of squares of d and of both sides */
} ls_row_sums;

/* State for a piece of consecutive elements, which may begin and end inside a row. */
typedef struct ls_row_partial {
    uint64_t length, first, at; /* length of a row; first element of the piece; next element */
    ls_row_sums head, open;     /* of the row in which the piece begins; of the current row */
    bool head_ended;
    ls_row_metrics found;
} ls_row_partial;

/* `first` is the index of the piece's first element; row_length is at least 1. */
void ls_row_begin(ls_row_partial *p, uint64_t first, uint64_t row_length);
/* Adds the next n elements: floats, or doubles if `wide`. */
void ls_row_add(ls_row_partial *p, const ls_kernels *kernels, const void *reference, const void *candidate, size_t n,
                bool wide);
/* Merges the next piece into this one. */
void ls_row_merge(ls_row_partial *into, const ls_row_partial *next);

/* Relative L2 of two views after subtracting the mean difference of each row of `columns`
 * elements. Values at or below a side's mask are left out. Infinite if it can't be measured. */
double ls_row_constant_left(const ls_view *reference, const ls_view *candidate, uint64_t columns, double mask_reference, double mask_candidate);

#endif
