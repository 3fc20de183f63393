/* How precise the arithmetic behind each value of a trace is. */
#ifndef LS_MATCH_PRECISION_H
#define LS_MATCH_PRECISION_H

#include "base/error.h"
#include "trace/trace.h"

/* Accumulated precision of a value: the least precise class among it and its ancestors, and the most GELU-table
 * lookups on any path to it. */
typedef struct ls_precision {
    int level; /* index of ls_precision_classes */
    unsigned lookups;
    size_t from; /* the node whose element type or back end has that class */
} ls_precision;

/* Fills precision[from … node_count). */
void ls_precision_spread(const ls_trace *trace, size_t from, ls_precision *precision);
/* The less precise class of the two sides of a pair, and the relative L2 that it allows. */
double ls_precision_tolerance(const ls_precision *reference, const ls_precision *candidate, int *out_level);

#endif
