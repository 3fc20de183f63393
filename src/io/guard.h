/* What a sudden end of the process must know of: files that are mapped into memory, and
 * files that are not whole yet.
 *
 * Reading beyond the end of a mapped file, which somebody made shorter meanwhile, raises
 * SIGBUS. A library leaves that to its program; a program of ours says which file it was.
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
    const char *path;     /* borrowed, as long as it is guarded */
    const uint8_t *bytes; /* where it is mapped; NULL: a file to remove when the process ends early */
    size_t size;
    dev_t device;
    ino_t inode;
    struct timespec modified; /* when it was mapped */
    struct ls_guarded *previous, *next;
} ls_guarded;

void ls_guard_add(ls_guarded *guarded);
/* Creates the file at guarded->path, for writing, and guards it: no signal comes in between.
 * NULL, with errno, where it can't be created, or is there already. */
FILE *ls_guard_create(ls_guarded *guarded);
/* Before the file is unmapped, or once it is whole or removed. */
void ls_guard_remove(ls_guarded *guarded);
/* Fails with the path of a file that is, or was, mapped and became shorter meanwhile (up to
 * the end of its last page there are zeros then, and no signal), or was written over. One
 * that only grew is fine, and so is one that another has replaced. */
lockstep_status ls_guard_check(lockstep_error *error);

/* For a program: from here on, reading beyond a mapped file's end is one line on standard
 * error and exit status 2, and signals that end the process remove unfinished files first. */
void ls_guard_process(void);

#endif
