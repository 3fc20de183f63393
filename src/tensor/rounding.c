#include "tensor/rounding.h"

#include <math.h>
#include <stddef.h>

/* Blocks: for quantized types, elements share a scale that follows from the largest of them, and the error's standard
 * deviation is `relative` times the largest magnitude. The factors are the step of the type's grid over sqrt(12), or, where a
 * type has no uniform grid, the root of the NMSE of normally distributed values (checkpoint/quality.c) over the ratio of
 * the largest of a block to its root mean square. */
static const struct row {
    lockstep_dtype dtype;
    uint32_t block;
    double relative;
} table[] = {
    {LOCKSTEP_F16, 1, 0.00020778},
    {LOCKSTEP_BF16, 1, 0.0016613},
    {LOCKSTEP_Q8_0, 32, 0.0022731},
    {LOCKSTEP_Q4_0, 32, 0.0360844},
    {LOCKSTEP_Q4_1, 32, 0.0293},
    {LOCKSTEP_Q5_0, 32, 0.0180422},
    {LOCKSTEP_Q5_1, 32, 0.0141},
    {LOCKSTEP_Q2_K, 16, 0.1257},
    {LOCKSTEP_Q3_K, 16, 0.0678},
    {LOCKSTEP_Q4_K, 32, 0.0296},
    {LOCKSTEP_Q5_K, 32, 0.0148},
    {LOCKSTEP_Q6_K, 16, 0.0081},
    {LOCKSTEP_IQ2_XXS, 32, 0.144},
    {LOCKSTEP_IQ2_XS, 16, 0.141},
    {LOCKSTEP_IQ2_S, 16, 0.117},
    {LOCKSTEP_IQ3_XXS, 32, 0.0761},
    {LOCKSTEP_IQ3_S, 32, 0.0573},
    {LOCKSTEP_IQ1_S, 32, 0.203},
    {LOCKSTEP_IQ1_M, 16, 0.211},
    {LOCKSTEP_IQ4_NL, 32, 0.0314},
    {LOCKSTEP_IQ4_XS, 32, 0.0316},
    {LOCKSTEP_TQ1_0, 256, 0.263},
    {LOCKSTEP_TQ2_0, 256, 0.263},
    {LOCKSTEP_MXFP4, 32, 0.0481},
    {LOCKSTEP_NVFP4, 16, 0.0447},
    {LOCKSTEP_Q1_0, 128, 0.211},
    {LOCKSTEP_Q2_0, 64, 0.273},
};

static const struct row *row_of(lockstep_dtype dtype) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].dtype == dtype)
            return &table[i];
    return NULL;
}

double ls_rounding_of_blocks(lockstep_dtype dtype) {
    const struct row *row = row_of(dtype);
    return row != NULL && row->block > 1 ? row->relative : 0;
}

bool ls_rounding_is_lossy(lockstep_dtype dtype) { return row_of(dtype) != NULL; }

typedef float lanes __attribute__((vector_size(16), aligned(4)));
typedef int32_t masks __attribute__((vector_size(16)));
enum { LANES = 4, WITHOUT_SIGN = 0x7fffffff };

/* Several at a time, because each waits for the one before. */
static float largest_of(const float *values, uint64_t count) {
    masks all = {0}; /* magnitudes are ordered as the integers with their bits */
    float largest = 0;
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const masks x = (masks) * (const lanes *)(const void *)(values + i) & WITHOUT_SIGN, above = x > all;
        all = (above & x) | (~above & all);
    }
    for (; i < count; i++)
        largest = fabsf(values[i]) > largest ? fabsf(values[i]) : largest;
    for (int k = 0; k < LANES; k++)
        largest = ((lanes)all)[k] > largest ? ((lanes)all)[k] : largest;
    return largest;
}

uint64_t ls_rounding_group(lockstep_dtype dtype, uint64_t row_length) {
    enum { OF_SINGLE = 32 }; /* elements of a type without blocks, for which a mean of their variances stands */
    const struct row *row = row_of(dtype);
    const uint64_t block = row != NULL && row->block > 1 ? row->block : OF_SINGLE;
    return row_length % block == 0 ? block : 1; /* types with blocks have no other rows */
}

static double mean_square(const float *values, uint64_t count) {
    double sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return sum / (double)count;
}

void ls_rounding_variance(lockstep_dtype dtype, const float *values, uint64_t elements, uint64_t group, double *out) {
    const struct row *row = row_of(dtype);
    for (uint64_t from = 0; from < elements; from += group) {
        const uint64_t count = group < elements - from ? group : elements - from;
        const double largest = row != NULL && row->block > 1 ? (double)largest_of(values + from, count) : 0;
        const double square = row == NULL ? 0 : row->block > 1 ? largest * largest : mean_square(values + from, count);
        out[from / group] = row != NULL ? row->relative * row->relative * square : 0;
    }
}
