/* Merges means and squared deviations with the update of Chan, Golub and LeVeque (1979), which avoids
 * cancellation when the mean is large. */
#ifndef LS_TENSOR_SPREAD_H
#define LS_TENSOR_SPREAD_H

/* Merges the mean and sum of squared deviations of `more` values into those of `had` values. */
static inline void ls_spread_merge(double had, double *mean, double *m2, double more, double more_mean, double more_m2) {
    double delta = more_mean - *mean;
    *mean += delta * (more / (had + more));
    *m2 += more_m2 + delta * delta * (had * more / (had + more));
}

#endif
