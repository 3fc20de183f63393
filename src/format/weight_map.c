/* {"weight_map": {"TENSOR": "FILE", …}, "metadata": {…}}. The optional metadata only has
 * sizes. */
#include "format/weight_map.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_reader.h"
#include "format/paths.h"

enum { INDEX_LIMIT = 100000000 };

static bool add_weight(ls_weight_map *map, const char *name, const char *file, uint64_t where) {
    if (map->count == map->capacity) {
        size_t capacity = map->capacity == 0 ? 64 : map->capacity * 2;
        const char **names = reallocarray(map->names, capacity, sizeof *names);
        map->names = names != NULL ? names : map->names;
        const char **in = reallocarray(map->in, capacity, sizeof *in);
        map->in = in != NULL ? in : map->in;
        uint64_t *places = reallocarray(map->where, capacity, sizeof *places);
        map->where = places != NULL ? places : map->where;
        if (names == NULL || in == NULL || places == NULL)
            return false;
        map->capacity = capacity;
    }
    map->names[map->count] = name;
    map->in[map->count] = file;
    map->where[map->count++] = where;
    return true;
}

static lockstep_status read_weight_map(lockstep_archive *archive, ls_json *j, ls_weight_map *map,
                                       lockstep_error *error) {
    LS_TRY(ls_json_begin(j, '{', "weight_map: an object of file names", error));
    for (;;) {
        const char *name, *file;
        LS_TRY(ls_json_key(j, &name, NULL, error));
        if (name == NULL)
            return LOCKSTEP_OK;
        uint64_t at = (ls_json_peek(j), ls_json_offset(j));
        LS_TRY(ls_json_string(j, "a file name", &file, error));
        if (strchr(file, '/') != NULL || !ls_path_stays_inside(file))
            return ls_fail_at(error, LOCKSTEP_MALFORMED, j->file, at,
                              "found the file name '%s', expected one beside the index", file);
        size_t before = ls_names_find(&map->tensors, name);
        if (before != SIZE_MAX) { /* a repeated key: the last counts */
            map->in[before] = file;
            map->where[before] = at;
        } else if (ls_names_add(&map->tensors, name, map->count) == LS_NAMES_NO_MEMORY || !add_weight(map, name, file, at)) {
            return ls_fail_memory(archive, error);
        }
    }
}

static lockstep_status read_index(lockstep_archive *archive, ls_json *j, ls_weight_map *map,
                                  lockstep_error *error) {
    bool found = false;
    LS_TRY(ls_json_begin(j, '{', "the index: an object", error));
    for (;;) {
        const char *key;
        uint64_t at;
        LS_TRY(ls_json_key(j, &key, &at, error));
        if (key == NULL)
            break;
        bool is_map = strcmp(key, "weight_map") == 0;
        if (is_map && found) { /* repeated: the last counts */
            map->count = 0;
            ls_names_done(&map->tensors);
            map->tensors = (ls_names){0};
        }
        found |= is_map;
        LS_TRY(is_map ? read_weight_map(archive, j, map, error) : ls_json_skip(j, error));
    }
    if (!found)
        return ls_json_fail(j, "a weight_map before its end", error);
    return ls_json_end(j, error);
}

static lockstep_status open_file(lockstep_archive *archive, ls_weight_map *map, const char *file,
                                 lockstep_error *error) {
    ls_source *source;
    const char *path = ls_path_beside(&archive->arena, map->path, file);
    if (path == NULL)
        return ls_fail_memory(archive, error);
    if (map->source_count == map->source_capacity) {
        size_t capacity = map->source_capacity == 0 ? 16 : map->source_capacity * 2;
        ls_source **sources = reallocarray(map->sources, capacity, sizeof *sources);
        if (sources == NULL)
            return ls_fail_memory(archive, error);
        map->sources = sources;
        map->source_capacity = capacity;
    }
    LS_TRY(ls_source_open_file(path, &source, error));
    LS_TRY(ls_archive_add_source(archive, source, error));
    map->sources[map->source_count++] = source;
    return LOCKSTEP_OK;
}

lockstep_status ls_weight_map_open(lockstep_archive *archive, ls_source *index, ls_weight_map *map,
                                   lockstep_error *error) {
    const uint8_t *bytes;
    map->path = index->name;
    if (index->size > INDEX_LIMIT)
        return ls_fail(error, LOCKSTEP_LIMIT, "%s: found %llu bytes, expected at most %d", index->name,
                       (unsigned long long)index->size, INDEX_LIMIT);
    LS_TRY(ls_source_bytes(index, &bytes, error));
    ls_json j = {.text = (const char *)bytes,
                 .size = index->size,
                 .file = index->name,
                 .arena = &archive->arena};
    ls_json_open_python(&j);
    LS_TRY(read_index(archive, &j, map, error));
    for (size_t i = 0; i < map->count; i++) {
        ls_names_result added = ls_names_add(&map->files, map->in[i], map->source_count);
        if (added == LS_NAMES_NO_MEMORY)
            return ls_fail_memory(archive, error);
        if (added == LS_NAMES_ADDED)
            LS_TRY(open_file(archive, map, map->in[i], error));
    }
    return LOCKSTEP_OK;
}

/* Notes tensors that the index doesn't list; transformers loads them nevertheless. */
static lockstep_status note_unlisted(lockstep_archive *archive, const ls_weight_map *map, lockstep_error *error) {
    size_t count = 0, first = 0;
    for (size_t i = 0; i < archive->tensor_count; i++)
        if (ls_names_find(&map->tensors, archive->tensors[i].name) == SIZE_MAX)
            first = count++ == 0 ? i : first;
    return count == 0 ? LOCKSTEP_OK
                      : ls_archive_add_note(archive, false, error, "%zu tensors are in a shard and not in the index, the first %s", count,
                                            archive->tensors[first].name);
}

lockstep_status ls_weight_map_check(lockstep_archive *archive, const ls_weight_map *map,
                                    lockstep_error *error) {
    for (size_t i = 0; i < map->count; i++) {
        size_t tensor = ls_archive_find(archive, map->names[i]);
        const ls_source *wanted = map->sources[ls_names_find(&map->files, map->in[i])];
        if (tensor == SIZE_MAX || archive->tensors[tensor].source != wanted)
            return ls_fail_at(error, LOCKSTEP_MALFORMED, map->path, map->where[i],
                              "found no tensor '%s' in %s, where the weight_map places it", map->names[i],
                              map->in[i]);
    }
    return note_unlisted(archive, map, error);
}

void ls_weight_map_done(ls_weight_map *map) {
    free(map->names);
    free(map->in);
    free(map->where);
    free(map->sources);
    ls_names_done(&map->files);
    ls_names_done(&map->tensors);
}
