/* Overflow-checked arithmetic for numbers read from files. Returns false on overflow
 * and leaves the output untouched. */
#ifndef LS_BASE_CHECKED_H
#define LS_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool ls_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static inline bool ls_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

/* Rounds up to a multiple of `align` (not 0). */
static inline bool ls_align_u64(uint64_t value, uint64_t align, uint64_t *out) {
    uint64_t rest = value % align;
    return rest == 0 ? (*out = value, true) : ls_add_u64(value, align - rest, out);
}

#endif
