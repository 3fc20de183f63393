#include "io/sink.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 1 << 20 };

static lockstep_status fail(const ls_sink *sink, lockstep_error *error) {
    if (errno == EFAULT) /* write() could not read the mapped file that the bytes come from */
        return ls_fail(error, LOCKSTEP_IO, "%s: one of its input files became shorter while it was being read", sink->path);
    return ls_fail(error, LOCKSTEP_IO, "%s: %s", sink->path, strerror(errno));
}

/* What kind of file it is, if one that must not be overwritten; NULL for a regular file. */
static const char *special(mode_t mode) {
    return S_ISREG(mode)    ? NULL
           : S_ISDIR(mode)  ? "a directory"
           : S_ISCHR(mode)  ? "a device"
           : S_ISBLK(mode)  ? "a device"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
                            : "not a regular file";
}

/* Where the file will be; a link is followed. Allocated; NULL on failure. */
static char *find_place(const char *path, lockstep_error *error) {
    struct stat link, info;
    if (lstat(path, &link) != 0 && errno == ENOENT)
        return strdup(path);
    if (stat(path, &info) != 0) {
        ls_fail(error, LOCKSTEP_IO, "%s: %s%s", path, strerror(errno), S_ISLNK(link.st_mode) ? " (a dangling link)" : "");
        return NULL;
    }
    if (special(info.st_mode) != NULL) {
        ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: is %s; expected a file to replace, or a new name", path, special(info.st_mode));
        return NULL;
    }
    char *place = realpath(path, NULL);
    if (place == NULL)
        ls_fail(error, LOCKSTEP_IO, "%s: %s", path, strerror(errno));
    return place;
}

/* A temporary path in the same directory. Its name doesn't contain the file's, so it is never too long. */
static char *part_of(const char *place) {
    static _Atomic unsigned number;
    const char *slash = strrchr(place, '/');
    char *part;
    int length = asprintf(&part, "%.*s.lockstep-%ld-%u.part", slash != NULL ? (int)(slash + 1 - place) : 0, place, (long)getpid(),
                          atomic_fetch_add(&number, 1));
    return length >= 0 ? part : NULL;
}

static void forget(ls_sink *sink) {
    free(sink->path);
    free(sink->part);
    free(sink->unfinished);
    *sink = (ls_sink){0};
}

lockstep_status ls_sink_open(const char *path, ls_sink *out_sink, lockstep_error *error) {
    ls_sink sink = {.path = find_place(path, error)};
    if (sink.path == NULL)
        return LOCKSTEP_IO;
    sink.part = part_of(sink.path);
    sink.unfinished = calloc(1, sizeof *sink.unfinished);
    if (sink.part == NULL || sink.unfinished == NULL) {
        forget(&sink);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    sink.unfinished->path = sink.part;
    sink.file = ls_guard_create(sink.unfinished);
    if (sink.file == NULL) {
        lockstep_status status = fail(&sink, error);
        forget(&sink);
        return status;
    }
    setvbuf(sink.file, NULL, _IOFBF, BUFFER);
    *out_sink = sink;
    return LOCKSTEP_OK;
}

lockstep_status ls_sink_write(ls_sink *sink, const void *bytes, size_t size, lockstep_error *error) {
    if (size > 0 && fwrite(bytes, 1, size, sink->file) != size)
        return fail(sink, error);
    sink->written += size;
    return LOCKSTEP_OK;
}

lockstep_status ls_sink_align(ls_sink *sink, uint64_t align, lockstep_error *error) {
    static const uint8_t zeros[256];
    while (sink->written % align != 0) {
        uint64_t left = align - sink->written % align;
        LS_TRY(ls_sink_write(sink, zeros, left < sizeof zeros ? (size_t)left : sizeof zeros, error));
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_sink_patch(ls_sink *sink, uint64_t offset, const void *bytes, size_t size, lockstep_error *error) {
    if (fseeko(sink->file, (off_t)offset, SEEK_SET) != 0 || fwrite(bytes, 1, size, sink->file) != size ||
        fseeko(sink->file, 0, SEEK_END) != 0)
        return fail(sink, error);
    return LOCKSTEP_OK;
}

lockstep_status ls_sink_close(ls_sink *sink, lockstep_error *error) {
    bool ok = fclose(sink->file) == 0;
    sink->file = NULL;
    ok = ok && rename(sink->part, sink->path) == 0;
    lockstep_status status = ok ? LOCKSTEP_OK : fail(sink, error);
    if (!ok)
        unlink(sink->part);
    ls_guard_remove(sink->unfinished);
    forget(sink);
    return status;
}

void ls_sink_abandon(ls_sink *sink) {
    if (sink->path == NULL)
        return;
    fclose(sink->file);
    unlink(sink->part);
    ls_guard_remove(sink->unfinished);
    forget(sink);
}
