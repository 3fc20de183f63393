/* Matrix products by OpenBLAS, where it is installed. It is looked for when the first product is computed, because programs
 * that compute none shouldn't wait for its threads. */
#ifndef LS_EVAL_BLAS_H
#define LS_EVAL_BLAS_H

#include <stdbool.h>
#include <stdint.h>

/* Whether products can be computed: LOCKSTEP_BLAS=0 in the environment says no. */
bool ls_blas_is_there(void);
/* out[n][0 … m) = b [n, k] times a [m, k], in rows that are `stride` numbers apart. On the calling thread. */
void ls_blas_f64(const double *a, const double *b, uint64_t m, uint64_t n, uint64_t k, double *out, uint64_t stride);
void ls_blas_f32(const float *a, const float *b, uint64_t m, uint64_t n, uint64_t k, float *out, uint64_t stride);

#endif
