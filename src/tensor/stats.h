/* Statistics of a tensor's values, in one pass over any size. */
#ifndef LS_TENSOR_STATS_H
#define LS_TENSOR_STATS_H

#include "tensor/tensor.h"

/* min to l2 are over the finite values only, and NaN if there are none. std is the population's
 * (it divides by the count); l2 is the square root of the sum of squares. */
typedef struct ls_stats {
    uint64_t elements, nan, inf, zeros;
    double min, max, mean, std, l2;
} ls_stats;

/* Runs on all cores; the result does not depend on their number. */
lockstep_status ls_view_stats(const ls_view *view, ls_stats *out_stats, lockstep_error *error);

#endif
