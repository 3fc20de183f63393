#include "convert/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/grow.h"
#include "format/archive.h"
#include "format/zip.h"
#include "format/zip_writer.h"

enum { LOCAL = 30, NAME_AT = 26, EXTRA_AT = 28 };

/* A segment that has no directory. */
typedef struct unfinished {
    const char *path; /* in the arena */
    uint64_t end;     /* of the last value in the log */
    ls_text directory;
} unfinished;

typedef struct restoring {
    ls_arena arena;
    unfinished *items;
    size_t count, capacity;
} restoring;

static bool has_directory(ls_source *source) {
    ls_arena arena = {0};
    ls_zip_member *members;
    size_t count;
    bool found = ls_zip_list(source, &arena, &members, &count, NULL) == LOCKSTEP_OK;
    ls_arena_done(&arena);
    return found;
}

/* Members have no gaps between them. The data of the next one must end where the values of `t` do. */
static lockstep_status add_record(const ls_source *source, const uint8_t *bytes, const ls_tensor *t, unfinished *u, ls_arena *arena, uint64_t *count,
                                  lockstep_error *error) {
    const uint64_t values_end = t->offset + t->bytes;
    ls_cursor c = {.bytes = bytes + u->end, .size = source->size - u->end, .origin = u->end, .file = source->name};
    const uint8_t *head, *name, *extra;
    LS_TRY(ls_cursor_bytes(&c, LOCAL, "zip: local header", &head, error));
    if (memcmp(head, "PK\3\4", 4) != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, u->end, "found no local zip header, expected 'PK' 03 04");
    const size_t length = head[NAME_AT] | (size_t)head[NAME_AT + 1] << 8, more = head[EXTRA_AT] | (size_t)head[EXTRA_AT + 1] << 8;
    LS_TRY(ls_cursor_bytes(&c, length, "zip: local name", &name, error));
    LS_TRY(ls_cursor_bytes(&c, more, "zip: local extra field", &extra, error));
    const uint64_t data = ls_cursor_offset(&c);
    if (data > t->offset || t->offset - data > LS_ZIP64_FROM || values_end < data)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, u->end, "found a member whose data begins at offset %llu, expected the values of '%.100s' at %llu",
                          (unsigned long long)data, t->name, (unsigned long long)t->offset);
    ls_zip_entry entry = {.name = ls_arena_copy(arena, (const char *)name, length), .header = u->end, .size = values_end - data};
    if (entry.name == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", source->name);
    entry.crc = libdeflate_crc32(0, bytes + data, (size_t)entry.size);
    ls_zip_put_record(&u->directory, &entry, LS_ZIP64_FROM);
    u->end = values_end;
    ++*count;
    return LOCKSTEP_OK;
}

/* The archive's tensors are in the order of the log, which is also the order in each segment. */
static lockstep_status build_directory(const lockstep_archive *archive, ls_source *source, restoring *r, unfinished *u, lockstep_error *error) {
    const uint8_t *bytes;
    uint64_t count = 0;
    LS_TRY(ls_source_bytes(source, &bytes, error));
    for (size_t i = 0; i < archive->tensor_count; i++)
        if (archive->tensors[i].source == source)
            LS_TRY(add_record(source, bytes, &archive->tensors[i], u, &r->arena, &count, error));
    const uint64_t size = u->directory.length;
    ls_zip_put_end(&u->directory, count, u->end, size, LS_ZIP64_FROM);
    u->path = ls_arena_copy(&r->arena, source->name, strlen(source->name));
    return u->directory.failed || u->path == NULL ? ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", source->name) : LOCKSTEP_OK;
}

/* A trace's first source is the log. Files that hold a single NPY begin differently from a segment. */
static lockstep_status find_unfinished(const lockstep_archive *archive, restoring *r, lockstep_error *error) {
    for (size_t i = 1; i < archive->source_count; i++) {
        ls_source *source = archive->sources[i];
        char head[4];
        void *items = r->items;
        if (source->size < sizeof head || ls_source_read_at(source, 0, head, sizeof head, NULL) != LOCKSTEP_OK || memcmp(head, "PK\3\4", 4) != 0 ||
            has_directory(source))
            continue;
        if (!ls_grow(&items, r->count, &r->capacity, sizeof *r->items))
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", source->name);
        r->items = items;
        r->items[r->count] = (unfinished){0};
        LS_TRY(build_directory(archive, source, r, &r->items[r->count++], error));
    }
    return LOCKSTEP_OK;
}

static bool write_fully(int file, const char *bytes, size_t count, uint64_t offset) {
    while (count > 0) {
        ssize_t n = pwrite(file, bytes, count, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        count -= (size_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

static lockstep_status write_directory(const unfinished *u, lockstep_error *error) {
    int file = open(u->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    bool written = file >= 0 && ftruncate(file, (off_t)u->end) == 0 && write_fully(file, u->directory.data, u->directory.length, u->end);
    int why = errno;
    if (file >= 0 && close(file) != 0 && written) {
        written = false;
        why = errno;
    }
    return written ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_IO, "%s: %s", u->path, strerror(why));
}

static lockstep_status restore(const char *trace, restoring *r, lockstep_error *error) {
    lockstep_archive *archive;
    LS_TRY(lockstep_archive_open(trace, &archive, error));
    lockstep_status status = strcmp(archive->format, "trace") == 0 ? find_unfinished(archive, r, error)
                                                                    : ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: is not a trace in a directory", trace);
    lockstep_archive_close(archive); /* the files must not be mapped while they change */
    for (size_t i = 0; i < r->count && status == LOCKSTEP_OK; i++)
        status = write_directory(&r->items[i], error);
    return status;
}

lockstep_status ls_restore_directories(const char *trace, size_t *out_count, lockstep_error *error) {
    restoring r = {0};
    int lock = open(trace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0)
        return ls_fail(error, errno == ENOENT ? LOCKSTEP_NOT_FOUND : LOCKSTEP_IO, "%s: %s", trace, strerror(errno));
    lockstep_status status = flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
                                 ? ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: is still being recorded; wait until that ends", trace)
                                 : restore(trace, &r, error);
    close(lock);
    if (status == LOCKSTEP_OK)
        *out_count = r.count;
    for (size_t i = 0; i < r.count; i++)
        ls_text_done(&r.items[i].directory);
    free(r.items);
    ls_arena_done(&r.arena);
    return status;
}
