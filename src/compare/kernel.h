/* Sums over one tile of two tensors. The plain C functions define the result, and
 * faster ones produce the same bits: sums are accumulated in LS_KERNEL_LANES
 * independent lanes of doubles (element i in lane i % 4), folded as (0 + 1) + (2 + 3);
 * products are added by fused multiply-add. Inputs may be unaligned. */
#ifndef LS_COMPARE_KERNEL_H
#define LS_COMPARE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compare/shares.h"

enum { LS_KERNEL_LANES = 4 };

/* The results for one tensor. Zeros in min and max are positive. */
typedef struct ls_tile_side {
    double min, max, mean;
    double m2; /* sum of squared deviations from the mean; the sum of squares is m2 + n mean^2 */
} ls_tile_side;

/* d = candidate - reference, both as double. */
typedef struct ls_tile {
    bool finite;    /* every value and every d is finite; otherwise nothing else is set */
    bool same_bits; /* -0 differs from 0 */
    double max_abs, sum_abs, sum_squares; /* of d */
    double max_rel; /* of |d| / |reference|; 0 if both are 0, infinite if only the reference is */
    double sum_rel; /* of the same, over elements whose reference is not 0 */
    double dot;
    ls_tile_side reference, candidate;
} ls_tile;

typedef struct ls_count_limits {
    double max_abs; /* of the tile: no |d| is larger */
    bool within;    /* it is known that no |d| exceeds atol + rtol |reference| */
    double atol, rtol;
} ls_count_limits;

/* n is at least 1; for the functions that count, it may be 0. */
typedef struct ls_kernels {
    const char *name;
    void (*sum_f32)(const void *reference, const void *candidate, size_t n, ls_tile *out_tile);
    void (*sum_f64)(const void *reference, const void *candidate, size_t n, ls_tile *out_tile);
    /* For finite values: add to the counts how many |d| are above each of
     * ls_share_thresholds, and as the last one, how many exceed atol + rtol |reference|. */
    void (*count_f32)(const void *reference, const void *candidate, size_t n, const ls_count_limits *limits,
                      uint64_t counts[LS_SHARES + 1]);
    void (*count_f64)(const void *reference, const void *candidate, size_t n, const ls_count_limits *limits,
                      uint64_t counts[LS_SHARES + 1]);
    /* The largest distance between two finite values in ULPs, that is, in steps between
     * adjacent numbers of the type; 0 and -0 are the same number. */
    uint32_t (*ulp_f32)(const void *reference, const void *candidate, size_t n);
    /* The same for 16-bit types; `infinity` is the type's (0x7c00 for f16, 0x7f80 for bf16). */
    uint32_t (*ulp_16)(const void *reference, const void *candidate, size_t n, uint16_t infinity);
    /* Sums of d^2, reference^2 and candidate^2, in lanes as above. */
    void (*squares_f32)(const void *reference, const void *candidate, size_t n, double out_sums[3]);
    void (*squares_f64)(const void *reference, const void *candidate, size_t n, double out_sums[3]);
} ls_kernels;

extern const ls_kernels ls_kernels_c;
/* Uses FMA, too; NULL if the processor doesn't support both. */
const ls_kernels *ls_kernels_avx2(void);
/* The fastest kernels that this processor supports. */
const ls_kernels *ls_kernels_best(void);

/* --- building blocks of kernels */

/* Deviations are summed about the tile's first value, the pivot, so that a large mean
 * doesn't cancel the spread. Because the pivot is itself one of the values, the sums
 * lose at most about n roundings, whatever it is. */
typedef struct ls_side_lanes {
    double pivot;
    double min[LS_KERNEL_LANES], max[LS_KERNEL_LANES];
    double shifted[LS_KERNEL_LANES], shifted_squares[LS_KERNEL_LANES]; /* of v - pivot */
} ls_side_lanes;

typedef struct ls_lanes {
    bool nonfinite;
    double max_abs[LS_KERNEL_LANES], sum_abs[LS_KERNEL_LANES], sum_squares[LS_KERNEL_LANES];
    double max_rel[LS_KERNEL_LANES], sum_rel[LS_KERNEL_LANES], dot[LS_KERNEL_LANES];
    ls_side_lanes reference, candidate;
} ls_lanes;

void ls_lanes_init(ls_lanes *lanes, double reference_pivot, double candidate_pivot);
/* Add elements [from, to). */
void ls_lanes_add_f32(ls_lanes *lanes, const void *reference, const void *candidate, size_t from, size_t to);
void ls_lanes_add_f64(ls_lanes *lanes, const void *reference, const void *candidate, size_t from, size_t to);
/* Computes everything but same_bits. */
void ls_lanes_fold(const ls_lanes *lanes, size_t n, ls_tile *out_tile);

#endif
