/* The memory behind views of mapped files, so that tensors larger than memory can
 * be passed over. Nothing happens for other views, or where a view has gaps. */
#ifndef LS_TENSOR_PAGES_H
#define LS_TENSOR_PAGES_H

#include "tensor/tensor.h"

/* Gives back the pages of elements [first, first + count); they are read from the file again when touched. Other
 * threads may be reading them. */
void ls_view_drop(const ls_view *view, uint64_t first, uint64_t count);

#endif
