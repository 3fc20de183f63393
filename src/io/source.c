#include "io/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct file_state {
    int fd;
    uint8_t *bytes; /* the whole file, NULL when empty or not mapped */
    char path[];
} file_state;

static lockstep_status file_read_at(ls_source *source, uint64_t offset, void *out, size_t length,
                                    lockstep_error *error) {
    file_state *file = source->state;
    uint8_t *to = out;
    while (length > 0) {
        ssize_t n = pread(file->fd, to, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ls_fail_at(error, LOCKSTEP_IO, source->name, offset, "%s",
                              n < 0 ? strerror(errno) : "the file became shorter while being read");
        to += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return LOCKSTEP_OK;
}

static const uint8_t *file_map(ls_source *source) {
    static const uint8_t nothing[1];
    file_state *file = source->state;
    if (source->size == 0)
        return nothing;
    if (file->bytes == NULL && source->size <= SIZE_MAX) {
        void *bytes = mmap(NULL, (size_t)source->size, PROT_READ, MAP_PRIVATE, file->fd, 0);
        if (bytes != MAP_FAILED)
            file->bytes = bytes;
    }
    return file->bytes;
}

static void file_close(ls_source *source) {
    file_state *file = source->state;
    if (file->bytes != NULL)
        munmap(file->bytes, (size_t)source->size);
    close(file->fd);
    free(file);
    free(source);
}

static const ls_source_methods file_methods = {file_read_at, file_map, file_close};

static lockstep_status fail_errno(lockstep_error *error, const char *path) {
    return ls_fail(error, errno == ENOENT || errno == ENOTDIR ? LOCKSTEP_NOT_FOUND : LOCKSTEP_IO,
                   "%s: %s", path, strerror(errno));
}

lockstep_status ls_source_open_file(const char *path, ls_source **out_source,
                                    lockstep_error *error) {
    /* O_NONBLOCK: a FIFO must not hang the open; regular files ignore it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_errno(error, path);
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        lockstep_status status = errno != 0 && !S_ISREG(info.st_mode) && S_ISDIR(info.st_mode)
                                     ? ls_fail(error, LOCKSTEP_IO, "%s: is a directory", path)
                                     : ls_fail(error, LOCKSTEP_IO, "%s: not a regular file", path);
        close(fd);
        return status;
    }
    size_t length = strlen(path);
    ls_source *source = calloc(1, sizeof *source);
    file_state *file = calloc(1, sizeof *file + length + 1);
    if (source == NULL || file == NULL) {
        free(source);
        free(file);
        close(fd);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", path);
    }
    memcpy(file->path, path, length + 1);
    file->fd = fd;
    *source = (ls_source){&file_methods, file->path, (uint64_t)info.st_size, file};
    *out_source = source;
    return LOCKSTEP_OK;
}

static lockstep_status memory_read_at(ls_source *source, uint64_t offset, void *out, size_t length,
                                      lockstep_error *error) {
    (void)error;
    if (length > 0)
        memcpy(out, (const uint8_t *)source->state + offset, length);
    return LOCKSTEP_OK;
}

static const uint8_t *memory_map(ls_source *source) { return source->state; }

static void memory_close(ls_source *source) { free(source); }

static const ls_source_methods memory_methods = {memory_read_at, memory_map, memory_close};

lockstep_status ls_source_open_memory(const char *name, const void *bytes, size_t size,
                                      ls_source **out_source, lockstep_error *error) {
    ls_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", name);
    *source = (ls_source){&memory_methods, name, size, (void *)(uintptr_t)bytes};
    *out_source = source;
    return LOCKSTEP_OK;
}

void ls_source_close(ls_source *source) {
    if (source != NULL)
        source->methods->close(source);
}

lockstep_status ls_source_read_at(ls_source *source, uint64_t offset, void *out, size_t length,
                                  lockstep_error *error) {
    if (offset > source->size || length > source->size - offset)
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, source->name, offset,
                          "found %llu bytes left, expected %llu",
                          (unsigned long long)(offset > source->size ? 0 : source->size - offset),
                          (unsigned long long)length);
    return source->methods->read_at(source, offset, out, length, error);
}

lockstep_status ls_source_bytes(ls_source *source, const uint8_t **out_bytes,
                                lockstep_error *error) {
    const uint8_t *bytes = source->methods->map != NULL ? source->methods->map(source) : NULL;
    if (bytes == NULL)
        return ls_fail(error, LOCKSTEP_IO, "%s: can't be mapped into memory", source->name);
    *out_bytes = bytes;
    return LOCKSTEP_OK;
}
