/* Relative errors from sums of squares. */
#ifndef LS_COMPARE_RELATIVE_H
#define LS_COMPARE_RELATIVE_H

#include <math.h>

/* Sums of squares: of a difference, and of the reference. */
typedef struct ls_squares {
    double difference, reference;
} ls_squares;

/* sum d^2 / sum reference^2: the NMSE relative to the mean square. 0 if nothing differs, infinite if only the
 * reference is all zeros. */
static inline double ls_relative_squares(double error2, double reference2) { return error2 == 0 ? 0 : error2 / reference2; }
/* |d|_2 / |reference|_2, with the same conventions. */
static inline double ls_relative_l2(double error2, double reference2) { return sqrt(ls_relative_squares(error2, reference2)); }
/* The same, but always infinite for an all-zero reference, which proves nothing. */
static inline double ls_relative_l2_of_some(double error2, double reference2) { return reference2 > 0 ? ls_relative_l2(error2, reference2) : INFINITY; }

#endif
