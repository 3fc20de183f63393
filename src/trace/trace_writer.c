#include "trace/trace_writer.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "format/npy.h"

#define LS_TENSORS "tensors/"

typedef struct writer {
    int tensors, log; /* the directory of the values; trace.jsonl */
    int file;         /* of the values that are being written; -1 */
    int failed;       /* errno of the first write that did */
    char header[512]; /* of the values, until the first of them come */
    size_t header_bytes;
    off_t log_end;
    char path[LS_FILE_NAME];
} writer;

/* ------------------------------------------------------------ the directory */

static lockstep_status fail_errno(lockstep_error *error, const char *path) {
    return ls_fail(error, LOCKSTEP_IO, "%s: %s", path, strerror(errno));
}

static bool is_empty(int directory) {
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy >= 0 ? fdopendir(copy) : NULL;
    bool empty = true;
    for (struct dirent *e; entries != NULL && (e = readdir(entries)) != NULL;)
        empty = empty && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    if (entries != NULL)
        closedir(entries);
    return empty;
}

/* Removes what an older recording left: its log and its .npy files, nothing else. */
static void empty_trace(int directory) {
    unlinkat(directory, "trace.jsonl", 0);
    int tensors = openat(directory, "tensors", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *entries = tensors >= 0 ? fdopendir(tensors) : NULL;
    for (struct dirent *e; entries != NULL && (e = readdir(entries)) != NULL;) {
        size_t length = strlen(e->d_name);
        if (length > 4 && strcmp(e->d_name + length - 4, ".npy") == 0)
            unlinkat(tensors, e->d_name, 0);
    }
    if (entries != NULL)
        closedir(entries);
}

lockstep_status ls_trace_remove(const char *path, lockstep_error *error) {
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return fail_errno(error, path);
    empty_trace(directory);
    bool ok = unlinkat(directory, "tensors", AT_REMOVEDIR) == 0;
    close(directory);
    return ok && rmdir(path) == 0 ? LOCKSTEP_OK : fail_errno(error, path);
}

static lockstep_status prepare(const char *path, int *out_directory, int *out_tensors, lockstep_error *error) {
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return fail_errno(error, path);
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return fail_errno(error, path);
    if (faccessat(directory, "trace.jsonl", F_OK, 0) == 0) {
        empty_trace(directory);
    } else if (!is_empty(directory)) {
        close(directory);
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT,
                       "%s: holds files that are no trace; name a new directory", path);
    }
    int tensors = mkdirat(directory, "tensors", 0777) == 0 || errno == EEXIST
                      ? openat(directory, "tensors", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (tensors < 0) {
        lockstep_status status = fail_errno(error, path);
        close(directory);
        return status;
    }
    *out_directory = directory;
    *out_tensors = tensors;
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ writing */

static bool write_all(int descriptor, const void *bytes, size_t count) {
    const char *from = bytes;
    while (count > 0) {
        ssize_t n = write(descriptor, from, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        from += n;
        count -= (size_t)n;
    }
    return true;
}

/* One write call a line: a line is there or it isn't. */
static int put_line(void *context, const char *text, size_t length) {
    writer *w = context;
    struct stat info;
    if (write_all(w->log, text, length)) {
        w->log_end += (off_t)length;
        return fstat(w->log, &info) == 0 && info.st_nlink == 0 ? ENOENT : 0; /* somebody removed it meanwhile */
    }
    int why = errno;
    return ftruncate(w->log, w->log_end) == 0 ? why : errno; /* no half line */
}

static void put_values(void *context, const void *bytes, size_t count) {
    writer *w = context;
    if (w->file < 0 || w->failed != 0)
        return;
    struct iovec parts[2] = {{w->header, w->header_bytes}, {(void *)(uintptr_t)bytes, count}};
    ssize_t n = w->header_bytes > 0 ? writev(w->file, parts, 2) : 0; /* one call for the header and what follows */
    size_t done = n > 0 ? (size_t)n : 0, of_header = done < w->header_bytes ? done : w->header_bytes;
    bool ok = write_all(w->file, w->header + of_header, w->header_bytes - of_header) &&
              write_all(w->file, (const char *)bytes + (done - of_header), count - (done - of_header));
    w->header_bytes = 0;
    if (!ok)
        w->failed = errno;
}

static void name_file(uint64_t i, const char *name, char *out, size_t capacity) {
    int used = snprintf(out, capacity, LS_TENSORS "%06llu-", (unsigned long long)i);
    size_t at = (size_t)used;
    for (; *name != '\0' && at < capacity - 5 && at < 90; name++)
        out[at++] = isalnum((unsigned char)*name) || strchr("._-", *name) != NULL ? *name : '_';
    strcpy(out + at, ".npy");
}

static const char *in_tensors(const writer *w) { return w->path + strlen(LS_TENSORS); }

static void begin_values(void *context, const ls_stored_values *values) {
    writer *w = context;
    name_file(values->i, values->name, w->path, sizeof w->path);
    w->file = openat(w->tensors, in_tensors(w), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    w->failed = w->file < 0 ? errno : 0;
    w->header_bytes = ls_npy_header(values->dtype, values->rank, values->shape, w->header, sizeof w->header);
}

static int end_values(void *context, bool whole, char *out_file) {
    writer *w = context;
    if (w->header_bytes > 0)
        put_values(w, "", 0); /* there were none */
    if (w->file >= 0 && close(w->file) != 0 && w->failed == 0)
        w->failed = errno; /* a network's file system says it only now */
    if (w->file >= 0 && (!whole || w->failed != 0))
        unlinkat(w->tensors, in_tensors(w), 0);
    w->file = -1;
    memcpy(out_file, w->path, sizeof w->path);
    return w->failed;
}

static void close_writer(void *context) {
    writer *w = context;
    close(w->log);
    close(w->tensors);
    free(w);
}

lockstep_status ls_trace_writer_open(const char *path, ls_recording *out_recording, lockstep_error *error) {
    int directory = -1, tensors = -1;
    LS_TRY(prepare(path, &directory, &tensors, error));
    writer *w = malloc(sizeof *w);
    int log = openat(directory, "trace.jsonl", O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    lockstep_status status = log < 0 ? fail_errno(error, path) : w == NULL ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory") : LOCKSTEP_OK;
    close(directory);
    if (status != LOCKSTEP_OK) {
        free(w);
        close(tensors);
        if (log >= 0)
            close(log);
        return status;
    }
    *w = (writer){.tensors = tensors, .log = log, .file = -1};
    *out_recording = (ls_recording){w, put_line, begin_values, put_values, end_values, NULL, NULL, close_writer};
    return LOCKSTEP_OK;
}
