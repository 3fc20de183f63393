/* A trace (docs/trace-format.md) seen as a container: the tensors of trace.jsonl
 * that have a file, in its order. Only "name", "file" and "role" of a tensor's line count
 * here; the rest of the trace is src/trace's. A name that is there already gets
 * the suffix #2, #3, … A last line without its newline was being written when the
 * recorder died, and is left out. */
#include <string.h>
#include <sys/stat.h>

#include "base/json_reader.h"
#include "format/npy.h"
#include "format/formats.h"
#include "format/paths.h"

static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    (void)head, (void)size;
    ls_arena arena = {0};
    struct stat info;
    const char *lines = is_directory ? ls_path_join(&arena, path, "trace.jsonl") : NULL;
    bool found = lines != NULL && stat(lines, &info) == 0 && S_ISREG(info.st_mode);
    ls_arena_done(&arena);
    return found;
}

static lockstep_status read_line(ls_json *j, const char **out_name, const char **out_file,
                                 const char **out_role, uint64_t *out_file_at, lockstep_error *error) {
    *out_name = *out_file = *out_role = NULL;
    LS_TRY(ls_json_begin(j, '{', "a line of a trace: an object", error));
    for (;;) {
        const char *key;
        LS_TRY(ls_json_key(j, &key, NULL, error));
        if (key == NULL)
            return ls_json_end(j, error);
        bool is_name = strcmp(key, "name") == 0, is_file = strcmp(key, "file") == 0, is_role = strcmp(key, "role") == 0;
        if ((is_name && *out_name != NULL) || (is_file && *out_file != NULL) || (is_role && *out_role != NULL))
            return ls_json_fail(j, "one name, one file and one role in a line", error);
        if (is_file)
            *out_file_at = (ls_json_peek(j), ls_json_offset(j));
        LS_TRY(is_name   ? ls_json_string(j, "a name in quotes", out_name, error)
               : is_file ? ls_json_string(j, "a file name in quotes", out_file, error)
               : is_role ? ls_json_string(j, "a role in quotes", out_role, error)
                         : ls_json_skip(j, error));
    }
}

static lockstep_status add_line(lockstep_archive *archive, const ls_json *j, ls_names *seen,
                                const char *name, const char *file, bool is_weight, uint64_t at,
                                lockstep_error *error) {
    if (!ls_path_stays_inside(file))
        return ls_fail_at(error, LOCKSTEP_MALFORMED, j->file, at,
                          "found the file name '%s', expected a path inside the trace", file);
    const char *path = ls_path_join(&archive->arena, archive->path, file);
    name = ls_trace_tensor_name(&archive->arena, seen, name != NULL ? name : file);
    ls_source *source;
    ls_tensor tensor = {0};
    if (path == NULL || name == NULL)
        return ls_fail_memory(archive, error);
    if (!ls_path_resolves_inside(archive->path, path))
        return ls_fail_at(error, LOCKSTEP_MALFORMED, j->file, at,
                          "found the file '%s', a link that leads out of the trace", file);
    LS_TRY(ls_source_open_small(path, &source, error));
    LS_TRY(ls_archive_add_source(archive, source, error));
    LS_TRY(ls_npy_read(source, name, &archive->arena, &tensor, error));
    tensor.is_weight = is_weight;
    return ls_archive_add_tensor(archive, &tensor, 0, error);
}

static lockstep_status read_lines(lockstep_archive *archive, const ls_source *source,
                                  const uint8_t *bytes, ls_names *seen, lockstep_error *error) {
    for (uint64_t at = 0; at < source->size;) {
        const uint8_t *end = memchr(bytes + at, '\n', (size_t)(source->size - at));
        if (end == NULL)
            break;
        const char *name, *file, *role;
        uint64_t file_at = at;
        ls_json j = {.text = (const char *)bytes + at,
                     .size = (uint64_t)(end - bytes) - at,
                     .origin = at,
                     .file = source->name,
                     .arena = &archive->arena};
        LS_TRY(read_line(&j, &name, &file, &role, &file_at, error));
        if (file != NULL)
            LS_TRY(add_line(archive, &j, seen, name, file, role != NULL && strcmp(role, "weight") == 0, file_at, error));
        at += j.size + 1;
    }
    return LOCKSTEP_OK;
}

static lockstep_status open_trace(lockstep_archive *archive, ls_source *source,
                                  lockstep_error *error) {
    const char *path = ls_path_join(&archive->arena, archive->path, "trace.jsonl");
    const uint8_t *bytes;
    ls_names seen = {0};
    if (path == NULL)
        return ls_fail_memory(archive, error);
    LS_TRY(ls_source_open_file(path, &source, error));
    LS_TRY(ls_archive_add_source(archive, source, error));
    LS_TRY(ls_source_bytes(source, &bytes, error));
    lockstep_status status = read_lines(archive, source, bytes, &seen, error);
    ls_names_done(&seen);
    return status;
}

const ls_format ls_format_trace = {"trace", "what `lockstep capture` recorded", probe, open_trace};
