/* Keeps a list of mapped files and of unfinished output files, for signal handlers.
 *
 * Reading beyond the end of a mapped file that has been truncated raises SIGBUS.
 * The library leaves that to its program; our own programs report which file it was.
 * All of this is thread-safe. */
#ifndef LS_IO_GUARD_H
#define LS_IO_GUARD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"

typedef struct ls_guarded {
    const char *path;     /* borrowed while it is guarded */
    const uint8_t *bytes; /* where it is mapped; NULL for an unfinished file, to be removed on a signal */
    size_t size;
    dev_t device;
    ino_t inode;
    struct timespec modified; /* when it was mapped */
    struct ls_guarded *previous, *next;
} ls_guarded;

void ls_guard_add(ls_guarded *guarded);
/* Creates the file at guarded->path for writing and guards it; no signal can come in between.
 * NULL, with errno set, if it exists already or can't be created. */
FILE *ls_guard_create(ls_guarded *guarded);
/* Call before the file is unmapped, or after it has been completed or removed. */
void ls_guard_remove(ls_guarded *guarded);
/* Fails with the path of a file that was truncated or overwritten while it was mapped. (Up to
 * the end of its last page, a truncated file reads as zeros and raises no signal.) A file that
 * only grew, or was replaced by another, is fine. */
lockstep_status ls_guard_check(lockstep_error *error);

/* For programs: installs the signal handlers. Reading beyond the end of a mapped file then prints
 * one line and exits with status 2, and signals that end the process remove unfinished files. */
void ls_guard_process(void);

#endif
