/* How far an element type rounds the values that are stored in it. */
#ifndef LS_TENSOR_ROUNDING_H
#define LS_TENSOR_ROUNDING_H

#include "base/element_type.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether values lose precision in the type: all but f32, f64 and integers. */
bool ls_rounding_is_lossy(lockstep_dtype dtype);
/* The variance of the rounding error of each of the elements of a tensor that was decoded from a type, with rows of
 * row_length. `out` may be `values`. */
void ls_rounding_variance(lockstep_dtype dtype, const double *values, uint64_t elements, uint64_t row_length, double *out);

#endif
