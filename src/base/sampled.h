/* A hash of much that reads little: 64 KiB at each end, and 16 blocks of 4 KiB between. docs/trace-format.md defines it
 * (`sample_xxh3`). Needs libc alone. */
#ifndef LS_BASE_SAMPLED_H
#define LS_BASE_SAMPLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns `count` bytes from offset `at`, valid until the next call; NULL if they can't be read. */
typedef const void *(*ls_sample_reader)(void *context, uint64_t at, size_t count);

/* The hash of `bytes` bytes. False if some can't be read. */
bool ls_sample_hash(uint64_t bytes, ls_sample_reader read, void *context, uint64_t *out_hash);

#endif
