#include "quantized/quantized.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "format/json_tree.h"
#include "format/paths.h"
#include "quantized/scheme_table.h"

enum { NAME = 512, CONFIG_LIMIT = 16 << 20 };

/* --- configuration */

/* Where it is: at the top level, or with that of the text model. */
static json_t *config_of(json_t *config) {
    static const char *const keys[] = {"quantization_config", "compression_config", "quantization"};
    static const char *const places[] = {"text_config", "llm_config", "language_config"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *found = json_object_get(config, keys[i]);
        for (size_t k = 0; k < sizeof places / sizeof *places && !json_is_object(found); k++)
            found = json_object_get(json_object_get(config, places[k]), keys[i]);
        if (json_is_object(found))
            return found;
    }
    return NULL;
}

const char *ls_quantized_method(json_t *config) {
    static const char *const keys[] = {"quant_method", "quant_algo"};
    json_t *own = config_of(config);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_is_string(json_object_get(own, keys[i])))
            return json_string_value(json_object_get(own, keys[i]));
    if (own == NULL)
        return NULL;
    if (json_is_true(json_object_get(own, "load_in_4bit")) || json_is_true(json_object_get(own, "load_in_8bit")))
        return "bitsandbytes";
    return json_is_integer(json_object_get(own, "group_size")) && json_is_integer(json_object_get(own, "bits")) ? "mlx" : "an unnamed scheme";
}

/* --- finding modules */

typedef struct folding {
    lockstep_archive *archive;
    json_t *config;
    const char *method; /* "-" if none is given */
    ls_map stems;       /* modules that were read */
    ls_tensor *folded;  /* per tensor: what takes its place; a name of NULL: nothing does */
    bool *is_folded, is_any;
    lockstep_error *error;
} folding;

static bool ends_with(const char *name, const char *suffix, size_t *out_stem) {
    size_t length = strlen(name), n = strlen(suffix);
    *out_stem = length - n;
    return length > n && memcmp(name + length - n, suffix, n) == 0;
}

static bool is_method(const ls_scheme *s, const char *method) {
    char word[NAME];
    snprintf(word, sizeof word, " %s ", method);
    return strstr(s->methods, word) != NULL;
}

/* Whether the tensor may be the scheme's codes; fills in its module. */
static bool is_candidate(const folding *f, const ls_scheme *s, const ls_tensor *t, ls_module *out_module) {
    size_t stem;
    if (!ends_with(t->name, s->codes, &stem) || !is_method(s, f->method))
        return false;
    char *name = ls_arena_copy(&f->archive->arena, t->name, stem);
    *out_module = (ls_module){.archive = f->archive, .config = f->config, .stem = name, .codes = t};
    return name != NULL && (s->fits == NULL || s->fits(out_module));
}

/* The scheme of a tensor that holds codes, and its module. Where the configuration says that there are
 * some, and what belongs to them is missing, that is the module's trouble. */
static const ls_scheme *scheme_of(const folding *f, const ls_tensor *t, ls_module *out_module) {
    const ls_scheme *incomplete = NULL;
    for (size_t i = 0; i < LS_SCHEMES; i++) {
        const ls_scheme *s = ls_schemes[i];
        ls_module m;
        if (!is_candidate(f, s, t, &m))
            continue;
        const bool is_whole = ls_module_find(&m, s->marker) != NULL;
        if (is_whole || (incomplete == NULL && strcmp(f->method, "-") != 0)) {
            *out_module = m;
            incomplete = s;
        }
        if (is_whole)
            return s;
    }
    if (incomplete != NULL)
        ls_module_fail(out_module, "tensor '%s%s' is missing", out_module->stem, incomplete->marker);
    return incomplete;
}

/* --- replacing codes */

static lockstep_status no_memory(const folding *f) { return ls_fail_memory(f->archive, f->error); }

/* The weight that the module stands for. Where its last axes are exchanged, so are its strides. */
static bool put_weight(ls_module *m, ls_tensor *out) {
    lockstep_error error;
    out->rank = m->rank;
    memcpy(out->shape, m->shape, sizeof out->shape);
    out->dtype = m->dtype;
    const uint64_t bytes = out->bytes;
    if (ls_tensor_measure(out, 1, 8, 0, &error) != LOCKSTEP_OK)
        return ls_module_fail(m, "%s", error.message);
    out->bytes = bytes;
    if (m->is_transposed) {
        out->strides[m->rank - 1] = (int64_t)m->shape[m->rank - 2];
        out->strides[m->rank - 2] = 1;
    }
    out->codes = &m->grid->codes;
    return true;
}

static void read_module(folding *f, ls_module *m, const ls_scheme *s, ls_tensor *out) {
    m->grid = m->trouble == NULL ? ls_arena_alloc(&f->archive->arena, sizeof *m->grid) : NULL;
    if (m->trouble != NULL) {
        out->trouble = m->trouble;
        return;
    }
    if (m->grid == NULL) {
        m->trouble = "out of memory";
    } else {
        memset(m->grid, 0, sizeof *m->grid);
        if (s->read(m)) {
            ls_grid_finish(m->grid);
            put_weight(m, out);
        }
    }
    out->trouble = m->trouble;
}

