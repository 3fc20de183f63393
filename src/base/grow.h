/* Arrays that double. */
#ifndef LS_BASE_GROW_H
#define LS_BASE_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Makes room for one more item of `size` bytes: *array is moved, and *capacity grows.
 * False, and nothing has changed, when there is no memory. */
static inline bool ls_grow(void **array, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return true;
    size_t larger = *capacity == 0 ? 16 : *capacity * 2;
    void *moved = reallocarray(*array, larger, size);
    if (moved == NULL)
        return false;
    *array = moved;
    *capacity = larger;
    return true;
}

#endif
