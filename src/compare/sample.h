/* How far apart two tensors are, by a look at some of their elements. */
#ifndef LS_COMPARE_SAMPLE_H
#define LS_COMPARE_SAMPLE_H

#include "tensor/tensor.h"

/* The relative L2 of `sample` elements (all, where there are no more), plus a penalty for those that are masked, infinite
 * or NaN on one side only. They lie in short runs at random places, the same ones each time: on a regular grid, permuted
 * axes can agree at every sample (the diagonal of a square). The views have as many elements as each other. */
double ls_sampled_error(const ls_view *reference, const ls_view *candidate, uint64_t sample);

#endif
