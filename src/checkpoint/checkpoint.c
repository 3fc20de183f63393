#include "checkpoint/checkpoint.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/formats.h"
#include "format/json_tree.h"
#include "format/paths.h"
#include "io/source.h"
#include "quantized/quantized.h"

enum { CONFIG_LIMIT = 16 << 20 };

/* --- recognizing */

static bool exists(const char *directory, const char *name) {
    ls_arena arena = {0};
    const char *path = ls_path_join(&arena, directory, name);
    bool found = path != NULL && access(path, R_OK) == 0;
    ls_arena_done(&arena);
    return found;
}

static bool has_weight_files(const char *directory) {
    static const char *const suffixes[] = {".safetensors", ".gguf", ".bin", ".pt", ".pth"};
    bool found = false;
    DIR *dir = opendir(directory);
    for (struct dirent *entry; dir != NULL && !found && (entry = readdir(dir)) != NULL;)
        for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
            found = found || ls_path_has_suffix(entry->d_name, suffixes[i]);
    if (dir != NULL)
        closedir(dir);
    return found;
}

static bool named_like_weights(const lockstep_archive *archive) {
    size_t count = 0;
    for (size_t i = 0; i < archive->tensor_count; i++)
        count += ls_path_has_suffix(archive->tensors[i].name, ".weight") ||
                 ls_path_has_suffix(archive->tensors[i].name, ".bias");
    return count > 0 && 2 * count >= archive->tensor_count;
}

bool ls_checkpoint_is_one(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0)
        return false;
    bool directory = S_ISDIR(info.st_mode);
    if (directory && (exists(path, "trace.jsonl") || !has_weight_files(path)))
        return false;
    if (directory && exists(path, "config.json"))
        return true;
    lockstep_archive *archive;
    if (ls_quantized_open(path, &archive, NULL) != LOCKSTEP_OK)
        return false;
    const char *log;
    uint64_t size;
    bool model = strncmp(archive->format, "gguf", 4) == 0 && ls_archive_meta(archive, "general.architecture") != NULL;
    bool result = (model || named_like_weights(archive)) && !ls_archive_trace_log(archive, &log, &size);
    lockstep_archive_close(archive);
    return result;
}

/* --- configuration */

lockstep_status ls_config_parse(ls_source *source, json_t **out_json, lockstep_error *error) {
    if (source->size > CONFIG_LIMIT)
        return ls_fail(error, LOCKSTEP_LIMIT, "%s: found %llu bytes, expected at most %d", source->name,
                       (unsigned long long)source->size, CONFIG_LIMIT);
    json_t *json;
    LS_TRY(ls_json_tree(source, &json, error));
    if (!json_is_object(json)) {
        json_decref(json);
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, 0, "expected an object");
    }
    *out_json = json;
    return LOCKSTEP_OK;
}

lockstep_status ls_checkpoint_json(const char *path, uint64_t limit, json_t **out_json, lockstep_error *error) {
    ls_source *source;
    *out_json = NULL;
    if (access(path, F_OK) != 0)
        return LOCKSTEP_OK;
    LS_TRY(ls_source_open_file(path, &source, error));
    lockstep_status status = source->size > limit
                                 ? ls_fail(error, LOCKSTEP_LIMIT, "%s: found %llu bytes, expected at most %llu", path,
                                           (unsigned long long)source->size, (unsigned long long)limit)
                                 : ls_config_parse(source, out_json, error);
    ls_source_close(source);
    return status;
}

lockstep_status ls_checkpoint_unread(ls_arena *arena, lockstep_status status, const lockstep_error *why, const char **out_trouble,
                                     lockstep_error *error) {
    if (status == LOCKSTEP_OK)
        return status;
    *out_trouble = ls_arena_copy(arena, why->message, strlen(why->message));
    bool ours = status == LOCKSTEP_NO_MEMORY || *out_trouble == NULL;
    return ours ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory") : LOCKSTEP_OK;
}

