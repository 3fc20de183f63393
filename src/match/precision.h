/* How coarse the arithmetic behind each value of a trace is. */
#ifndef LS_MATCH_PRECISION_H
#define LS_MATCH_PRECISION_H

#include "base/error.h"
#include "trace/trace.h"

/* What lies behind a value: the coarsest row of ls_precision_classes, and through how many
 * lookups in the GELU table the longest way to it goes. */
typedef struct ls_precision {
    int row;
    unsigned lookups;
    size_t from; /* the first node of that row on the way: whose element type or back end it is */
} ls_precision;

/* Fills noise[from … node_count). */
void ls_precision_spread(const ls_trace *trace, size_t from, ls_precision *noise);
/* The row behind both values of a pair, and the relative L2 that it allows. */
double ls_precision_tolerance(const ls_precision *reference, const ls_precision *candidate, int *out_row);

#endif
