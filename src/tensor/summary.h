/* Statistics of a tensor's values, gathered piece by piece in one pass. */
#ifndef LS_TENSOR_SUMMARY_H
#define LS_TENSOR_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* min to squares are over finite values. */
typedef struct ls_summary {
    uint64_t finite, nan, inf, zeros;
    double min, max, mean;
    double m2;      /* sum of squared deviations from the mean */
    double squares; /* sum of squares */
    bool no_spread; /* set after init if m2 is not needed */
} ls_summary;

void ls_summary_init(ls_summary *summary);
/* The values need not be aligned. */
void ls_summary_add_f32(ls_summary *summary, const void *values, size_t count);
void ls_summary_add_f64(ls_summary *summary, const void *values, size_t count);
/* The same as adding other's values to `into`. */
void ls_summary_merge(ls_summary *into, const ls_summary *other);

/* NaN if there is no finite value; std is the population's, as in numpy.std. */
double ls_summary_mean(const ls_summary *summary);
double ls_summary_std(const ls_summary *summary);
double ls_summary_l2(const ls_summary *summary);

#endif
