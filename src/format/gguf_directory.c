/* A directory with the .gguf files of one model: one file, or the shards of a split,
 * and perhaps a projector beside them (its name has "mmproj"), whose metadata counts
 * where the model has no such key. Folders inside are not looked at. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "format/formats.h"
#include "format/gguf.h"
#include "format/paths.h"

typedef struct listing {
    const char *model, *projector; /* file names; the first of each */
    const char *other;             /* a second model or projector */
    bool has_npy;
} listing;

/* False when there is no memory. */
static bool note(listing *l, ls_arena *arena, const char *name) {
    l->has_npy |= ls_path_has_suffix(name, ".npy");
    if (name[0] == '.' || !ls_path_has_suffix(name, ".gguf") || ls_gguf_shard_number(name) != 1)
        return true;
    const char *copy = ls_arena_copy(arena, name, strlen(name));
    const char **place = strstr(name, "mmproj") != NULL ? &l->projector : &l->model;
    if (copy == NULL)
        return false;
    if (*place != NULL && strcmp(copy, *place) > 0) {
        l->other = copy;
    } else { /* the first by name, whatever order the directory is in */
        l->other = *place != NULL ? *place : l->other;
        *place = copy;
    }
    return true;
}

static lockstep_status list(const char *path, ls_arena *arena, listing *out, lockstep_error *error) {
    DIR *directory = opendir(path);
    if (directory == NULL)
        return ls_fail(error, LOCKSTEP_IO, "%s: %s", path, strerror(errno));
    lockstep_status status = LOCKSTEP_OK;
    const struct dirent *found;
    while (status == LOCKSTEP_OK && (found = readdir(directory)) != NULL)
        if (!note(out, arena, found->d_name))
            status = ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", path);
    closedir(directory);
    return status;
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
    bool found = is_directory && list(path, &arena, &l, NULL) == LOCKSTEP_OK && !l.has_npy &&
                 (l.model != NULL || l.projector != NULL);
    ls_arena_done(&arena);
    return found;
}

const ls_format ls_format_gguf_directory = {"ggufdir", "a directory of one model's .gguf files", probe,
                                            open_gguf_directory};
