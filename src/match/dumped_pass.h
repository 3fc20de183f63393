/* Tensors that somebody has dumped, without a graph, are of one pass. Which pass of a run is it? */
#ifndef LS_MATCH_DUMPED_PASS_H
#define LS_MATCH_DUMPED_PASS_H

#include "trace/trace.h"

/* The pass whose token ids are among the dumped tensors; or else the first of those whose number of rows, if it is more than one, is
 * the size of an axis of most tensors. LS_NONE: the trace has no passes. */
size_t ls_dumped_pass(const ls_trace *dump, const ls_trace *trace);

#endif
