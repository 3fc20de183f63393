#include "trace/trace.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/formats.h"
#include "format/npy.h"
#include "format/paths.h"
#include "tensor/pages.h"

void ls_trace_close(ls_trace *trace) {
    if (trace == NULL)
        return;
    lockstep_archive_close(trace->archive);
    ls_segments_done(&trace->segments, true);
    free(trace->nodes);
    free(trace->passes);
    free(trace->notes);
    free(trace->model_files);
    ls_map_done(&trace->kinds);
    ls_arena_done(&trace->arena);
    free(trace);
}

/* ------------------------------------------------------------------- values */

static lockstep_status set_view(const ls_source *source, const ls_tensor *tensor, const uint8_t *data, ls_view *out_view, lockstep_error *error) {
    if (tensor->dtype == LOCKSTEP_OPAQUE)
        return ls_fail(error, LOCKSTEP_UNSUPPORTED, "%s: element type %s can't be decoded", source->name, tensor->file_dtype);
    *out_view = (ls_view){.data = data, .dtype = tensor->dtype, .swap = tensor->swap, .rank = tensor->rank};
    memcpy(out_view->shape, tensor->shape, sizeof tensor->shape);
    memcpy(out_view->strides, tensor->strides, sizeof tensor->strides);
    return LOCKSTEP_OK;
}

/* Makes a view of the values of a source that is one NPY. */
static lockstep_status view_file(ls_source *source, const ls_node *node, ls_view *out_view, lockstep_error *error) {
    ls_arena arena = {0};
    ls_tensor tensor = {0};
    const uint8_t *bytes;
    lockstep_status status = ls_npy_read(source, node->name, &arena, &tensor, error);
    if (status == LOCKSTEP_OK)
        status = ls_source_bytes(source, &bytes, error);
    if (status == LOCKSTEP_OK)
        status = set_view(source, &tensor, bytes + tensor.offset, out_view, error);
    if (status == LOCKSTEP_OK)
        out_view->mapped = ls_source_maps_file(source);
    ls_arena_done(&arena);
    return status;
}

/* Values up to this size are read, which costs less than the page faults of a mapping. Larger ones are mapped. */
enum { READ_BYTES_MAX = 1 << 20 };

/* Makes a view of the values in a segment. */
static lockstep_status view_extent(ls_segment *segment, const ls_node *node, ls_hold *hold, lockstep_error *error) {
    ls_arena arena = {0};
    ls_tensor tensor = {0};
    const uint8_t *bytes = NULL;
    bool small = node->bytes <= READ_BYTES_MAX;
    lockstep_status status = ls_segment_read(segment, &(ls_extent){node->file, node->at, node->bytes}, node->name, &arena, &tensor, error);
    if (status == LOCKSTEP_OK && small && (hold->copy = malloc(tensor.bytes + 1)) == NULL)
        status = ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", segment->source->name);
    if (status == LOCKSTEP_OK)
        status = small ? ls_source_read_at(segment->source, tensor.offset, hold->copy, (size_t)tensor.bytes, error) : ls_source_bytes(segment->source, &bytes, error);
    if (status == LOCKSTEP_OK)
        status = set_view(segment->source, &tensor, small ? hold->copy : bytes + tensor.offset, &hold->view, error);
    if (status == LOCKSTEP_OK)
        hold->view.mapped = hold->shares = !small && ls_source_maps_file(segment->source);
    ls_arena_done(&arena);
    return status;
}

/* Checks that the values have the shape given by their line. */
static lockstep_status check_view(const ls_view *view, const ls_node *node, const ls_source *source, uint64_t at, lockstep_error *error) {
    if (view->rank == node->rank && memcmp(view->shape, node->shape, (size_t)node->rank * sizeof *node->shape) == 0)
        return LOCKSTEP_OK;
    return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, at, "found %llu elements of %d axes, expected the shape in trace.jsonl (%llu of %d)",
                      (unsigned long long)ls_view_elements(view), view->rank, (unsigned long long)node->elements, node->rank);
}

/* Holds values in a container. If the format allows fewer axes than the line has, they are merged there. */
static lockstep_status hold_stored(const ls_trace *trace, const ls_node *node, ls_hold *out_hold, lockstep_error *error) {
    ls_hold hold = {0};
    LS_TRY(ls_archive_view(trace->archive, node->stored, &hold.view, error));
    bool same = hold.view.rank == node->rank && memcmp(hold.view.shape, node->shape, (size_t)node->rank * sizeof *node->shape) == 0;
    if (!same && (ls_view_elements(&hold.view) != node->elements || !ls_view_is_contiguous(&hold.view)))
        return ls_fail(error, LOCKSTEP_MALFORMED, "%s: found %llu elements of '%s', expected %llu as in the trace's line", trace->path,
                       (unsigned long long)ls_view_elements(&hold.view), node->name, (unsigned long long)node->elements);
    if (!same) {
        hold.view.rank = node->rank;
        memcpy(hold.view.shape, node->shape, sizeof hold.view.shape);
        ls_view_set_contiguous(&hold.view);
    }
    *out_hold = hold;
    return LOCKSTEP_OK;
}

