/* What a program reads from one graph and gives to the next through its own memory, as a picture's embeddings. */
#ifndef LS_TRACE_HANDED_ON_H
#define LS_TRACE_HANDED_ON_H

#include "trace/trace.h"

/* Makes the tensor that an earlier pass has computed the source of each input with the same contents, or with rows of it. False if out
 * of memory. */
bool ls_trace_link_inputs(ls_trace *trace);

#endif
