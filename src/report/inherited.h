/* What was wrong already in what a pair was computed from. */
#ifndef LS_REPORT_INHERITED_H
#define LS_REPORT_INHERITED_H

#include "diff/model.h"

/* The errors of all pairs, apart: relative L2, NaN where it is not known. */
typedef struct ls_error_parts {
    double *inherited; /* the largest of the nearest pairs that this one was computed from; 0 where there are none, as of an embedding */
    double *added;     /* what the operation itself adds to the reference's values (replay) */
    double *expected;  /* of that, what rounding explains */
} ls_error_parts;

/* False if out of memory. */
bool ls_error_parts_find(const ls_diff *diff, ls_error_parts *out_parts);
void ls_error_parts_done(ls_error_parts *parts);

#endif