static lockstep_status read_side_file(ls_checkpoint *c, const char *path, uint64_t limit, json_t **out_json,
                                        const char **out_trouble, lockstep_error *error) {
    lockstep_error why;
    return ls_checkpoint_unread(&c->arena, ls_checkpoint_json(path, limit, out_json, &why), &why, out_trouble, error);
}

json_t *ls_config_find(json_t *config, const char *path) {
    json_t *found = ls_json_at(config, path);
    return json_is_null(found) ? NULL : found;
}

static const char *const text_places[] = {"text_config", "llm_config", "language_config"};
enum { TEXT_PLACES = sizeof text_places / sizeof *text_places };

bool ls_config_is_null(json_t *config, const char *path) {
    bool null = json_is_null(ls_json_at(config, path));
    for (size_t i = 0; i < TEXT_PLACES; i++)
        null = null || json_is_null(ls_json_at(json_object_get(config, text_places[i]), path));
    return null && ls_config_text(config, path) == NULL;
}

json_t *ls_config_text(json_t *config, const char *path) {
    for (size_t i = 0; i < TEXT_PLACES; i++) {
        json_t *inner = ls_config_find(json_object_get(config, text_places[i]), path);
        if (inner != NULL)
            return inner;
    }
    return ls_config_find(config, path);
}

/* --- opening */

static const char *text_meta(ls_checkpoint *c, const char *key) {
    const ls_meta *meta = ls_archive_meta(c->archive, key);
    if (meta == NULL || meta->kind != LS_META_TEXT)
        return "";
    const char *copy = ls_arena_copy(&c->arena, meta->as.text.bytes, (size_t)meta->as.text.length);
    return copy != NULL ? copy : "";
}

static const char *first_text(json_t *value) {
    const char *text = json_string_value(json_is_array(value) ? json_array_get(value, 0) : value);
    return text != NULL ? text : "";
}

/* For a single file, companions are looked for in its directory. */
static lockstep_status find_companions(ls_checkpoint *c, const char *path, lockstep_error *error) {
    struct stat info;
    bool directory = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    const char *slash = strrchr(path, '/');
    c->directory = directory ? ls_arena_copy(&c->arena, path, strlen(path))
                   : slash == NULL ? "." : ls_arena_copy(&c->arena, path, (size_t)(slash - path) + (slash == path));
    const char *config = c->directory != NULL ? ls_path_join(&c->arena, c->directory, "config.json") : NULL;
    if (config == NULL)
        return ls_fail_memory(c->archive, error);
    return read_side_file(c, config, CONFIG_LIMIT, &c->config, &c->config_trouble, error);
}

lockstep_status ls_checkpoint_open(const char *path, ls_checkpoint *out_checkpoint, lockstep_error *error) {
    ls_checkpoint c = {.directory = "", .architecture = "", .model = ""};
    LS_TRY(lockstep_archive_open(path, &c.archive, error));
    c.gguf = strcmp(c.archive->format, "gguf") == 0 || strcmp(c.archive->format, "ggufdir") == 0;
    bool is_alone = c.gguf || strcmp(c.archive->format, "ggml") == 0;
    lockstep_status status = is_alone ? LOCKSTEP_OK : find_companions(&c, path, error);
    if (status == LOCKSTEP_OK && strcmp(c.archive->format, "trace") == 0)
        status = ls_archive_keep_weights(c.archive, error);
    else if (status == LOCKSTEP_OK && !is_alone)
        status = ls_quantized_fold(c.archive, c.config, error);
    if (status != LOCKSTEP_OK) {
        ls_checkpoint_close(&c);
        return status;
    }
    if (c.gguf)
        c.architecture = text_meta(&c, "general.architecture");
    if (c.config != NULL) {
        c.architecture = first_text(ls_config_find(c.config, "model_type"));
        c.model = first_text(ls_config_find(c.config, "architectures"));
    }
    *out_checkpoint = c;
    return LOCKSTEP_OK;
}

void ls_checkpoint_close(ls_checkpoint *checkpoint) {
    lockstep_archive_close(checkpoint->archive);
    json_decref(checkpoint->config);
    ls_arena_done(&checkpoint->arena);
    *checkpoint = (ls_checkpoint){0};
}
