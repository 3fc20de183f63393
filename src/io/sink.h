/* A file being written: beside its place, and moved there when it is whole. */
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

/* Replaces a regular file, behind a link, too; refuses whatever else is there. */
lockstep_status ls_sink_open(const char *path, ls_sink *out_sink, lockstep_error *error);
lockstep_status ls_sink_write(ls_sink *sink, const void *bytes, size_t size, lockstep_error *error);
/* Zeros up to a multiple of `align`. */
lockstep_status ls_sink_align(ls_sink *sink, uint64_t align, lockstep_error *error);
/* Writes over what was written; the position stays at the end. */
lockstep_status ls_sink_patch(ls_sink *sink, uint64_t offset, const void *bytes, size_t size, lockstep_error *error);
/* Moves the file to its place; on failure it is removed. */
lockstep_status ls_sink_close(ls_sink *sink, lockstep_error *error);
/* Removes what was written. Nothing happens after ls_sink_close. */
void ls_sink_abandon(ls_sink *sink);

#endif
