#ifndef LS_TRACE_IN_PLACE_H
#define LS_TRACE_IN_PLACE_H

#include "trace/trace.h"

/* A view of a result that was computed in place lies in that result, not in what was there before: ggml names the memory's first owner. */
void ls_trace_settle_view(const ls_trace *trace, ls_node *view);

#endif
