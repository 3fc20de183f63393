#include "tensor/pages.h"

#include <sys/mman.h>
#include <unistd.h>

/* Rounded outwards: a mapping begins and ends with a page. */
static bool page_range(const ls_view *view, uint64_t first, uint64_t count, void **out_start, size_t *out_size) {
    const ls_dtype_row *row = ls_dtype(view->dtype);
    if (!view->mapped || count == 0 || !ls_view_is_contiguous(view))
        return false;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uint64_t end = (first + count + row->block_elements - 1) / row->block_elements * row->block_bytes;
    uintptr_t from = (uintptr_t)view->data + first / row->block_elements * row->block_bytes;
    uintptr_t to = ((uintptr_t)view->data + end + page - 1) & ~(page - 1);
    from &= ~(page - 1);
    *out_start = (void *)from;
    *out_size = to - from;
    return true;
}

void ls_view_populate(const ls_view *view, uint64_t first, uint64_t count) {
#ifdef MADV_POPULATE_READ /* Linux 5.14; a kernel without it refuses, and pages fault in */
    void *start;
    size_t size;
    if (page_range(view, first, count, &start, &size))
        (void)madvise(start, size, MADV_POPULATE_READ);
#else
    (void)view, (void)first, (void)count;
#endif
}

void ls_view_drop(const ls_view *view, uint64_t first, uint64_t count) {
    void *start;
    size_t size;
    if (page_range(view, first, count, &start, &size))
        (void)madvise(start, size, MADV_DONTNEED);
}
