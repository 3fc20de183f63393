/* What is summed over one tile of two tensors. The plain C functions define the
 * result; faster ones give the same bits: sums run in LS_KERNEL_LANES independent
 * lanes (element i in lane i % 4), each in double, folded as (0 + 1) + (2 + 3);
 * products are added by fused multiply-add. Inputs may lie at any address. */
#ifndef LS_COMPARE_KERNEL_H
#define LS_COMPARE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compare/shares.h"

enum { LS_KERNEL_LANES = 4 };

/* One tensor's part. Zeros in min and max are positive. */
typedef struct ls_tile_side {
    double min, max, mean;
    double m2; /* sum of squared deviations from the mean; + n mean^2 is the sum of squares */
} ls_tile_side;

/* d = candidate - reference, both as double. */
typedef struct ls_tile {
    bool finite;    /* every value and every d is; otherwise nothing else is set */
    bool same_bits; /* -0 is not 0 */
    double max_abs, sum_abs, sum_squares; /* of d */
    double max_rel; /* of |d| / |reference|; 0 where both are 0, infinite where only the reference is */
    double sum_rel; /* of the same, where the reference is not 0 */
    double dot;
    ls_tile_side reference, candidate;
} ls_tile;

typedef struct ls_count_limits {
    double max_abs; /* the tile's: no |d| is above it */
    bool within;    /* known: none is beyond atol + rtol |reference| */
    double atol, rtol;
} ls_count_limits;

/* n is at least 1, but may be 0 for what counts. */
typedef struct ls_kernels {
    const char *name;
    void (*sum_f32)(const void *reference, const void *candidate, size_t n, ls_tile *out_tile);
    void (*sum_f64)(const void *reference, const void *candidate, size_t n, ls_tile *out_tile);
    /* Of finite values: how many |d| are above each of ls_share_thresholds, and, as
     * the last count, not within atol + rtol |reference|. Adds to the counts. */
    void (*count_f32)(const void *reference, const void *candidate, size_t n, const ls_count_limits *limits,
                      uint64_t counts[LS_SHARES + 1]);
    void (*count_f64)(const void *reference, const void *candidate, size_t n, const ls_count_limits *limits,
                      uint64_t counts[LS_SHARES + 1]);
    /* The largest number of steps between neighbouring numbers of the type, from one
     * value to the other, where both are finite; 0 and -0 are one number. */
    uint32_t (*ulp_f32)(const void *reference, const void *candidate, size_t n);
    /* The same for 16-bit types; `infinity` is theirs (0x7c00 for f16, 0x7f80 for bf16). */
    uint32_t (*ulp_16)(const void *reference, const void *candidate, size_t n, uint16_t infinity);
    /* Sums of d^2, reference^2 and candidate^2, in lanes as above. */
    void (*squares_f32)(const void *reference, const void *candidate, size_t n, double out_sums[3]);
    void (*squares_f64)(const void *reference, const void *candidate, size_t n, double out_sums[3]);
} ls_kernels;

extern const ls_kernels ls_kernels_c;
/* With FMA, too; NULL where the processor hasn't got them. */
const ls_kernels *ls_kernels_avx2(void);
/* The fastest that this processor runs. */
const ls_kernels *ls_kernels_best(void);

/* --- what kernels are made of */

/* Deviations are summed about the tile's first value, the pivot: a large mean then
 * doesn't cancel the spread, and because the pivot is itself one of the values, the
 * sums lose at most about n roundings whatever it is. */
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
/* Adds elements [from, to). */
void ls_lanes_add_f32(ls_lanes *lanes, const void *reference, const void *candidate, size_t from, size_t to);
void ls_lanes_add_f64(ls_lanes *lanes, const void *reference, const void *candidate, size_t from, size_t to);
/* All but same_bits. */
void ls_lanes_fold(const ls_lanes *lanes, size_t n, ls_tile *out_tile);

#endif
