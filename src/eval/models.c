#include "eval/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/sampled.h"
#include "format/archive.h"

static lockstep_status no_memory(lockstep_error *error) { return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory"); }

/* ----------------------------------------------------------------- weights */

static const void *piece_of(void *context, uint64_t at, size_t count) {
    (void)count;
    return ((const ls_view *)context)->data + at;
}

typedef struct sample_key {
    uint64_t hash, bytes;
} sample_key;

static bool has_other_bytes(const ls_node *n, const ls_tensor *tensor, ls_view *view) {
    uint64_t hash;
    return !ls_view_is_contiguous(view) || view->swap || !ls_sample_hash(tensor->bytes, piece_of, view, &hash) || hash != *n->sample;
}

static bool is_other(const ls_node *n, const ls_tensor *tensor) {
    lockstep_dtype type;
    return tensor->elements != n->elements || (ls_dtype_find(n->dtype, &type) && type != tensor->dtype);
}

static ls_weight_state state_of(const ls_node *n, const ls_model_weight *w, bool is_stale) {
    const ls_tensor *tensor = &w->archive->tensors[w->tensor];
    ls_view view;
    if (ls_archive_view(w->archive, w->tensor, &view, NULL) != LOCKSTEP_OK)
        return LS_WEIGHT_NOWHERE;
    if (is_other(n, tensor))
        return is_stale ? LS_WEIGHT_STALE : LS_WEIGHT_OTHER;
    if (n->sample == NULL)
        return is_stale ? LS_WEIGHT_STALE : LS_WEIGHT_ASSUMED;
    if (!has_other_bytes(n, tensor, &view))
        return LS_WEIGHT_VERIFIED;
    return is_stale ? LS_WEIGHT_STALE : LS_WEIGHT_CHANGED;
}

/* The tensors of all files by a sample of their bytes: engines may give weights other names, or none. */
static bool index_samples(ls_models *m) {
    for (size_t i = 0; i < m->count; i++)
        for (size_t k = 0; k < m->archives[i]->tensor_count; k++) {
            const ls_tensor *tensor = &m->archives[i]->tensors[k];
            ls_view view;
            sample_key key = {.bytes = tensor->bytes};
            if (tensor->source == NULL || ls_archive_view(m->archives[i], k, &view, NULL) != LOCKSTEP_OK || !ls_view_is_contiguous(&view) ||
                !ls_sample_hash(tensor->bytes, piece_of, &view, &key.hash))
                continue;
            uint64_t *at = ls_map_at(&m->samples, (const char *)&key, sizeof key);
            if (at == NULL)
                return false;
            *at = *at == 0 ? (uint64_t)i << 32 | (k + 1) : *at;
        }
    return true;
}

static void find_by_sample(ls_models *m, size_t node) {
    const ls_node *n = &m->trace->nodes[node];
    lockstep_dtype type;
    uint64_t bytes;
    if (n->sample == NULL || !ls_dtype_find(n->dtype, &type) || !ls_dtype_bytes(type, n->elements, n->rank > 0 ? n->shape[n->rank - 1] : 1, &bytes))
        return;
    if (!m->has_samples)
        m->has_samples = index_samples(m);
    const sample_key key = {*n->sample, bytes};
    const uint64_t *at = ls_map_find(&m->samples, (const char *)&key, sizeof key);
    if (at == NULL || *at == 0)
        return;
    const lockstep_archive *archive = m->archives[*at >> 32];
    const size_t tensor = (size_t)(*at & UINT32_MAX) - 1;
    if (!is_other(n, &archive->tensors[tensor]))
        m->weights[node] = (ls_model_weight){archive, tensor, LS_WEIGHT_VERIFIED};
}

/* Files may have tensors of the same name, as a model and its adapter: a verified one is preferred, then the first. */
static void find_weight(const ls_models *m, size_t node, const bool *is_stale) {
    ls_model_weight *best = &m->weights[node];
    for (size_t i = 0; i < m->count && best->state != LS_WEIGHT_VERIFIED; i++) {
        ls_model_weight w = {.archive = m->archives[i], .tensor = ls_archive_find(m->archives[i], m->trace->nodes[node].name)};
        if (w.tensor == SIZE_MAX)
            continue;
        w.state = state_of(&m->trace->nodes[node], &w, is_stale[i]);
        if (best->archive == NULL || w.state == LS_WEIGHT_VERIFIED)
            *best = w;
    }
}

static lockstep_status find_weights(ls_models *m, const bool *is_stale, lockstep_error *error) {
    m->weights = calloc(m->trace->node_count + 1, sizeof *m->weights);
    if (m->weights == NULL)
        return no_memory(error);
    for (size_t i = 0; i < m->trace->node_count; i++) {
        if (m->trace->nodes[i].role != LOCKSTEP_ROLE_WEIGHT)
            continue;
        find_weight(m, i, is_stale);
        if (m->weights[i].archive == NULL && m->count > 0)
            find_by_sample(m, i);
        if (m->weights[i].state == LS_WEIGHT_CHANGED && m->by_state[LS_WEIGHT_CHANGED] == 0)
            m->first_changed = i;
        m->by_state[m->weights[i].state]++;
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------- files */

static bool is_directory(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* No ggml engine reads its weights from a folder, whose names are others. */
static bool is_taken(const ls_trace *t, const char *path) { return t->is_torch || !is_directory(path); }

static size_t count_files(const ls_trace *t, const char *const *paths, size_t count) {
    size_t files = 0;
    for (size_t i = 0; i < count; i++)
        files += is_taken(t, paths[i]);
    return files;
}

static lockstep_status open_given(ls_models *m, const char *const *paths, size_t count, lockstep_error *error) {
    for (size_t i = 0; i < count; i++)
        if (is_taken(m->trace, paths[i])) {
            LS_TRY(lockstep_archive_open(paths[i], &m->archives[m->count], error));
            m->count++;
        }
    return LOCKSTEP_OK;
}

/* The file was written to, or replaced, since the run opened it. */
bool ls_model_file_is_changed(const ls_model_file *file) {
    struct stat info;
    return stat(file->path, &info) != 0 || (uint64_t)info.st_size != file->bytes ||
           (uint64_t)info.st_mtim.tv_sec * 1000000000u + (uint64_t)info.st_mtim.tv_nsec != file->modified;
}

static void open_recorded(ls_models *m, bool *out_is_stale) {
    lockstep_error why;
    for (size_t i = 0; i < m->trace->model_file_count; i++) {
        const ls_model_file *file = &m->trace->model_files[i];
        if (lockstep_archive_open(file->path, &m->archives[m->count], &why) == LOCKSTEP_OK)
            out_is_stale[m->count++] = ls_model_file_is_changed(file);
        else if (m->unopened[0] == '\0')
            snprintf(m->unopened, sizeof m->unopened, "%s", why.message);
    }
}

lockstep_status ls_models_open(const ls_trace *trace, const char *const *paths, size_t count, ls_models *out, lockstep_error *error) {
    const size_t given = count_files(trace, paths, count), most = given > 0 ? given : trace->model_file_count;
    *out = (ls_models){.trace = trace, .are_recorded = given == 0};
    out->archives = calloc(most + 1, sizeof(lockstep_archive *));
    bool *is_stale = calloc(most + 1, sizeof *is_stale);
    lockstep_status status = out->archives != NULL && is_stale != NULL ? LOCKSTEP_OK : no_memory(error);
    if (status == LOCKSTEP_OK && given > 0)
        status = open_given(out, paths, count, error);
    else if (status == LOCKSTEP_OK)
        open_recorded(out, is_stale);
    if (status == LOCKSTEP_OK)
        status = find_weights(out, is_stale, error);
    free(is_stale);
    if (status != LOCKSTEP_OK)
        ls_models_done(out);
    return status;
}

void ls_models_done(ls_models *m) {
    for (size_t i = 0; i < m->count; i++)
        lockstep_archive_close(m->archives[i]);
    free(m->archives);
    free(m->weights);
    ls_map_done(&m->samples);
    *m = (ls_models){0};
}

bool ls_models_find(const ls_models *m, size_t node, ls_view *out_view, const char **out_reason) {
    static const char *const reasons[LS_WEIGHT_STATES] = {
        [LS_WEIGHT_NOWHERE] = "weights that no model file has",
        [LS_WEIGHT_CHANGED] = "weights that are not the model file's",
        [LS_WEIGHT_OTHER] = "weights of another shape or type than in the model file",
        [LS_WEIGHT_STALE] = "weights of a model file that was changed after the run",
    };
    const ls_model_weight *w = m->count > 0 ? &m->weights[node] : NULL;
    *out_reason = w == NULL ? "weights that were not recorded: --candidate-model (of verify: --model) names their file" : reasons[w->state];
    return w != NULL && *out_reason == NULL && ls_archive_view(w->archive, w->tensor, out_view, NULL) == LOCKSTEP_OK;
}
