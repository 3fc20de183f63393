/* XXH3; where the library brings it, with the widest vectors that the processor has. */
#ifndef LS_BASE_HASH_H
#define LS_BASE_HASH_H

#include <stdint.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> /* under the same names */
#endif

/* The k-th of places drawn at random below `places`, the same ones each time. */
static inline uint64_t ls_random_place(uint64_t k, uint64_t places) {
    uint64_t h = (k + 1) * 0x9e3779b97f4a7c15u; /* SplitMix64 */
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return (h ^ h >> 31) % places;
}

#endif
