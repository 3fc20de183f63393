/* The product of two matrices, in double precision, with what the rounding errors of its elements are relative to. By
 * OpenBLAS where that is installed, in tiles, so that results don't depend on the number of threads. */
#ifndef LS_EVAL_MATRIX_PRODUCT_H
#define LS_EVAL_MATRIX_PRODUCT_H

#include "eval/eval.h"

/* a [m, k] times b [n, k] -> out [n, m]. */
typedef struct ls_matrix_product {
    const double *a, *b;
    const ls_array *weight; /* in place of a, where that is stored: its elements from `at` on */
    uint64_t at, m, n, k;
    bool is_narrow;         /* the weight's rows may be summed in single precision */
    double *out, *scale;    /* scale: as in ls_evaluation, or NULL */
} ls_matrix_product;

/* On all cores, where it is worth it. False if out of memory. */
bool ls_matrix_multiply(const ls_matrix_product *product);

#endif
