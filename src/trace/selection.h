/* What a filter leaves of a run, in words. */
#ifndef LS_TRACE_SELECTION_H
#define LS_TRACE_SELECTION_H

#include "base/text.h"

/* "layer 3, tensors that match 'ffn'"; nothing where there is no filter. Each may be NULL. */
void ls_selection_text(const char *layers, const char *tensors, const char *ops, ls_text *out);

#endif
