/* A directory with the .gguf files of one model: one file, or the shards of a split, and
 * perhaps a projector (with "mmproj" in its name), whose metadata is used for keys that the
 * model doesn't have. Subfolders are ignored. */
#include <string.h>

#include "format/formats.h"
#include "format/gguf.h"
#include "format/paths.h"

typedef struct listing {
    const char *model, *projector; /* name of the first file of each kind */
    const char *other;             /* a second model or projector */
} listing;

static lockstep_status list(const char *path, ls_arena *arena, listing *out, lockstep_error *error) {
    char **names;
    size_t count = 0;
    LS_TRY(ls_path_list(arena, path, ".gguf", &names, &count, error));
    for (size_t i = 0; i < count; i++) {
        const char **place = strstr(names[i], "mmproj") != NULL ? &out->projector : &out->model;
        if (ls_gguf_shard_number(names[i]) == 1)
            *(*place == NULL ? place : &out->other) = names[i];
    }
    return LOCKSTEP_OK;
}

static lockstep_status add(lockstep_archive *archive, const char *name, bool is_first,
                           lockstep_error *error) {
    const char *path = ls_path_join(&archive->arena, archive->path, name);
    ls_source *source;
    if (path == NULL)
        return ls_fail_memory(archive, error);
    LS_TRY(ls_source_open_file(path, &source, error));
    LS_TRY(ls_archive_add_source(archive, source, error));
    return ls_gguf_add(archive, source, is_first, error);
}

static lockstep_status open_gguf_directory(lockstep_archive *archive, ls_source *source,
                                           lockstep_error *error) {
    (void)source;
    listing l = {0};
    LS_TRY(list(archive->path, &archive->arena, &l, error));
    if (l.other != NULL)
        return ls_fail(error, LOCKSTEP_UNSUPPORTED,
                       "%s: found several models (%s, %s, …), expected one: name the file", archive->path,
                       strstr(l.other, "mmproj") != NULL ? l.projector : l.model, l.other);
    if (l.model != NULL)
        LS_TRY(add(archive, l.model, true, error));
    return l.projector != NULL ? add(archive, l.projector, l.model == NULL, error) : LOCKSTEP_OK;
}

static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    (void)head, (void)size;
    ls_arena arena = {0};
    listing l = {0};
    char **arrays;
    size_t count = 0;
    bool found = is_directory && list(path, &arena, &l, NULL) == LOCKSTEP_OK &&
                 (l.model != NULL || l.projector != NULL) &&
                 ls_path_list(&arena, path, ".npy", &arrays, &count, NULL) == LOCKSTEP_OK && count == 0;
    ls_arena_done(&arena);
    return found;
}

const ls_format ls_format_gguf_directory = {"ggufdir", "a directory of one model's .gguf files", probe,
                                            open_gguf_directory};
