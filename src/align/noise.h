/* How coarse the arithmetic behind each value of a trace is. */
#ifndef LS_ALIGN_NOISE_H
#define LS_ALIGN_NOISE_H

#include "base/error.h"
#include "trace/trace.h"

/* What lies behind a value: the coarsest row of ls_noise_rows, and through how many
 * lookups in the GELU table the longest way to it goes. */
typedef struct ls_noise {
    int row;
    unsigned lookups;
    size_t from; /* the first node of that row on the way: whose element type or back end it is */
} ls_noise;

/* Fills noise[from … node_count). */
void ls_noise_spread(const ls_trace *trace, size_t from, ls_noise *noise);
/* The row behind both values of a pair, and the relative L2 that it allows. */
double ls_noise_tolerance(const ls_noise *reference, const ls_noise *candidate, int *out_row);

#endif
