/* A comparison in a few figures. */
#ifndef LS_REPORT_TOTALS_H
#define LS_REPORT_TOTALS_H

#include "align/diff.h"

typedef struct ls_totals {
    size_t compared, within; /* pairs; those within tolerance (identical, match, reformulated) */
    size_t mismatched;       /* shape or element type: not compared */
    size_t origins;          /* pairs that fail by themselves, not as a consequence */
    double max_abs, max_rel, mean_cosine; /* over compared pairs; NaN where there are none */
    size_t resynced;
    double before, left;     /* the largest relative L2 of those, before and after */
} ls_totals;

ls_totals ls_totals_of(const ls_diff *diff);

#endif
