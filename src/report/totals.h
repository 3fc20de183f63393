/* A comparison in a few figures. */
#ifndef LS_REPORT_TOTALS_H
#define LS_REPORT_TOTALS_H

#include "diff/model.h"

typedef struct ls_totals {
    size_t compared, within; /* pairs; those within tolerance (identical, match) */
    size_t by_gpu;           /* of those: the ones that pass only because a GPU took part */
    double most_by_gpu;      /* the largest relative L2 of these */
    size_t excused[LS_EXCUSE_COUNT], all_excused; /* explained ones */
    size_t beyond;           /* neither within tolerance nor excused */
    size_t mismatched;       /* shape or element type: not compared */
    size_t origins;          /* tensors that fail although their inputs match; once for all passes */
    double max_abs, max_rel, mean_cosine; /* over compared pairs; NaN if there are none */
    size_t resynced;
    double before, left;     /* the largest relative L2 of those, before and after */
} ls_totals;

ls_totals ls_totals_of(const ls_diff *diff);

/* Marks origins whose tensor is already an origin in an earlier pass. */
void ls_repeated_origins(const ls_diff *diff, bool *repeated);

#endif
