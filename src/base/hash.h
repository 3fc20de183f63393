/* XXH3; where the library brings it, with the widest vectors that the processor has. */
#ifndef LS_BASE_HASH_H
#define LS_BASE_HASH_H

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> /* under the same names */
#endif

#endif
