/* A trace (docs/trace-format.md) as a container: the tensors of trace.jsonl that have a file, in its order. Only
 * "name", "role", and the location of the values ("file", "at", "bytes") are used here; the rest is read by
 * src/trace. A repeated name gets the suffix #2, #3, … A last line without a newline was being written when the
 * recorder died, and is left out. */
#include <string.h>
#include <sys/stat.h>

#include "base/json_reader.h"
#include "base/role.h"
#include "format/npy.h"
#include "format/formats.h"
#include "format/paths.h"
#include "format/segments.h"

static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    (void)head, (void)size;
    ls_arena arena = {0};
    struct stat info;
    const char *lines = is_directory ? ls_path_join(&arena, path, "trace.jsonl") : NULL;
    bool found = lines != NULL && stat(lines, &info) == 0 && S_ISREG(info.st_mode);
    ls_arena_done(&arena);
    return found;
}

typedef struct tensor_line {
    const char *name, *role;
    ls_extent extent;
    uint64_t file_at; /* offset of the file's name in the log */
    bool ends;        /* the line that ends a trace */
} tensor_line;

typedef struct listing {
    lockstep_archive *archive;
    ls_names seen;
    ls_segments segments;
    size_t missing;     /* values that are not where their lines say */
    lockstep_error why; /* of the first */
    bool ended;
} listing;

static lockstep_status read_text(ls_json *j, const char *what, const char **out, lockstep_error *error) {
    return *out == NULL ? ls_json_string(j, what, out, error) : ls_json_fail(j, "each key only once per line", error);
}

static lockstep_status read_value(ls_json *j, const char *key, tensor_line *line, lockstep_error *error) {
    if (strcmp(key, "name") == 0)
        return read_text(j, "a name in quotes", &line->name, error);
    if (strcmp(key, "role") == 0)
        return read_text(j, "a role in quotes", &line->role, error);
    if (strcmp(key, "at") == 0)
        return ls_json_u64(j, "an offset in the file", &line->extent.at, error);
    if (strcmp(key, "bytes") == 0)
        return ls_json_u64(j, "a number of bytes", &line->extent.bytes, error);
    line->ends = line->ends || strcmp(key, "end") == 0;
    if (strcmp(key, "file") != 0)
        return ls_json_skip(j, error);
    line->file_at = (ls_json_peek(j), ls_json_offset(j));
    return read_text(j, "a file name in quotes", &line->extent.file, error);
}

static lockstep_status read_line(ls_json *j, tensor_line *out_line, lockstep_error *error) {
    *out_line = (tensor_line){.file_at = j->origin};
    LS_TRY(ls_json_begin(j, '{', "a line of a trace: an object", error));
    for (;;) {
        const char *key;
        LS_TRY(ls_json_key(j, &key, NULL, error));
        if (key == NULL)
            return ls_json_end(j, error);
        LS_TRY(read_value(j, key, out_line, error));
    }
}

/* Opens a tensor that has a file of its own. */
static lockstep_status open_own(lockstep_archive *archive, const tensor_line *line, const char *log, const char *name, ls_tensor *out_tensor,
                                lockstep_error *error) {
    const char *path = ls_path_join(&archive->arena, archive->path, line->extent.file);
    ls_source *source;
    if (path == NULL)
        return ls_fail_memory(archive, error);
    if (!ls_path_resolves_inside(archive->path, path))
        return ls_fail_at(error, LOCKSTEP_MALFORMED, log, line->file_at,
                          "found the file '%s', which is a link that leads out of the trace", line->extent.file);
    LS_TRY(ls_source_open_small(path, &source, error));
    LS_TRY(ls_archive_add_source(archive, source, error));
    return ls_npy_read(source, name, &archive->arena, out_tensor, error);
}

