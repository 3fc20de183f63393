/* Releases the memory behind views of mapped files, so that tensors larger than memory
 * can be read. Does nothing for other views, or for views with gaps. */
#ifndef LS_TENSOR_PAGES_H
#define LS_TENSOR_PAGES_H

#include "tensor/tensor.h"

/* Drops the pages of elements [first, first + count); they are read from the file again when touched, so other
 * threads may be reading them. */
void ls_view_drop(const ls_view *view, uint64_t first, uint64_t count);

#endif
