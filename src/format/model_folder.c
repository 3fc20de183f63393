#include "format/model_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/paths.h"

enum { NAME = 300, SHARDS_MAX = 100000 };

/* The files of one stem in a directory. */
typedef struct found {
    const char *stem;
    size_t stem_length;
    bool single, index, adapter;
    size_t shards, of; /* shards found, and their total according to their names */
} found;

/* Parses STEM-00001-of-00002; false if there are no such numbers. */
static bool split_shard(const char *name, size_t length, size_t *out_stem, size_t *out_of) {
    char text[NAME];
    int at = 0, end = 0;
    unsigned number, of;
    const char *dash = NULL;
    if (length >= sizeof text)
        return false;
    memcpy(text, name, length);
    text[length] = '\0';
    for (const char *of_ = strstr(text, "-of-"); of_ != NULL; of_ = strstr(of_ + 1, "-of-"))
        dash = of_;
    if (dash == NULL)
        return false;
    while (dash > text && dash[-1] >= '0' && dash[-1] <= '9')
        dash--;
    if (dash <= text + 1 || dash[-1] != '-' || sscanf(dash, "%9u-of-%n%9u%n", &number, &at, &of, &end) != 2 || end == 0 || dash[end] != '\0' ||
        number == 0 || of == 0 || of > SHARDS_MAX || number > of)
        return false;
    *out_stem = (size_t)(dash - 1 - text);
    *out_of = of;
    return true;
}

static bool is_in(const char *const *list, const char *stem, size_t length) {
    for (; list != NULL && *list != NULL; list++)
        if (strlen(*list) == length && memcmp(*list, stem, length) == 0)
            return true;
    return false;
}

/* Whether a stem is in the list, or a variant of one that is ("model.fp16" of "model"). */
static bool is_known(const char *const *list, const char *stem, size_t length) {
    const char *dot = memchr(stem, '.', length);
    return is_in(list, stem, length) || (dot != NULL && is_in(list, stem, (size_t)(dot - stem)));
}

static found *find_stem(found *all, size_t *count, const char *stem, size_t length) {
    for (size_t i = 0; i < *count; i++)
        if (all[i].stem_length == length && memcmp(all[i].stem, stem, length) == 0)
            return &all[i];
    all[*count] = (found){.stem = stem, .stem_length = length};
    return &all[(*count)++];
}

