/* XXH3, dispatched to the processor's widest vectors if the library supports that. */
#ifndef LS_BASE_HASH_H
#define LS_BASE_HASH_H

#include <stdint.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> /* defines the same names */
#endif

#endif
