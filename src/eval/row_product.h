/* Products of two rows of numbers, and the sums of their terms' squares, which tell how far rounding may move them. */
#ifndef LS_EVAL_ROW_PRODUCT_H
#define LS_EVAL_ROW_PRODUCT_H

#include <stdint.h>

typedef struct ls_row_product {
    double sum, squares;
} ls_row_product;

ls_row_product ls_row_multiply(const double *a, const double *b, uint64_t n);
/* In single precision. What overflows is not finite. */
ls_row_product ls_row_multiply_narrow(const float *a, const float *b, uint64_t n);

/* What rounding errors of the sum are relative to. */
double ls_row_scale(double sum, double squares);

#endif
