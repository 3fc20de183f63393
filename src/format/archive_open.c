/* Opens a file or directory as an archive. Its name and first bytes determine the format. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/address.h"
#include "format/formats.h"
#include "format/model_folder.h"

enum { HEAD = 512 }; /* bytes passed to a probe */

static lockstep_archive *new_archive(const char *path) {
    lockstep_archive *archive = calloc(1, sizeof *archive);
    if (archive != NULL)
        archive->path = ls_arena_copy(&archive->arena, path, strlen(path));
    if (archive != NULL && archive->path == NULL) {
        free(archive);
        archive = NULL;
    }
    return archive;
}

static const ls_format *find_format(const char *path, bool is_directory, const uint8_t *head,
                                    size_t size) {
    for (const ls_format *const *f = ls_formats; *f != NULL; f++)
        if ((*f)->probe(path, is_directory, head, size))
            return *f;
    return NULL;
}

static lockstep_status run_open(lockstep_archive *archive, const ls_format *format,
                                ls_source *source, lockstep_archive **out_archive,
                                lockstep_error *error) {
    archive->format = format->name;
    lockstep_status status = format->open(archive, source, error);
    if (status != LOCKSTEP_OK)
        lockstep_archive_close(archive);
    else
        *out_archive = archive;
    return status;
}

lockstep_status ls_archive_open_source(ls_source *source, const ls_format *format,
                                       lockstep_archive **out_archive, lockstep_error *error) {
    lockstep_archive *archive = new_archive(source->name);
    if (archive == NULL) {
        lockstep_status status =
            ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", source->name);
        ls_source_close(source);
        return status;
    }
    uint8_t head[HEAD];
    size_t size = source->size < HEAD ? (size_t)source->size : HEAD;
    lockstep_status status = ls_archive_add_source(archive, source, error);
    if (status == LOCKSTEP_OK && format == NULL) {
        status = ls_source_read_at(source, 0, head, size, error);
        if (status == LOCKSTEP_OK &&
            (format = find_format(source->name, false, head, size)) == NULL)
            status = ls_fail(error, LOCKSTEP_UNKNOWN_FORMAT,
                             "%s: neither its name nor its first bytes are those of a known format",
                             source->name);
    }
    if (status != LOCKSTEP_OK) {
        lockstep_archive_close(archive);
        return status;
    }
    return run_open(archive, format, source, out_archive, error);
}

static lockstep_status open_directory(const char *path, lockstep_archive **out_archive,
                                      lockstep_error *error) {
    const ls_format *format = find_format(path, true, NULL, 0);
    if (format == NULL)
        return ls_fail(error, LOCKSTEP_UNKNOWN_FORMAT,
                       "%s: a directory without trace.jsonl, .npy, .safetensors, .gguf or pytorch_model.bin%s", path, ls_model_folder_others(path));
    lockstep_archive *archive = new_archive(path);
    if (archive == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", path);
    return run_open(archive, format, NULL, out_archive, error);
}

/* Opens an address PATH::DTYPE,SHAPE, which is the archive's path; the source's is PATH. */
static lockstep_status open_raw(const char *path, size_t length, lockstep_archive **out_archive,
                                lockstep_error *error) {
    lockstep_archive *archive = new_archive(path);
    const char *file = archive != NULL ? ls_arena_copy(&archive->arena, path, length) : NULL;
    ls_source *source;
    lockstep_status status = file != NULL ? ls_source_open_file(file, &source, error)
                                          : ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", path);
    if (status == LOCKSTEP_OK)
        status = ls_archive_add_source(archive, source, error);
    if (status == LOCKSTEP_OK)
        return run_open(archive, &ls_format_raw, source, out_archive, error);
    lockstep_archive_close(archive);
    return status;
}

lockstep_status lockstep_archive_open(const char *path, lockstep_archive **out_archive,
                                      lockstep_error *error) {
    if (path == NULL || out_archive == NULL)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "the path or the output pointer is NULL");
    struct stat info;
    bool exists = stat(path, &info) == 0;
    if (exists && S_ISDIR(info.st_mode))
        return open_directory(path, out_archive, error);
    if (!exists && ls_address_path_length(path) > 0)
        return open_raw(path, ls_address_path_length(path), out_archive, error);
    ls_source *source;
    LS_TRY(ls_source_open_file(path, &source, error));
    return ls_archive_open_source(source, NULL, out_archive, error);
}

