#include "tensor/pages.h"

#include <sys/mman.h>
#include <unistd.h>

void ls_view_drop(const ls_view *view, uint64_t first, uint64_t count) {
    const ls_dtype_row *row = ls_dtype(view->dtype);
    if (!view->mapped || count == 0 || !ls_view_is_contiguous(view))
        return;
    uint64_t begin = first / row->block_elements, end = (first + count + row->block_elements - 1) / row->block_elements;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)view->data + begin * row->block_bytes;
    uintptr_t to = (uintptr_t)view->data + end * row->block_bytes;
    from &= ~(page - 1); /* rounded outwards: a mapping consists of whole pages */
    to = (to + page - 1) & ~(page - 1);
    (void)madvise((void *)from, to - from, MADV_DONTNEED);
}
