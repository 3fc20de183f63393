/* Opening traces, and any other container as one. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/formats.h"
#include "format/paths.h"
#include "trace/handed_on.h"
#include "trace/handed_on.h"
#include "trace/trace_lines.h"

static lockstep_status no_memory(lockstep_error *error, const char *path) {
    return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", path);
}
static ls_trace *new_trace(const char *path) {
    ls_trace *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->engine = t->version = t->model = t->device = "";
    t->path = ls_arena_copy(&t->arena, path, strlen(path));
    return t;
}

/* If recording was cut short, lines may have reached the disk without their values. */
static void lose_unreadable(const ls_trace_lines *r) {
    ls_trace *t = r->trace;
    for (size_t i = 0; r->unreadable_count > 0 && !t->complete && i < t->node_count && i < r->unreadable_capacity; i++)
        if (r->unreadable[i]) {
            t->nodes[i].file = NULL;
            t->nodes[i].lost = "the recording was cut short before they were written to disk";
            t->dropped++;
        }
}

/* Reads the log, and closes it. */
static lockstep_status read_graph(ls_trace *t, ls_source *log, bool has_files, lockstep_error *error) {
    lockstep_error own;
    ls_trace_lines r = {.trace = t, .name = log->name, .error = error != NULL ? error : &own, .has_files = has_files};
    const uint8_t *bytes;
    lockstep_status status = ls_source_bytes(log, &bytes, error);
    if (status == LOCKSTEP_OK && (log->size == 0 || memchr(bytes, '\n', (size_t)log->size) == NULL))
        status = ls_fail_at(error, LOCKSTEP_TRUNCATED, log->name, 0, "found no complete line, expected a trace");
    if (status == LOCKSTEP_OK)
        status = ls_trace_read_lines(&r, (const char *)bytes, (size_t)log->size);
    if (status == LOCKSTEP_OK)
        lose_unreadable(&r);
    ls_trace_lines_done(&r);
    ls_source_close(log);
    t->is_graph = t->is_ordered = true;
    return status;
}

/* Values without elements are never compared: whether there really are none is checked here. */
static lockstep_status check_empty(const ls_trace *t, lockstep_error *error) {
    lockstep_error own;
    for (size_t i = 0; i < t->node_count; i++) {
        ls_hold hold;
        if (t->nodes[i].elements != 0 || t->nodes[i].file == NULL)
            continue;
        lockstep_status status = ls_trace_hold(t, i, &hold, error != NULL ? error : &own);
        if (status == LOCKSTEP_OK)
            ls_hold_release(&hold);
        else if (status == LOCKSTEP_MALFORMED)
            return status;
    }
    return LOCKSTEP_OK;
}

static lockstep_status open_graph(ls_trace *t, const char *log_path, lockstep_error *error) {
    ls_source *log;
    LS_TRY(ls_source_open_file(log_path, &log, error));
    LS_TRY(read_graph(t, log, true, error));
    return check_empty(t, error);
}

/* Finds the tensors of lines that have a file, by the names that they have in a container. */
static lockstep_status find_stored(ls_trace *t, lockstep_error *error) {
    ls_names seen = {0};
    lockstep_status status = LOCKSTEP_OK;
    for (size_t i = 0; i < t->node_count && status == LOCKSTEP_OK; i++) {
        ls_node *node = &t->nodes[i];
        char shorter[LS_SHORT_NAME];
        if (node->file == NULL)
            continue;
        const char *name = ls_trace_tensor_name(&t->arena, &seen, node->name);
        if (name == NULL) {
            status = no_memory(error, t->path);
            break;
        }
        node->stored = ls_archive_find(t->archive, name);
        if (node->stored == SIZE_MAX) {
            ls_short_name(name, shorter);
            node->stored = ls_archive_find(t->archive, shorter);
        }
        if (node->stored == SIZE_MAX)
            node->file = NULL; /* not among the converted tensors */
    }
    ls_names_done(&seen);
    return status;
}

static lockstep_status open_file_of_trace(ls_trace *t, const char *log, uint64_t size, lockstep_error *error) {
    ls_source *source;
    LS_TRY(ls_source_open_memory(t->path, log, (size_t)size, &source, error));
    LS_TRY(read_graph(t, source, false, error));
    return find_stored(t, error);
}

static lockstep_status take_notes(ls_trace *t, const char *path, lockstep_error *error) {
    t->notes = calloc(t->archive->note_count + 1, sizeof *t->notes);
    for (size_t i = 0; i < t->archive->note_count && t->notes != NULL; i++)
        t->notes[t->note_count++] = t->archive->notes[i].text;
    return t->notes != NULL ? LOCKSTEP_OK : no_memory(error, path);
}

