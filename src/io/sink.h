/* An output file: written under a temporary name beside its destination, and renamed when complete. */
#ifndef LS_IO_SINK_H
#define LS_IO_SINK_H

#include <stdio.h>

#include "base/error.h"
#include "io/guard.h"

typedef struct ls_sink {
    FILE *file;
    char *path, *part;
    ls_guarded *unfinished; /* the part */
    uint64_t written; /* bytes so far */
} ls_sink;

/* Replaces an existing regular file, also through a link; refuses any other kind of file. */
lockstep_status ls_sink_open(const char *path, ls_sink *out_sink, lockstep_error *error);
lockstep_status ls_sink_write(ls_sink *sink, const void *bytes, size_t size, lockstep_error *error);
/* Pads with zeros to a multiple of `align`. */
lockstep_status ls_sink_align(ls_sink *sink, uint64_t align, lockstep_error *error);
/* Overwrites bytes that were written before; the position stays at the end. */
lockstep_status ls_sink_patch(ls_sink *sink, uint64_t offset, const void *bytes, size_t size, lockstep_error *error);
/* Renames the file to its destination; on failure it is removed. */
lockstep_status ls_sink_close(ls_sink *sink, lockstep_error *error);
/* Removes the unfinished file. Does nothing after ls_sink_close. */
void ls_sink_abandon(ls_sink *sink);

#endif
