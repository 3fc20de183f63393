/* Sums over numbers: what is not finite, or masked, is left out. All are computed on all cores, and are the same on any number. */
#ifndef LS_REPLAY_DISTANCES_H
#define LS_REPLAY_DISTANCES_H

#include "eval/eval.h"
#include "tensor/dtype.h"

bool ls_is_number(double value);
/* Sum of squares. */
double ls_squares_of(const double *values, uint64_t count);
/* L2 of an array's numbers. */
double ls_norm_of(const ls_array *array);

/* Over elements that are numbers on both sides. */
typedef struct ls_distance {
    double difference, norm; /* squares: of candidate - reference, and of the reference */
    uint64_t numbers;
    uint64_t apart;          /* elements that are a number on one side only, and not NaN in the candidate */
} ls_distance;

/* The views have as many elements. */
ls_distance ls_distance_between(const ls_view *reference, const ls_view *candidate);
ls_distance ls_distance_of(const double *reference, const double *candidate, uint64_t count);
/* Relative L2, plus the share of elements that are apart. Infinite where nothing can be compared, and as soon as the first of them differ
 * by much more than the limit: relative to their own mean square, or to `least` if that is more. */
double ls_error_between(const ls_view *reference, const ls_view *candidate, double limit, double least);

#endif
