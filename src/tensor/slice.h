/* NumPy's basic slicing, as text: "128006, :8", "..., -1", "::2". */
#ifndef LS_TENSOR_SLICE_H
#define LS_TENSOR_SLICE_H

#include "tensor/tensor.h"

/* Narrows *view to what `text` (without brackets; empty for everything) selects:
 * integers, negative ones from the end; start:stop:step with any part left out;
 * one "...". Fails with LOCKSTEP_INVALID_ARGUMENT where NumPy raises IndexError. */
lockstep_status ls_view_slice(ls_view *view, const char *text, lockstep_error *error);

#endif
