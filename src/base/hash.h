/* XXH3, dispatched to the processor's widest vectors if the library supports that. */
#ifndef LS_BASE_HASH_H
#define LS_BASE_HASH_H

#include <stdint.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> /* defines the same names */
#endif

/* The k-th of a fixed sequence of pseudo-random numbers in [0, places). */
static inline uint64_t ls_random_place(uint64_t k, uint64_t places) {
    uint64_t h = (k + 1) * 0x9e3779b97f4a7c15u; /* SplitMix64 */
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return (h ^ h >> 31) % places;
}

#endif
