/* A source of bytes: a file, memory, or a part of another source. Tests inject
 * failures through the methods struct. */
#ifndef LS_IO_SOURCE_H
#define LS_IO_SOURCE_H

#include <stdbool.h>

#include "base/error.h"

typedef struct ls_source ls_source;

typedef struct ls_source_methods {
    /* Reads exactly `length` bytes at `offset`; the caller has checked the range. */
    lockstep_status (*read_at)(ls_source *source, uint64_t offset, void *out, size_t length,
                               lockstep_error *error);
    /* Returns the bytes in memory, valid until the source is closed (or released, if
     * it has that method); NULL on failure. May be NULL. Thread-safe. */
    const uint8_t *(*map)(ls_source *source);
    /* Frees the memory; map() gets the bytes again, or read_at if there is no map.
     * May be NULL. */
    void (*release)(ls_source *source);
    void (*close)(ls_source *source);
    /* map() returns a private mapping of a file that is never written, so its pages may
     * be dropped (MADV_DONTNEED) at any time and are read again when touched. */
    bool maps_file;
} ls_source_methods;

struct ls_source {
    const ls_source_methods *methods;
    const char *name; /* for messages: the path */
    uint64_t size;
    void *state;
    const uint8_t *_Atomic copy; /* the bytes of a source that can't be mapped, once read */
};

/* A regular file, mapped read-only. */
lockstep_status ls_source_open_file(const char *path, ls_source **out_source,
                                    lockstep_error *error);
/* The same for one of thousands of files: keeps no descriptor. The file is mapped by
 * the first ls_source_bytes, which fails if its size has changed, and unmapped by
 * ls_source_release. */
lockstep_status ls_source_open_small(const char *path, ls_source **out_source,
                                     lockstep_error *error);
/* Borrows name and bytes. */
lockstep_status ls_source_open_memory(const char *name, const void *bytes, size_t size,
                                      ls_source **out_source, lockstep_error *error);
/* NULL is allowed. */
void ls_source_close(ls_source *source);

/* Fails with LOCKSTEP_TRUNCATED if the range is not within the source. */
lockstep_status ls_source_read_at(ls_source *source, uint64_t offset, void *out, size_t length,
                                  lockstep_error *error);
/* All bytes in memory: mapped, or read once if the source can't be mapped. */
lockstep_status ls_source_bytes(ls_source *source, const uint8_t **out_bytes,
                                lockstep_error *error);
/* Whether ls_source_bytes returned a mapping whose pages may be dropped (see maps_file). */
bool ls_source_maps_file(const ls_source *source);
/* Frees the memory that ls_source_bytes returned, if the bytes can be read again. No view
 * of it may be in use. */
void ls_source_release(ls_source *source);

#endif
