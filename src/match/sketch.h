/* What a tensor holds, in a few numbers: enough to rule out nearly every tensor that is not the same one. */
#ifndef LS_MATCH_SKETCH_H
#define LS_MATCH_SKETCH_H

#include "tensor/tensor.h"

enum { LS_SKETCH_PLACES = 256, LS_SKETCH_QUANTILES = 17 };

typedef struct ls_sketch {
    uint64_t elements;
    double l2;      /* of all numbers */
    double spread2; /* sum of squares of the deviations from the mean, at the places below */
    bool is_plain;  /* integers, or fewer than eight different values, which many tensors may have: only equal ones count */
    float quantiles[LS_SKETCH_QUANTILES]; /* of a sample of the numbers, over their RMS */
    float values[LS_SKETCH_PLACES];       /* at random places; NaN where there is no number, or a mask */
} ls_sketch;

/* Leaves only the last row along an axis; not for types whose elements can't be read one by one. */
void ls_sketch_narrow(ls_view *view, int axis);
/* False for nothing at all, and for a type whose elements can't be read one by one. */
bool ls_sketch_take(const ls_view *view, bool integers, ls_sketch *out_sketch);
/* Could one be the other with its elements in another order? Compares size, L2 and quantiles; `slack`: by how many times the usual
 * these may differ, and where it is more than 1, L2 is not compared. */
bool ls_sketch_is_like(const ls_sketch *reference, const ls_sketch *candidate, double slack);
/* Two tensors with the same values: each may stand for the other. */
bool ls_sketches_are_copies(const ls_sketch *a, const ls_sketch *b);
/* The difference of two tensors, element by element as they lie, relative to the reference's deviations from its mean: constant
 * offsets make unrelated tensors similar, so they don't count. Infinite for different sizes, and for plain ones that are not equal. */
double ls_sketch_distance(const ls_sketch *reference, const ls_sketch *candidate);
/* The same whatever factor and offset the candidate has: 0 for a multiple of the reference, 1 for what has nothing to do with it. */
double ls_sketch_unlikeness(const ls_sketch *reference, const ls_sketch *candidate);
/* How well the difference of two candidates agrees with that of their two references: 0 is exactly. Rounding that both have in
 * common is not in it, so it tells tensors apart that differ by less than their rounding. */
double ls_sketch_contrast(const ls_sketch *reference, const ls_sketch *candidate, const ls_sketch *other_reference, const ls_sketch *other_candidate);

#endif
