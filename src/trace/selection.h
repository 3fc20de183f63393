/* Describes in words which part of a run a filter keeps. */
#ifndef LS_TRACE_SELECTION_H
#define LS_TRACE_SELECTION_H

#include "base/text.h"

/* Appends "layer 3, tensors that match 'ffn'", or nothing without filters. Each filter may be NULL. */
void ls_selection_text(const char *layers, const char *tensors, const char *ops, ls_text *out);

#endif
