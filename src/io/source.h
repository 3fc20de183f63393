/* Bytes to read from: a file, memory, or a part of another source. The methods
 * struct lets tests inject failures. */
#ifndef LS_IO_SOURCE_H
#define LS_IO_SOURCE_H

#include <stdbool.h>

#include "base/error.h"

typedef struct ls_source ls_source;

typedef struct ls_source_methods {
    /* Reads exactly `length` bytes at `offset`; the range was checked before. */
    lockstep_status (*read_at)(ls_source *source, uint64_t offset, void *out, size_t length,
                               lockstep_error *error);
    /* The bytes in memory for as long as the source lives (until release, where
     * there is one); NULL when it can't. The member may be NULL. Thread-safe. */
    const uint8_t *(*map)(ls_source *source);
    /* Gives mapped memory back; map() gets it again, or read_at where there is no
     * map. NULL where nothing is given back. */
    void (*release)(ls_source *source);
    void (*close)(ls_source *source);
    /* map() gives a private, never written mapping of a file: its pages may be
     * dropped (MADV_DONTNEED) at any time and are read again when touched. */
    bool maps_file;
} ls_source_methods;

struct ls_source {
    const ls_source_methods *methods;
    const char *name; /* for messages: the path */
    uint64_t size;
    void *state;
    const uint8_t *_Atomic copy; /* of a source that can't be mapped, once read */
};

/* A regular file, mapped read-only. */
lockstep_status ls_source_open_file(const char *path, ls_source **out_source,
                                    lockstep_error *error);
/* The same for a file among thousands: no descriptor is kept, the file is mapped
 * by the first ls_source_bytes and unmapped by ls_source_release. It fails when
 * the file's size has changed in between. */
lockstep_status ls_source_open_small(const char *path, ls_source **out_source,
                                     lockstep_error *error);
/* Borrowed bytes. */
lockstep_status ls_source_open_memory(const char *name, const void *bytes, size_t size,
                                      ls_source **out_source, lockstep_error *error);
/* NULL is allowed. */
void ls_source_close(ls_source *source);

/* Fails with LOCKSTEP_TRUNCATED when the range is not within the source. */
lockstep_status ls_source_read_at(ls_source *source, uint64_t offset, void *out, size_t length,
                                  lockstep_error *error);
/* All bytes in memory: mapped, or read once when the source can't be mapped. */
lockstep_status ls_source_bytes(ls_source *source, const uint8_t **out_bytes,
                                lockstep_error *error);
/* What ls_source_bytes gave is a mapping as of maps_file. */
bool ls_source_maps_file(const ls_source *source);
/* Gives back the memory behind ls_source_bytes, where it can be got again. No
 * view of it may be in use. */
void ls_source_release(ls_source *source);

#endif
