/* Growable arrays, whose capacity doubles. */
#ifndef LS_BASE_GROW_H
#define LS_BASE_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for one more item of `size` bytes if the array is full: may move *array and
 * grow *capacity. Returns false and changes nothing if out of memory. */
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

/* Grows an array from `capacity` to `wanted` items of `size` bytes; the new ones are zero.
 * `array_at` points to the array's pointer. Returns false and changes nothing if out of
 * memory. */
static inline bool ls_extend(void *array_at, size_t capacity, size_t wanted, size_t size) {
    char *old, *larger;
    if (wanted <= capacity)
        return true;
    memcpy(&old, array_at, sizeof old);
    larger = reallocarray(old, wanted, size);
    if (larger == NULL)
        return false;
    memset(larger + capacity * size, 0, (wanted - capacity) * size);
    memcpy(array_at, &larger, sizeof larger);
    return true;
}

/* The capacity to grow to for `wanted` items: at least double. */
static inline size_t ls_doubled(size_t capacity, size_t wanted) {
    return wanted <= capacity ? capacity : wanted > 2 * capacity ? wanted : 2 * capacity;
}

#endif
