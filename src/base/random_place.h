#ifndef LS_BASE_RANDOM_PLACE_H
#define LS_BASE_RANDOM_PLACE_H

#include <stdint.h>

/* The k-th of a fixed sequence of pseudo-random numbers in [0, places). */
static inline uint64_t ls_random_place(uint64_t k, uint64_t places) {
    uint64_t h = (k + 1) * 0x9e3779b97f4a7c15u; /* SplitMix64 */
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return (h ^ h >> 31) % places;
}

#endif