/* Opens a container: its tensors become one pass in file order, unless it holds a trace. */
static lockstep_status open_plain(ls_trace *t, const char *path, lockstep_error *error) {
    const char *log;
    uint64_t size;
    LS_TRY(lockstep_archive_open(path, &t->archive, error));
    if (ls_archive_trace_log(t->archive, &log, &size))
        return open_file_of_trace(t, log, size, error);
    size_t count = t->archive->tensor_count;
    t->nodes = calloc(count + 1, sizeof *t->nodes);
    t->passes = calloc(1, sizeof *t->passes);
    if (t->nodes == NULL || t->passes == NULL)
        return no_memory(error, path);
    t->pass_count = 1;
    t->complete = true;
    t->engine = t->archive->format;
    t->is_ordered = t->archive->is_ordered;
    for (size_t i = 0; i < count; i++) {
        const ls_tensor *tensor = &t->archive->tensors[i];
        ls_node *node = &t->nodes[i];
        *node = (ls_node){.stored = i, .name = tensor->name, .op = "", .kind = ls_op_at(LS_OP_UNKNOWN), .dtype = lockstep_dtype_name(tensor->dtype), .file = tensor->name,
                          .layer = -1, .rank = tensor->rank, .elements = tensor->elements, .alias_of = LS_NONE, .view_of = LS_NONE};
        memcpy(node->shape, tensor->shape, sizeof node->shape);
        if (tensor->dtype == LOCKSTEP_OPAQUE) {
            node->file = NULL;
            node->dtype = tensor->file_dtype;
            node->lost = "its element type can't be decoded";
        }
    }
    t->node_count = count;
    return take_notes(t, path, error);
}

static lockstep_status finish(lockstep_status status, ls_trace *t, ls_trace **out_trace, lockstep_error *error) {
    if (status == LOCKSTEP_OK && t->is_graph && !ls_trace_link_inputs(t))
        status = no_memory(error, t->path);
    if (status != LOCKSTEP_OK) {
        ls_trace_close(t);
        return status;
    }
    *out_trace = t;
    return LOCKSTEP_OK;
}

lockstep_status ls_trace_open(const char *path, ls_trace **out_trace, lockstep_error *error) {
    ls_trace *t = new_trace(path);
    if (t == NULL)
        return no_memory(error, path);
    char log_path[PATH_MAX];
    struct stat info;
    int length = snprintf(log_path, sizeof log_path, "%s/trace.jsonl", path);
    bool graph = length > 0 && (size_t)length < sizeof log_path && stat(log_path, &info) == 0;
    return finish(graph ? open_graph(t, log_path, error) : open_plain(t, path, error), t, out_trace, error);
}

lockstep_status ls_trace_open_log(const char *path, ls_source *log, ls_trace **out_trace, lockstep_error *error) {
    ls_trace *t = new_trace(path);
    if (t != NULL)
        return finish(read_graph(t, log, true, error), t, out_trace, error);
    ls_source_close(log);
    return no_memory(error, path);
}

/* ------------------------------------------------------------------ growing */

struct ls_trace_feed {
    ls_trace_lines lines;
};

lockstep_status ls_trace_feed_open(const char *path, ls_trace_feed **out_feed, ls_trace **out_trace, lockstep_error *error) {
    ls_trace_feed *feed = calloc(1, sizeof *feed);
    ls_trace *t = feed != NULL ? new_trace(path) : NULL;
    if (t == NULL) {
        free(feed);
        return no_memory(error, path);
    }
    t->is_graph = t->is_ordered = true;
    feed->lines = (ls_trace_lines){.trace = t, .name = t->path};
    *out_feed = feed;
    *out_trace = t;
    return LOCKSTEP_OK;
}

lockstep_status ls_trace_feed_line(ls_trace_feed *feed, const char *text, size_t length, lockstep_error *error) {
    uint64_t at = feed->lines.bytes;
    feed->lines.bytes += length;
    feed->lines.error = error;
    return ls_trace_read_line(&feed->lines, text, length, at);
}

size_t ls_trace_feed_node(const ls_trace_feed *feed, uint64_t i) {
    return i < feed->lines.order_capacity ? feed->lines.by_order[i] - 1 : LS_NONE; /* 0 - 1 is LS_NONE */
}

void ls_trace_feed_close(ls_trace_feed *feed) {
    if (feed != NULL)
        ls_trace_lines_done(&feed->lines);
    free(feed);
}