static lockstep_status fold(folding *f, size_t i) {
    ls_module m;
    const ls_tensor *t = &f->archive->tensors[i];
    const ls_scheme *s = scheme_of(f, t, &m);
    if (s == NULL)
        return LOCKSTEP_OK;
    ls_tensor *out = &f->folded[i];
    char *weight = ls_arena_printf(&f->archive->arena, "%s%s", m.stem, s->weight);
    if (weight == NULL)
        return no_memory(f);
    size_t same = ls_archive_find(f->archive, weight);
    *out = *t;
    out->file_dtype = s->name;
    f->is_folded[i] = f->is_any = true;
    if (same != SIZE_MAX && same != i) {
        ls_module_fail(&m, "tensor '%s': found '%s' beside it, expected one of them", t->name, weight);
        out->trouble = m.trouble;
        return LOCKSTEP_OK;
    }
    uint64_t *stem = ls_map_at(&f->stems, m.stem, strlen(m.stem));
    if (stem == NULL)
        return no_memory(f);
    out->name = weight;
    *stem = i + 1;
    read_module(f, &m, s, out);
    return LOCKSTEP_OK;
}

/* Ends of names of what belongs to codes. */
static const char *const companions[] = {
    ".weight_scale", ".weight_scale_inv", ".weight_scale_2", ".weight_global_scale", ".weight_zero_point", ".weight_shape", ".weight_g_idx", ".input_g_idx",
    ".qzeros", ".scales", ".g_idx", ".biases", "_scales", ".SCB", ".weight_format", ".weight.SCB",
    ".weight.absmax", ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map",
    ".weight.quant_state.bitsandbytes__nf4", ".weight.quant_state.bitsandbytes__fp4",
};

bool ls_quantized_is_of_activations(const char *name) {
    static const char *const ends[] = {".input_scale", ".input_zero_point", ".input_global_scale", ".activation_scale", ".output_scale", ".output_zero_point"};
    size_t stem;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(name, ends[i], &stem))
            return true;
    return false;
}

/* Marks a tensor that belongs to codes, and adds its size to theirs. */
static void fold_companion(folding *f, size_t i) {
    size_t stem;
    const ls_tensor *t = &f->archive->tensors[i];
    for (size_t k = 0; k < sizeof companions / sizeof *companions && !f->is_folded[i]; k++) {
        if (!ends_with(t->name, companions[k], &stem))
            continue;
        const uint64_t *codes = ls_map_find(&f->stems, t->name, stem);
        f->is_folded[i] = codes != NULL;
        if (codes != NULL)
            f->folded[*codes - 1].bytes += t->bytes;
    }
}

static lockstep_status replace(folding *f) {
    lockstep_archive *a = f->archive;
    ls_tensor *old = a->tensors;
    size_t count = a->tensor_count;
    lockstep_status status = LOCKSTEP_OK;
    ls_names_done(&a->tensor_names);
    a->tensor_names = (ls_names){0};
    a->tensors = NULL;
    a->tensor_count = a->tensor_capacity = 0;
    for (size_t i = 0; i < count && status == LOCKSTEP_OK; i++) {
        const ls_tensor *t = f->is_folded[i] ? &f->folded[i] : &old[i];
        if (t->name != NULL)
            status = ls_archive_add_tensor(a, t, 0, f->error);
    }
    free(old);
    return status;
}

static lockstep_status fold_all(folding *f) {
    const size_t count = f->archive->tensor_count;
    f->folded = calloc(count + 1, sizeof *f->folded);
    f->is_folded = calloc(count + 1, sizeof *f->is_folded);
    if (f->folded == NULL || f->is_folded == NULL)
        return no_memory(f);
    for (size_t i = 0; i < count; i++)
        LS_TRY(fold(f, i));
    if (!f->is_any)
        return LOCKSTEP_OK;
    for (size_t i = 0; i < count; i++)
        fold_companion(f, i);
    for (size_t i = 0; i < count; i++)
        if (f->folded[i].trouble != NULL)
            LS_TRY(ls_archive_add_note(f->archive, true, f->error, "%s can't be read (%s): %s", f->folded[i].name, f->folded[i].file_dtype, f->folded[i].trouble));
    return replace(f);
}

lockstep_status ls_quantized_fold(lockstep_archive *archive, json_t *config, lockstep_error *error) {
    const char *method = ls_quantized_method(config);
    folding f = {.archive = archive, .config = config_of(config), .method = method != NULL ? method : "-", .error = error};
    lockstep_status status = fold_all(&f);
    ls_map_done(&f.stems);
    free(f.folded);
    free(f.is_folded);
    return status;
}

/* --- opening */

/* config.json beside the path; NULL if there is none that can be read. */
static json_t *config_beside(const char *path) {
    struct stat info;
    ls_arena arena = {0};
    json_t *config = NULL;
    ls_source *source;
    const char *slash = strrchr(path, '/');
    bool directory = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    const char *folder = directory ? path : slash == NULL ? "." : ls_arena_copy(&arena, path, (size_t)(slash - path) + (slash == path));
    const char *file = folder != NULL ? ls_path_join(&arena, folder, "config.json") : NULL;
    if (file != NULL && access(file, R_OK) == 0 && ls_source_open_file(file, &source, NULL) == LOCKSTEP_OK) {
        if (source->size > CONFIG_LIMIT || ls_json_tree(source, &config, NULL) != LOCKSTEP_OK)
            config = NULL;
        ls_source_close(source);
    }
    ls_arena_done(&arena);
    return config;
}

lockstep_status ls_quantized_open(const char *path, lockstep_archive **out_archive, lockstep_error *error) {
    lockstep_archive *archive;
    LS_TRY(lockstep_archive_open(path, &archive, error));
    const bool holds_weights = strcmp(archive->format, "safetensors") == 0 || strcmp(archive->format, "torch") == 0;
    json_t *config = holds_weights ? config_beside(path) : NULL;
    lockstep_status status = holds_weights ? ls_quantized_fold(archive, config, error) : LOCKSTEP_OK;
    json_decref(config);
    if (status == LOCKSTEP_OK)
        *out_archive = archive;
    else
        lockstep_archive_close(archive);
    return status;
}