/* Holds values in a segment, which was opened when the log was read, if that was possible. */
static lockstep_status hold_extent(const ls_trace *trace, const ls_node *node, ls_hold *out_hold, lockstep_error *error) {
    const uint64_t *number = ls_map_find(&trace->segments.numbers, node->file, strlen(node->file));
    ls_segments again = {0};
    ls_segment *segment;
    ls_hold hold = {0};
    if (number == NULL || *number == 0) {
        lockstep_status status = ls_segments_open(&again, trace->path, node->file, &segment, error);
        ls_segments_done(&again, true);
        return status != LOCKSTEP_OK ? status : ls_fail(error, LOCKSTEP_IO, "%s/%s: did not exist when the trace was opened", trace->path, node->file);
    }
    segment = &trace->segments.items[*number - 1];
    lockstep_status status = view_extent(segment, node, &hold, error);
    if (status == LOCKSTEP_OK)
        status = check_view(&hold.view, node, segment->source, node->at, error);
    if (status == LOCKSTEP_OK)
        *out_hold = hold;
    else
        free(hold.copy);
    return status;
}

lockstep_status ls_trace_hold(const ls_trace *trace, size_t index, ls_hold *out_hold, lockstep_error *error) {
    const ls_node *node = &trace->nodes[index];
    ls_hold hold = {0};
    if (trace->memory != NULL) {
        if (trace->memory(trace->memory_context, index, &hold.view)) {
            *out_hold = hold;
            return LOCKSTEP_OK;
        }
        return ls_fail(error, LOCKSTEP_NOT_FOUND, "%s: the values of %s are no longer in memory", trace->path, node->name);
    }
    if (trace->archive != NULL && node->file != NULL)
        return hold_stored(trace, node, out_hold, error);
    if (node->file == NULL)
        return ls_fail(error, LOCKSTEP_NOT_FOUND, "%s: the values of %s were not kept", trace->path, node->name);
    if (node->bytes > 0)
        return hold_extent(trace, node, out_hold, error);
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", trace->path, node->file);
    if (length < 0 || (size_t)length >= sizeof path)
        return ls_fail(error, LOCKSTEP_NOT_FOUND, "%s: the file name of %s is too long", trace->path, node->name);
    if (!ls_path_resolves_inside(trace->path, path))
        return ls_fail(error, LOCKSTEP_MALFORMED, "%s: is a link that leads out of the trace", path);
    LS_TRY(ls_source_open_file(path, &hold.source, error));
    lockstep_status status = view_file(hold.source, node, &hold.view, error);
    if (status == LOCKSTEP_OK)
        status = check_view(&hold.view, node, hold.source, 0, error);
    if (status != LOCKSTEP_OK) {
        ls_source_close(hold.source);
        return status;
    }
    *out_hold = hold;
    return LOCKSTEP_OK;
}

void ls_hold_release(ls_hold *hold) {
    if (hold->shares) /* otherwise the pages of all values read so far would stay in memory */
        ls_view_drop(&hold->view, 0, ls_view_elements(&hold->view));
    ls_source_close(hold->source);
    free(hold->copy);
    *hold = (ls_hold){0};
}

bool ls_trace_is_ggml(const ls_trace *t) { return strcmp(t->engine, "llama.cpp") == 0 || strcmp(t->engine, "whisper.cpp") == 0 || strcmp(t->engine, "ggml") == 0; }

size_t ls_trace_first_with_tokens(const ls_trace *t) {
    for (size_t p = 0; p < t->pass_count; p++)
        if (t->passes[p].tokens != NULL)
            return p;
    return LS_NONE;
}

static const ls_parameter *find_parameter(const ls_node *node, const char *key) {
    for (size_t i = 0; i < node->parameter_count; i++)
        if (strcmp(node->parameters[i].key, key) == 0)
            return &node->parameters[i];
    return NULL;
}

const double *ls_node_parameter(const ls_node *node, const char *key) {
    const ls_parameter *p = find_parameter(node, key);
    return p != NULL && p->text == NULL && p->items == NULL ? &p->value : NULL;
}

const char *ls_node_text(const ls_node *node, const char *key) {
    const ls_parameter *p = find_parameter(node, key);
    return p != NULL ? p->text : NULL;
}

const double *ls_node_list(const ls_node *node, const char *key, size_t *out_count) {
    const ls_parameter *p = find_parameter(node, key);
    *out_count = p == NULL || p->text != NULL ? 0 : p->items != NULL ? p->count : 1;
    return p == NULL || p->text != NULL ? NULL : p->items != NULL ? p->items : &p->value;
}

bool ls_node_is_called(const ls_node *node, const char *typed) {
    const size_t name = strlen(node->name);
    char after[2][128]; /* as reports show it */
    if (strncmp(typed, node->name, name) != 0)
        return false;
    snprintf(after[0], sizeof after[0], node->occurrence > 0 ? " (%s #%u)" : " (%s)", ls_node_work(node), node->occurrence);
    snprintf(after[1], sizeof after[1], " #%u", node->occurrence);
    return typed[name] == '\0' || strcmp(typed + name, after[0]) == 0 || (node->occurrence > 0 && strcmp(typed + name, after[1]) == 0);
}

size_t ls_trace_shown(const ls_trace *t, size_t node) {
    enum { DEEPEST = 16 };
    for (int i = 0; i < DEEPEST; i++) {
        const ls_node *n = &t->nodes[node];
        if (n->alias_of != LS_NONE)
            node = n->alias_of;
        else if (n->kind->role == LS_OP_ROLE_VIEW && n->source_count > 0)
            node = n->sources[0];
        else
            break;
    }
    return node;
}