/* Groups the files of the family by their stems. */
static lockstep_status look(ls_arena *arena, const char *directory, const ls_model_family *family, found **out_found, size_t *out_count,
                            lockstep_error *error) {
    char **files, **indexes, index_suffix[60];
    size_t file_count, index_count, of, stem;
    snprintf(index_suffix, sizeof index_suffix, "%s.index.json", family->suffix);
    LS_TRY(ls_path_list(arena, directory, family->suffix, &files, &file_count, error));
    LS_TRY(ls_path_list(arena, directory, index_suffix, &indexes, &index_count, error));
    *out_found = ls_arena_array(arena, file_count + index_count + 1, sizeof **out_found);
    *out_count = 0;
    if (*out_found == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", directory);
    for (size_t i = 0; i < file_count + index_count; i++) {
        bool index = i >= file_count;
        const char *name = index ? indexes[i - file_count] : files[i];
        size_t length = strlen(name) - strlen(index ? index_suffix : family->suffix);
        bool shard = !index && split_shard(name, length, &stem, &of);
        size_t own = shard ? stem : length;
        if (!family->any && !is_known(family->stems, name, own) && !is_known(family->adapters, name, own))
            continue;
        found *f = find_stem(*out_found, out_count, name, own);
        f->adapter = is_known(family->adapters, name, own);
        f->index |= index;
        f->single |= !index && !shard;
        f->shards += shard;
        f->of = shard ? of : f->of;
    }
    return LOCKSTEP_OK;
}

/* Chooses the stem to open: the first known one, else the only other one, else an adapter. */
static const found *choose(const found *all, size_t count, const ls_model_family *family) {
    const found *other = NULL, *adapter = NULL;
    size_t others = 0;
    for (const char *const *stem = family->stems; *stem != NULL; stem++)
        for (int variants = 0; variants < 2; variants++)
            for (size_t i = 0; i < count; i++) {
                size_t n = strlen(*stem);
                bool begins = all[i].stem_length >= n && memcmp(all[i].stem, *stem, n) == 0;
                if (begins && (variants ? all[i].stem_length > n && all[i].stem[n] == '.' : all[i].stem_length == n))
                    return &all[i];
            }
    for (size_t i = 0; i < count; i++) {
        adapter = all[i].adapter && adapter == NULL ? &all[i] : adapter;
        others += !all[i].adapter;
        other = !all[i].adapter ? &all[i] : other;
    }
    return others == 1 ? other : others == 0 ? adapter : NULL;
}

bool ls_model_folder_has(const char *directory, const ls_model_family *family, bool adapters) {
    ls_arena arena = {0};
    found *all;
    size_t count;
    const found *chosen = look(&arena, directory, family, &all, &count, NULL) == LOCKSTEP_OK ? choose(all, count, family) : NULL;
    bool known = chosen != NULL && is_known(family->stems, chosen->stem, chosen->stem_length);
    ls_arena_done(&arena);
    return chosen != NULL && (known || adapters);
}

static lockstep_status open_one(lockstep_archive *archive, const char *name, ls_source **out, lockstep_error *error) {
    const char *path = ls_path_join(&archive->arena, archive->path, name);
    if (path == NULL)
        return ls_fail_memory(archive, error);
    LS_TRY(ls_source_open_file(path, out, error));
    return ls_archive_add_source(archive, *out, error);
}

/* Opens shards that have no index; missing ones are noted. */
static lockstep_status open_shards(lockstep_archive *archive, const ls_model_family *family, const found *f, ls_source **sources, size_t *count,
                                   lockstep_error *error) {
    size_t missing = 0;
    char first[NAME] = "";
    for (size_t i = 1; i <= f->of; i++) {
        char name[NAME];
        snprintf(name, sizeof name, "%.*s-%05zu-of-%05zu%s", (int)f->stem_length, f->stem, i, f->of, family->suffix);
        if (ls_path_is_file(archive->path, name)) {
            LS_TRY(open_one(archive, name, &sources[(*count)++], error));
            continue;
        }
        if (missing++ == 0)
            snprintf(first, sizeof first, "%s", name);
    }
    if (*count == 0)
        return ls_fail(error, LOCKSTEP_NOT_FOUND, "%s: found no shard of the expected name %s", archive->path, first);
    if (missing > 0)
        LS_TRY(ls_archive_add_note(archive, true, error, "%zu of %zu shards are missing, the first %s: their tensors are not known", missing, f->of, first));
    return ls_archive_add_note(archive, false, error, "%zu shards without %.*s%s.index.json", *count, (int)f->stem_length, f->stem, family->suffix);
}

static lockstep_status add_notes(lockstep_archive *archive, const ls_model_family *family, const found *all, size_t count, const found *chosen,
                                 lockstep_error *error) {
    int length = (int)chosen->stem_length;
    if (chosen->single && (chosen->index || chosen->shards > 0))
        LS_TRY(ls_archive_add_note(archive, false, error, "%.*s%s was read, as transformers does, and not %s of the same name",
                                   length, chosen->stem, family->suffix, chosen->index ? "the index" : "the shards"));
    archive->is_adapter = chosen->adapter;
    if (chosen->adapter)
        LS_TRY(ls_archive_add_note(archive, false, error, "%.*s%s holds an adapter: changes to a model's weights, not the weights themselves", length, chosen->stem,
                                   family->suffix));
    for (size_t i = 0; i < count; i++)
        if (&all[i] != chosen)
            LS_TRY(ls_archive_add_note(archive, false, error, "%.*s%s was not read: %.*s%s was", (int)all[i].stem_length, all[i].stem, family->suffix, length,
                                       chosen->stem, family->suffix));
    return LOCKSTEP_OK;
}

lockstep_status ls_model_folder_open(lockstep_archive *archive, const ls_model_family *family, ls_source ***out_sources, size_t *out_count,
                                     bool *out_index, lockstep_error *error) {
    found *all;
    size_t count;
    LS_TRY(look(&archive->arena, archive->path, family, &all, &count, error));
    const found *f = choose(all, count, family);
    if (f == NULL)
        return ls_fail(error, LOCKSTEP_NOT_FOUND, "%s: found several %s files, none with the usual name of a model: name one of them", archive->path,
                       family->suffix);
    *out_sources = ls_arena_array(&archive->arena, f->of + 1, sizeof **out_sources);
    *out_count = 0;
    *out_index = !f->single && f->index;
    if (*out_sources == NULL)
        return ls_fail_memory(archive, error);
    if (f->single || f->index) {
        char name[NAME];
        int n = snprintf(name, sizeof name, "%.*s%s%s", (int)f->stem_length, f->stem, family->suffix, f->single ? "" : ".index.json");
        if (n >= NAME)
            return ls_fail(error, LOCKSTEP_LIMIT, "%s: a file name of more than %d bytes", archive->path, NAME);
        LS_TRY(open_one(archive, name, &(*out_sources)[0], error));
        *out_count = 1;
    } else {
        LS_TRY(open_shards(archive, family, f, *out_sources, out_count, error));
    }
    return add_notes(archive, family, all, count, f, error);
}

const char *ls_model_folder_others(const char *path) {
    static const char *const others[][2] = {
        {".safetensors", "; none of its .safetensors files has the usual name of a model: name one"},
        {".bin", "; its .bin files have other names: name one"},
        {".pth", "; it has .pth files: name one"},
        {".pt", "; it has .pt files: name one"},
        {".h5", " (it holds Keras weights, .h5: convert them first)"},
        {".msgpack", " (it holds Flax weights, .msgpack: convert them first)"},
        {".onnx", " (it holds ONNX: convert its weights first)"},
        {".ckpt", "; it has .ckpt files: name one"},
        {".distcp", " (it holds a distributed PyTorch checkpoint, .distcp: convert it to one file with torch.distributed.checkpoint.format_utils)"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ls_arena arena = {0};
        char **names;
        size_t count = 0;
        bool any = ls_path_list(&arena, path, others[i][0], &names, &count, NULL) == LOCKSTEP_OK && count > 0;
        ls_arena_done(&arena);
        if (any)
            return others[i][1];
    }
    return "";
}
