/* Pictures that were rounded to 8 bits: their values lie on a grid, and differ by whole steps of it. */
#ifndef LS_COMPARE_EIGHT_BITS_H
#define LS_COMPARE_EIGHT_BITS_H

#include "tensor/tensor.h"

typedef struct ls_eight_bits {
    double up, down; /* shares of the elements that are a step above the reference, or below it */
} ls_eight_bits;

/* Whether both views, of equal shape with three colours before rows and columns or after them, have values on one grid of
 * at most 256 levels for each colour, and no element is more than a step off. */
bool ls_eight_bits_of(const ls_view *reference, const ls_view *candidate, ls_eight_bits *out);

#endif
