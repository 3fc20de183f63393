/* Estimates the difference of two tensors from a sample of their elements. */
#ifndef LS_COMPARE_SAMPLE_H
#define LS_COMPARE_SAMPLE_H

#include "compare/relative.h"
#include "tensor/tensor.h"

/* The relative L2 of `sample` elements (or of all, if there are no more), plus a penalty for those that are masked,
 * infinite or NaN on one side only. Samples are short runs at fixed pseudo-random places, because on a regular grid
 * permuted axes can agree at every sample (the diagonal of a square). The views must have equally many elements. */
double ls_sampled_error(const ls_view *reference, const ls_view *candidate, uint64_t sample);
/* Of `count` elements in row-major order, from one place of the reference and another of the candidate on. */
ls_squares ls_squares_between(const ls_view *reference, uint64_t first, const ls_view *candidate, uint64_t candidate_first, uint64_t count);

#endif
