#include "candidate_files.h"

#include "eval/models.h"
#include "format/archive.h"

static bool is_adapter(const char *path) {
    lockstep_archive *archive;
    lockstep_error error;
    if (lockstep_archive_open(path, &archive, &error) != LOCKSTEP_OK)
        return false;
    const bool is_one = ls_archive_meta(archive, "adapter.type") != NULL; /* GGUF's key; other formats have names of files for it */
    lockstep_archive_close(archive);
    return is_one;
}

static bool has_adapter(const ls_trace *t) {
    for (size_t i = 0; i < t->model_file_count && t->model_file_count > 1; i++)
        if (is_adapter(t->model_files[i].path))
            return true;
    return false;
}

size_t candidate_files(const option_list *given, const ls_trace *t, const char *out[CANDIDATE_FILES]) {
    size_t count = 0;
    for (size_t i = 0; i < given->count && count < CANDIDATE_FILES; i++)
        out[count++] = given->items[i];
    if (count > 0 || has_adapter(t))
        return count;
    for (size_t i = 0; i < t->model_file_count && count < CANDIDATE_FILES; i++)
        if (!ls_model_file_is_changed(&t->model_files[i]))
            out[count++] = t->model_files[i].path;
    return count;
}
