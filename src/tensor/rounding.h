/* How far an element type rounds the values that are stored in it. */
#ifndef LS_TENSOR_ROUNDING_H
#define LS_TENSOR_ROUNDING_H

#include "base/element_type.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether values lose precision in the type: all but f32, f64 and integers. */
bool ls_rounding_is_lossy(lockstep_dtype dtype);
/* The standard deviation of the rounding error of a type with blocks, relative to the largest magnitude of a block; 0 for any other. */
double ls_rounding_of_blocks(lockstep_dtype dtype);
/* How many successive elements of a row have the same variance, or nearly. It divides row_length. */
uint64_t ls_rounding_group(lockstep_dtype dtype, uint64_t row_length);
/* The variance of the rounding error of each group of elements of a tensor that was decoded from a type: its numbers are those of
 * floats. */
void ls_rounding_variance(lockstep_dtype dtype, const float *values, uint64_t elements, uint64_t group, double *out);

#endif