/* Opens a tensor in a segment. *out_placed: the line itself is valid, whatever the bytes are that it points to. */
static lockstep_status open_extent(listing *l, const tensor_line *line, const char *log, const char *name, ls_tensor *out_tensor, bool *out_placed,
                                   lockstep_error *error) {
    ls_segment *segment;
    const size_t before = l->segments.count;
    LS_TRY(ls_segments_open(&l->segments, l->archive->path, line->extent.file, &segment, error));
    if (l->segments.count > before)
        LS_TRY(ls_archive_add_source(l->archive, segment->source, error));
    LS_TRY(ls_segment_claim(segment, &line->extent, log, line->file_at, error));
    *out_placed = true;
    return ls_segment_read(segment, &line->extent, name, &l->archive->arena, out_tensor, error);
}

static lockstep_status add_line(listing *l, const tensor_line *line, const char *log, lockstep_error *error) {
    const char *file = line->extent.file;
    if (!ls_path_stays_inside(file))
        return ls_fail_at(error, LOCKSTEP_MALFORMED, log, line->file_at,
                          "found the file name '%s', expected a path inside the trace", file);
    const char *name = ls_trace_tensor_name(&l->archive->arena, &l->seen, line->name != NULL ? line->name : file);
    lockstep_error why = {0};
    ls_tensor tensor = {0};
    if (name == NULL)
        return ls_fail_memory(l->archive, error);
    bool placed = false;
    lockstep_status status = line->extent.bytes == 0 ? open_own(l->archive, line, log, name, &tensor, &why)
                                                     : open_extent(l, line, log, name, &tensor, &placed, &why);
    bool missing = status == LOCKSTEP_TRUNCATED || status == LOCKSTEP_NOT_FOUND || (placed && status == LOCKSTEP_MALFORMED);
    if (line->extent.bytes > 0 && missing) {
        if (l->missing++ == 0)
            l->why = why;
        return LOCKSTEP_OK; /* check_missing decides at the end of the log */
    }
    if (status != LOCKSTEP_OK) {
        if (error != NULL)
            *error = why;
        return status;
    }
    tensor.is_weight = ls_role_of(line->role) == LOCKSTEP_ROLE_WEIGHT;
    return ls_archive_add_tensor(l->archive, &tensor, 0, error);
}

static lockstep_status read_lines(listing *l, const ls_source *source, const uint8_t *bytes, lockstep_error *error) {
    for (uint64_t at = 0; at < source->size;) {
        const uint8_t *end = memchr(bytes + at, '\n', (size_t)(source->size - at));
        if (end == NULL)
            break;
        tensor_line line;
        ls_json j = {.text = (const char *)bytes + at,
                     .size = (uint64_t)(end - bytes) - at,
                     .origin = at,
                     .file = source->name,
                     .arena = &l->archive->arena};
        LS_TRY(read_line(&j, &line, error));
        l->ended = l->ended || line.ends;
        if (line.extent.file != NULL)
            LS_TRY(add_line(l, &line, source->name, error));
        at += j.size + 1;
    }
    return LOCKSTEP_OK;
}

/* An interrupted recording may have lines whose values didn't reach the disk; a complete one may not. */
static lockstep_status check_missing(const listing *l, lockstep_error *error) {
    if (l->missing == 0)
        return LOCKSTEP_OK;
    if (!l->ended)
        return ls_archive_add_note(l->archive, true, error, "the values of %zu tensors are missing, because the recording was cut short", l->missing);
    if (error != NULL)
        *error = l->why;
    return l->why.status;
}

static lockstep_status open_trace(lockstep_archive *archive, ls_source *source,
                                  lockstep_error *error) {
    const char *path = ls_path_join(&archive->arena, archive->path, "trace.jsonl");
    const uint8_t *bytes;
    listing l = {.archive = archive};
    if (path == NULL)
        return ls_fail_memory(archive, error);
    LS_TRY(ls_source_open_file(path, &source, error));
    LS_TRY(ls_archive_add_source(archive, source, error));
    LS_TRY(ls_source_bytes(source, &bytes, error));
    lockstep_status status = read_lines(&l, source, bytes, error);
    if (status == LOCKSTEP_OK)
        status = check_missing(&l, error);
    ls_names_done(&l.seen);
    ls_segments_done(&l.segments, false);
    return status;
}

const ls_format ls_format_trace = {"trace", "what `lockstep capture` recorded", probe, open_trace};
