/* Mean and squared deviations of values that come in parts: Chan, Golub and LeVeque's update (1979), so that
 * a large mean doesn't cancel the deviations. */
#ifndef LS_TENSOR_SPREAD_H
#define LS_TENSOR_SPREAD_H

/* Adds `more` values with their mean and sum of squared deviations to those of `had` values. */
static inline void ls_spread_merge(double had, double *mean, double *m2, double more, double more_mean, double more_m2) {
    double delta = more_mean - *mean;
    *mean += delta * (more / (had + more));
    *m2 += more_m2 + delta * delta * (had * more / (had + more));
}

#endif
