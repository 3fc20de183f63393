/* A directory of .npy files, such as a dump script writes. A tensor's name is the file's
 * relative path without .npy. Tensors are in natural order of their names (l.2 before
 * l.10). Links to folders are not followed. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/npy.h"
#include "format/formats.h"
#include "format/model_folder.h"
#include "format/paths.h"

enum { MAX_DEPTH = 32 };

typedef struct listing {
    lockstep_archive *archive;
    char **names; /* relative to the directory, with .npy */
    size_t count, capacity;
} listing;

static lockstep_status add_name(listing *l, char *name, lockstep_error *error) {
    if (l->count == l->capacity) {
        size_t capacity = l->capacity == 0 ? 64 : l->capacity * 2;
        char **names = reallocarray(l->names, capacity, sizeof *names);
        if (names == NULL)
            return ls_fail_memory(l->archive, error);
        l->names = names;
        l->capacity = capacity;
    }
    l->names[l->count++] = name;
    return LOCKSTEP_OK;
}

/* `under` is "" or a folder with its '/'. */
static lockstep_status walk(listing *l, const char *under, int depth, lockstep_error *error);

static lockstep_status visit(listing *l, const char *under, const struct dirent *found, int depth,
                             lockstep_error *error) {
    ls_arena *arena = &l->archive->arena;
    const char *base = found->d_name;
    if (base[0] == '.')
        return LOCKSTEP_OK;
    bool is_folder = found->d_type == DT_DIR;
    if (found->d_type == DT_UNKNOWN) {
        struct stat info;
        const char *path = ls_arena_printf(arena, "%s/%s%s", l->archive->path, under, base);
        if (path == NULL)
            return ls_fail_memory(l->archive, error);
        is_folder = lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
    }
    if (!is_folder && !ls_path_has_suffix(base, ".npy"))
        return LOCKSTEP_OK;
    char *name = ls_arena_printf(arena, "%s%s%s", under, base, is_folder ? "/" : "");
    if (name == NULL)
        return ls_fail_memory(l->archive, error);
    return is_folder ? walk(l, name, depth + 1, error) : add_name(l, name, error);
}

static lockstep_status walk(listing *l, const char *under, int depth, lockstep_error *error) {
    const char *path = ls_path_join(&l->archive->arena, l->archive->path, under);
    if (path == NULL)
        return ls_fail_memory(l->archive, error);
    if (depth > MAX_DEPTH)
        return ls_fail(error, LOCKSTEP_LIMIT, "%s: folders nested deeper than %d", path, MAX_DEPTH);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return ls_fail(error, LOCKSTEP_IO, "%s: %s", path, strerror(errno));
    lockstep_status status = LOCKSTEP_OK;
    const struct dirent *found;
    while (status == LOCKSTEP_OK && (found = readdir(directory)) != NULL)
        status = visit(l, under, found, depth, error);
    closedir(directory);
    return status;
}

static lockstep_status open_member(lockstep_archive *archive, const char *file,
                                   lockstep_error *error) {
    const char *path = ls_path_join(&archive->arena, archive->path, file);
    const char *name = ls_arena_copy(&archive->arena, file, strlen(file) - strlen(".npy"));
    ls_source *source;
    ls_tensor tensor = {0};
    if (path == NULL || name == NULL)
        return ls_fail_memory(archive, error);
    LS_TRY(ls_source_open_small(path, &source, error));
    LS_TRY(ls_archive_add_source(archive, source, error));
    LS_TRY(ls_npy_read(source, name, &archive->arena, &tensor, error));
    return ls_archive_add_tensor(archive, &tensor, 0, error);
}

/* A file that is no NPY, or a part of one, is named, and the others are read; unless there are none. */
static lockstep_status open_members(lockstep_archive *archive, char *const *names, size_t count, lockstep_error *error) {
    lockstep_error first = {0};
    for (size_t i = 0; i < count; i++) {
        lockstep_error own = {0};
        const lockstep_status status = open_member(archive, names[i], &own);
        const bool damaged = status == LOCKSTEP_TRUNCATED || status == LOCKSTEP_MALFORMED || status == LOCKSTEP_UNKNOWN_FORMAT;
        if (status != LOCKSTEP_OK && first.status == LOCKSTEP_OK)
            first = own;
        if (damaged)
            LS_TRY(ls_archive_add_note(archive, true, error, "%s was not read: %s", names[i], own.message));
        else if (status != LOCKSTEP_OK)
            return ls_fail(error, status, "%s", own.message);
    }
    return archive->tensor_count > 0 || first.status == LOCKSTEP_OK ? LOCKSTEP_OK : ls_fail(error, first.status, "%s", first.message);
}

/* Whether all names begin with a number; only then does their order mean something. */
static bool are_numbered(char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (names[i][0] < '0' || names[i][0] > '9')
            return false;
    return count > 0;
}

static lockstep_status open_npy_directory(lockstep_archive *archive, ls_source *source,
                                          lockstep_error *error) {
    (void)source;
    listing l = {.archive = archive};
    lockstep_status status = walk(&l, "", 0, error);
    if (l.count > 0)
        qsort(l.names, l.count, sizeof *l.names, ls_path_natural_order);
    archive->is_ordered = are_numbered(l.names, l.count);
    if (status == LOCKSTEP_OK)
        status = open_members(archive, l.names, l.count, error);
    if (status == LOCKSTEP_OK && l.count == 0)
        status = ls_fail(error, LOCKSTEP_UNKNOWN_FORMAT,
                         "%s: a directory without trace.jsonl, .npy, .safetensors, .gguf or pytorch_model.bin%s", archive->path, ls_model_folder_others(archive->path));
    free(l.names);
    return status;
}

/* The last row for directories: accepts any that no other format has accepted. */
static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    (void)path, (void)head, (void)size;
    return is_directory;
}

const ls_format ls_format_npy_directory = {"npydir", "a directory of .npy files", probe,
                                           open_npy_directory};
