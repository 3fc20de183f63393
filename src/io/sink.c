#include "io/sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER = 1 << 20 };

static lockstep_status fail(const ls_sink *sink, lockstep_error *error) {
    return ls_fail(error, LOCKSTEP_IO, "%s: %s", sink->path, strerror(errno));
}

lockstep_status ls_sink_open(const char *path, ls_sink *out_sink, lockstep_error *error) {
    ls_sink sink = {.path = strdup(path)};
    if (sink.path == NULL || asprintf(&sink.part, "%s.%ld.part", path, (long)getpid()) < 0) {
        free(sink.path);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    sink.file = fopen(sink.part, "wbx");
    if (sink.file == NULL) {
        lockstep_status status = fail(&sink, error);
        free(sink.path);
        free(sink.part);
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

static void forget(ls_sink *sink) {
    free(sink->path);
    free(sink->part);
    *sink = (ls_sink){0};
}

lockstep_status ls_sink_close(ls_sink *sink, lockstep_error *error) {
    bool ok = fclose(sink->file) == 0;
    sink->file = NULL;
    ok = ok && rename(sink->part, sink->path) == 0;
    lockstep_status status = ok ? LOCKSTEP_OK : fail(sink, error);
    if (!ok)
        unlink(sink->part);
    forget(sink);
    return status;
}

void ls_sink_abandon(ls_sink *sink) {
    if (sink->path == NULL)
        return;
    fclose(sink->file);
    unlink(sink->part);
    forget(sink);
}
