#include "io/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/guard.h"

static const uint8_t nothing[1]; /* what an empty source maps to */

typedef struct file_state {
    int fd; /* -1 between reads of a small file */
    ls_guarded *_Atomic mapped; /* the whole file; NULL if not mapped */
    char path[];
} file_state;

static lockstep_status fail_errno(lockstep_error *error, const char *path) {
    return ls_fail(error, errno == ENOENT || errno == ENOTDIR ? LOCKSTEP_NOT_FOUND : LOCKSTEP_IO,
                   "%s: %s", path, strerror(errno));
}

/* Opens a regular file and gets its size. */
static lockstep_status open_regular(const char *path, int *out_fd, uint64_t *out_size,
                                    lockstep_error *error) {
    /* O_NONBLOCK, so that opening a FIFO doesn't block; regular files ignore it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_errno(error, path);
    struct stat info;
    if (fstat(fd, &info) != 0) {
        lockstep_status status = fail_errno(error, path);
        close(fd);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return ls_fail(error, LOCKSTEP_IO, "%s: %s", path,
                       S_ISDIR(info.st_mode) ? "is a directory" : "not a regular file");
    }
    *out_fd = fd;
    *out_size = (uint64_t)info.st_size;
    return LOCKSTEP_OK;
}

static lockstep_status read_fully(int fd, const char *path, uint64_t offset, void *out,
                                  size_t length, lockstep_error *error) {
    uint8_t *to = out;
    while (length > 0) {
        ssize_t n = pread(fd, to, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ls_fail_at(error, LOCKSTEP_IO, path, offset, "%s",
                              n < 0 ? strerror(errno) : "the file became shorter while being read");
        to += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return LOCKSTEP_OK;
}

static lockstep_status file_read_at(ls_source *source, uint64_t offset, void *out, size_t length,
                                    lockstep_error *error) {
    file_state *file = source->state;
    if (file->fd >= 0)
        return read_fully(file->fd, source->name, offset, out, length, error);
    int fd;
    uint64_t size;
    LS_TRY(open_regular(source->name, &fd, &size, error));
    lockstep_status status = read_fully(fd, source->name, offset, out, length, error);
    close(fd);
    return status;
}

/* Maps the whole file and guards it; NULL on failure. */
static ls_guarded *map_fd(int fd, const char *path, uint64_t size) {
    struct stat info;
    void *bytes = size > SIZE_MAX || fstat(fd, &info) != 0 ? MAP_FAILED
                                                           : mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    ls_guarded *mapped = bytes != MAP_FAILED ? malloc(sizeof *mapped) : NULL;
    if (mapped == NULL) {
        if (bytes != MAP_FAILED)
            munmap(bytes, (size_t)size);
        return NULL;
    }
    *mapped = (ls_guarded){.path = path, .bytes = bytes, .size = (size_t)size, .device = info.st_dev, .inode = info.st_ino, .modified = info.st_mtim};
    ls_guard_add(mapped);
    return mapped;
}

static void unmap(ls_guarded *mapped) {
    if (mapped == NULL)
        return;
    ls_guard_remove(mapped);
    munmap((void *)(uintptr_t)mapped->bytes, mapped->size);
    free(mapped);
}

/* The same by path; NULL, too, if the file's size has changed. */
static ls_guarded *map_path(const char *path, uint64_t size) {
    int fd;
    uint64_t size_now;
    if (open_regular(path, &fd, &size_now, NULL) != LOCKSTEP_OK)
        return NULL;
    ls_guarded *mapped = size_now == size ? map_fd(fd, path, size) : NULL;
    close(fd);
    return mapped;
}

static const uint8_t *file_map(ls_source *source) {
    file_state *file = source->state;
    ls_guarded *mapped = atomic_load(&file->mapped), *before = NULL;
    if (source->size == 0)
        return nothing;
    if (mapped != NULL)
        return mapped->bytes;
    mapped = file->fd >= 0 ? map_fd(file->fd, file->path, source->size) : map_path(file->path, source->size);
    if (mapped != NULL && !atomic_compare_exchange_strong(&file->mapped, &before, mapped)) {
        unmap(mapped); /* another thread was faster */
        return before->bytes;
    }
    return mapped != NULL ? mapped->bytes : NULL;
}

static void file_release(ls_source *source) {
    file_state *file = source->state;
    unmap(atomic_exchange(&file->mapped, NULL));
}

static void file_close(ls_source *source) {
    file_state *file = source->state;
    file_release(source);
    if (file->fd >= 0)
        close(file->fd);
    free(file);
    free(source);
}

/* A large file stays mapped, because the kernel can drop its pages. */
static const ls_source_methods file_methods = {file_read_at, file_map, NULL, file_close, true};
static const ls_source_methods small_methods = {file_read_at, file_map, file_release, file_close, true};

static lockstep_status open_path(const char *path, bool keep, ls_source **out_source,
                                 lockstep_error *error) {
    int fd;
    uint64_t size;
    LS_TRY(open_regular(path, &fd, &size, error));
    size_t length = strlen(path);
    ls_source *source = calloc(1, sizeof *source);
    file_state *file = calloc(1, sizeof *file + length + 1);
    if (source == NULL || file == NULL || !keep)
        close(fd);
    if (source == NULL || file == NULL) {
        free(source);
        free(file);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", path);
    }
    memcpy(file->path, path, length + 1);
    file->fd = keep ? fd : -1;
    source->methods = keep ? &file_methods : &small_methods;
    source->name = file->path;
    source->size = size;
    source->state = file;
    *out_source = source;
    return LOCKSTEP_OK;
}

lockstep_status ls_source_open_file(const char *path, ls_source **out_source,
                                    lockstep_error *error) {
    return open_path(path, true, out_source, error);
}

lockstep_status ls_source_open_small(const char *path, ls_source **out_source,
                                     lockstep_error *error) {
    return open_path(path, false, out_source, error);
}

static lockstep_status memory_read_at(ls_source *source, uint64_t offset, void *out, size_t length,
                                      lockstep_error *error) {
    (void)error;
    if (length > 0)
        memcpy(out, (const uint8_t *)source->state + offset, length);
    return LOCKSTEP_OK;
}

static const uint8_t *memory_map(ls_source *source) {
    return source->size == 0 ? nothing : source->state;
}

static void memory_close(ls_source *source) { free(source); }

static const ls_source_methods memory_methods = {memory_read_at, memory_map, NULL, memory_close, false};

lockstep_status ls_source_open_memory(const char *name, const void *bytes, size_t size,
                                      ls_source **out_source, lockstep_error *error) {
    ls_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", name);
    source->methods = &memory_methods;
    source->name = name;
    source->size = size;
    source->state = (void *)(uintptr_t)bytes;
    *out_source = source;
    return LOCKSTEP_OK;
}

void ls_source_close(ls_source *source) {
    if (source == NULL)
        return;
    free((void *)(uintptr_t)atomic_load(&source->copy));
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

/* For a source that can't be mapped. */
static lockstep_status read_copy(ls_source *source, const uint8_t **out_bytes,
                                 lockstep_error *error) {
    uint8_t *bytes = source->size < SIZE_MAX ? malloc((size_t)source->size + 1) : NULL;
    if (bytes == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: no memory for its %llu bytes", source->name,
                       (unsigned long long)source->size);
    lockstep_status status =
        source->methods->read_at(source, 0, bytes, (size_t)source->size, error);
    if (status != LOCKSTEP_OK) {
        free(bytes);
        return status;
    }
    const uint8_t *before = NULL;
    if (!atomic_compare_exchange_strong(&source->copy, &before, bytes)) {
        free(bytes); /* another thread was faster */
        bytes = (uint8_t *)(uintptr_t)before;
    }
    *out_bytes = bytes;
    return LOCKSTEP_OK;
}

lockstep_status ls_source_bytes(ls_source *source, const uint8_t **out_bytes,
                                lockstep_error *error) {
    const uint8_t *bytes = atomic_load(&source->copy);
    if (bytes == NULL && source->methods->map != NULL) {
        bytes = source->methods->map(source);
        if (bytes == NULL)
            return ls_fail(error, LOCKSTEP_IO, "%s: can't be mapped into memory (or its size changed)",
                           source->name);
    }
    if (bytes == NULL)
        return read_copy(source, out_bytes, error);
    *out_bytes = bytes;
    return LOCKSTEP_OK;
}

bool ls_source_maps_file(const ls_source *source) {
    return source->methods->maps_file && source->size > 0 && atomic_load(&source->copy) == NULL;
}

void ls_source_release(ls_source *source) {
    if (source->methods->release == NULL)
        return;
    free((void *)(uintptr_t)atomic_exchange(&source->copy, NULL)); /* read again when needed */
    source->methods->release(source);
}
