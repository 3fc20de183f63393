#include "record/trace_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record/segment_writer.h"

#define LS_TENSORS "tensors/"

/* Folders in the directory of an older trace: the trace that will replace it while that is being recorded, and the
 * older one while it is being removed. */
#define LS_NEWER ".recording"
#define LS_OLDER ".replaced"

typedef struct writer {
    int out;          /* the directory that was asked for; locked until it is closed */
    int directory;    /* where the trace is written: `out`, or LS_NEWER in it */
    int tensors, log; /* the directory of the values; trace.jsonl */
    ls_segment_writer *segments;
    bool replaces, made_out; /* an older trace; the directory */
    bool unnamed;     /* the last values are stored, and no line names them yet */
    uint64_t lines;
    off_t log_end;
    char out_path[];
} writer;

/* ------------------------------------------------------------ the directory */

static lockstep_status fail_errno(lockstep_error *error, const char *path) {
    return ls_fail(error, LOCKSTEP_IO, "%s: %s", path, strerror(errno));
}

static int open_folder(int at, const char *name) {
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static DIR *open_entries(int directory) {
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy >= 0 ? fdopendir(copy) : NULL;
    if (entries == NULL && copy >= 0)
        close(copy);
    return entries;
}

static const struct dirent *next_entry(DIR *entries) {
    const struct dirent *e;
    do
        e = entries != NULL ? readdir(entries) : NULL;
    while (e != NULL && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
    return e;
}

static bool is_empty(int directory) {
    DIR *entries = open_entries(directory);
    bool empty = entries != NULL && next_entry(entries) == NULL;
    if (entries != NULL)
        closedir(entries);
    return empty;
}

/* The log of a trace, recognized by its first line; or NULL. */
static FILE *open_log(int directory) {
    static const char first[] = "{\"lockstep_trace\":";
    char head[sizeof first - 1];
    struct stat info;
    int log = openat(directory, "trace.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ours = log >= 0 && fstat(log, &info) == 0 && S_ISREG(info.st_mode) && pread(log, head, sizeof head, 0) == (ssize_t)sizeof head &&
                memcmp(head, first, sizeof head) == 0;
    FILE *file = ours ? fdopen(log, "r") : NULL;
    if (file == NULL && log >= 0)
        close(log);
    return file;
}

/* The file that a line names, in `tensors`; or NULL. The recorder's names need no escapes. */
static char *named_file(char *line) {
    static const char key[] = "\"file\":\"" LS_TENSORS;
    char *name = strstr(line, key);
    if (name == NULL)
        return NULL;
    name += sizeof key - 1;
    name[strcspn(name, "\"\\/")] = '\0';
    return *name != '.' && *name != '\0' ? name : NULL;
}

/* The recorder may have been killed before a line named anything in the segment after the last. */
static void remove_unnamed(int tensors, const char *last) {
    unsigned number = 0;
    char name[LS_SEGMENT_NAME];
    if (*last != '\0' && sscanf(last, "%u.npz", &number) == 1)
        number++;
    ls_segment_name(number, name);
    unlinkat(tensors, name, 0);
}

/* Removes the log and what its lines name, nothing else; false when something is left. */
static bool remove_trace(int directory) {
    FILE *log = open_log(directory);
    int tensors = open_folder(directory, "tensors");
    char *line = NULL, last[NAME_MAX + 1] = "";
    size_t capacity = 0;
    bool ended = false;
    while (log != NULL && getline(&line, &capacity, log) > 0) {
        ended = strncmp(line, "{\"end\":", 7) == 0;
        const char *name = named_file(line);
        if (name == NULL || tensors < 0 || strlen(name) >= sizeof last || strcmp(name, last) == 0)
            continue;
        strcpy(last, name);
        unlinkat(tensors, name, 0);
    }
    free(line);
    if (log != NULL && !ended && tensors >= 0)
        remove_unnamed(tensors, last);
    if (tensors >= 0)
        close(tensors);
    if (log == NULL)
        return false;
    fclose(log);
    bool empty = unlinkat(directory, "tensors", AT_REMOVEDIR) == 0 || errno == ENOENT;
    return unlinkat(directory, "trace.jsonl", 0) == 0 && empty;
}

/* The same for a trace in a folder of another trace's directory; the folder is removed, too. */
static bool remove_inner(int out, const char *name) {
    int directory = open_folder(out, name);
    if (directory < 0)
        return errno == ENOENT;
    remove_trace(directory);
    close(directory);
    return unlinkat(out, name, AT_REMOVEDIR) == 0;
}

bool ls_trace_is_one(const char *path) {
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FILE *log = directory >= 0 ? open_log(directory) : NULL;
    if (log != NULL)
        fclose(log);
    if (directory >= 0)
        close(directory);
    return log != NULL;
}

lockstep_status ls_trace_remove(const char *path, lockstep_error *error) {
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return fail_errno(error, path);
    bool ok = remove_trace(directory);
    close(directory);
    if (!ok)
        return ls_fail(error, LOCKSTEP_IO, "%s: holds files that don't belong to the trace, or can't be removed", path);
    return rmdir(path) == 0 ? LOCKSTEP_OK : fail_errno(error, path);
}

/* Where the trace will be written. An older one stays until there is something to
 * replace it with. */
static lockstep_status choose_directory(writer *w, lockstep_error *error) {
    FILE *older = open_log(w->out);
    if (older != NULL)
        fclose(older);
    w->replaces = older != NULL;
    if (!w->replaces) {
        w->directory = fcntl(w->out, F_DUPFD_CLOEXEC, 0);
        if (!is_empty(w->out))
            return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: holds files that are not a trace; name a new directory", w->out_path);
        return w->directory >= 0 ? LOCKSTEP_OK : fail_errno(error, w->out_path);
    }
    int tensors = open_folder(w->out, "tensors");
    if (tensors < 0 && errno != ENOENT)
        return ls_fail(error, LOCKSTEP_IO, "%s/tensors: %s", w->out_path, strerror(errno));
    if (tensors >= 0)
        close(tensors);
    /* left by a recorder that was killed */
    if (!remove_inner(w->out, LS_OLDER) || !remove_inner(w->out, LS_NEWER))
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: %s or %s in it holds files that are not part of a trace; move them away, or name a new directory",
                       w->out_path, LS_NEWER, LS_OLDER);
    if (mkdirat(w->out, LS_NEWER, 0777) != 0 || (w->directory = open_folder(w->out, LS_NEWER)) < 0)
        return fail_errno(error, w->out_path);
    return LOCKSTEP_OK;
}

/* Opens the directory, and keeps others from recording there meanwhile. */
static lockstep_status lock_out(writer *w, lockstep_error *error) {
    w->made_out = mkdir(w->out_path, 0777) == 0;
    if (!w->made_out && errno != EEXIST)
        return fail_errno(error, w->out_path);
    w->out = open(w->out_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->out < 0)
        return fail_errno(error, w->out_path);
    if (flock(w->out, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: another recording is being written there; wait until it ends, or name another directory", w->out_path);
    return LOCKSTEP_OK; /* some file systems have no locks */
}

/* LOCKSTEP_SEGMENT_BYTES lets tests create several segments, and ZIP64 fields, without gigabytes of values. */
static uint64_t segment_bytes(void) {
    const char *text = getenv("LOCKSTEP_SEGMENT_BYTES");
    uint64_t bytes = text != NULL ? strtoull(text, NULL, 10) : 0;
    return bytes > 0 ? bytes : LS_SEGMENT_BYTES;
}

static lockstep_status prepare(writer *w, lockstep_error *error) {
    LS_TRY(lock_out(w, error));
    LS_TRY(choose_directory(w, error));
    if (mkdirat(w->directory, "tensors", 0777) != 0 || (w->tensors = open_folder(w->directory, "tensors")) < 0)
        return fail_errno(error, w->out_path);
    w->segments = ls_segment_writer_new(w->tensors, segment_bytes());
    if (w->segments == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    w->log = openat(w->directory, "trace.jsonl", O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    return w->log >= 0 ? LOCKSTEP_OK : fail_errno(error, w->out_path);
}

/* ----------------------------------------------------------------- replacing */

/* Files among the older trace's values that it does not name belong to the user. */
static void keep_foreign(int older, int tensors) {
    int old_tensors = open_folder(older, "tensors");
    DIR *entries = old_tensors >= 0 ? open_entries(old_tensors) : NULL;
    for (const struct dirent *e; (e = next_entry(entries)) != NULL;)
        if (faccessat(tensors, e->d_name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            renameat(old_tensors, e->d_name, tensors, e->d_name);
    if (entries != NULL)
        closedir(entries);
    if (old_tensors >= 0)
        close(old_tensors);
    unlinkat(older, "tensors", AT_REMOVEDIR);
}

static bool move(int from, int to, const char *name) {
    return renameat(from, name, to, name) == 0 || errno == ENOENT;
}

/* Moves the older trace aside, moves the new one into its place, then removes the older one: if this is interrupted,
 * both still exist. 0, or errno. */
static int replace_older(writer *w) {
    int older = mkdirat(w->out, LS_OLDER, 0777) == 0 ? open_folder(w->out, LS_OLDER) : -1;
    bool moved = older >= 0 && move(w->out, older, "trace.jsonl") && move(w->out, older, "tensors") &&
                 move(w->directory, w->out, "tensors") && move(w->directory, w->out, "trace.jsonl");
    int code = moved ? 0 : errno;
    if (moved && !remove_trace(older))
        keep_foreign(older, w->tensors);
    if (older >= 0)
        close(older);
    unlinkat(w->out, LS_OLDER, AT_REMOVEDIR);
    unlinkat(w->out, LS_NEWER, AT_REMOVEDIR);
    return code;
}

/* Removes what was written; the directory, too, where it was made for it. */
static void drop(const writer *w) {
    remove_trace(w->directory);
    if (w->log >= 0) /* without even its first line */
        unlinkat(w->directory, "trace.jsonl", 0);
    if (w->tensors >= 0)
        unlinkat(w->directory, "tensors", AT_REMOVEDIR);
    if (w->replaces)
        unlinkat(w->out, LS_NEWER, AT_REMOVEDIR);
    else if (w->made_out)
        rmdir(w->out_path);
}

static void release(writer *w) {
    ls_segment_writer_free(w->segments);
    const int descriptors[] = {w->log, w->tensors, w->directory, w->out};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    free(w);
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

/* One write call for each line, so that a line is written whole or not at all. */
static int put_line(void *context, const char *text, size_t length) {
    writer *w = context;
    struct stat info;
    if (write_all(w->log, text, length)) {
        w->log_end += (off_t)length;
        w->lines++;
        w->unnamed = false;
        return fstat(w->log, &info) == 0 && info.st_nlink == 0 ? ENOENT : 0; /* somebody removed it meanwhile */
    }
    int code = errno;
    if (w->unnamed)
        ls_segment_undo(w->segments);
    w->unnamed = false;
    return ftruncate(w->log, w->log_end) == 0 ? code : errno; /* no half line */
}

static void begin_values(void *context, const ls_stored_values *values) {
    writer *w = context;
    ls_segment_begin(w->segments, values);
}

static void put_values(void *context, const void *bytes, size_t count) {
    writer *w = context;
    ls_segment_put(w->segments, bytes, count);
}

static int end_values(void *context, bool whole, ls_place *out_place) {
    writer *w = context;
    char name[LS_SEGMENT_NAME];
    int code = ls_segment_end(w->segments, whole, name, out_place);
    w->unnamed = whole && code == 0;
    if (w->unnamed)
        snprintf(out_place->file, sizeof out_place->file, LS_TENSORS "%s", name);
    return code;
}

static int finish_values(void *context) {
    writer *w = context;
    return ls_segment_finish(w->segments);
}

/* A recording without tensors does not replace an older trace; a log with nothing but its first line is removed. */
static int close_writer(void *context, bool recorded) {
    writer *w = context;
    int code = 0;
    if (w->replaces ? !recorded : w->lines <= 1)
        drop(w);
    else if (w->replaces)
        code = replace_older(w);
    release(w);
    return code;
}

lockstep_status ls_trace_writer_open(const char *path, ls_recording *out_recording, lockstep_error *error) {
    size_t length = strlen(path) + 1;
    writer *w = calloc(1, sizeof *w + length);
    if (w == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    w->out = w->directory = w->tensors = w->log = -1;
    memcpy(w->out_path, path, length);
    lockstep_status status = prepare(w, error);
    if (status != LOCKSTEP_OK) {
        if (w->tensors >= 0)
            drop(w);
        else if (w->made_out)
            rmdir(path);
        release(w);
        return status;
    }
    *out_recording = (ls_recording){w, put_line, begin_values, put_values, end_values, NULL, NULL, finish_values, close_writer};
    return LOCKSTEP_OK;
}
