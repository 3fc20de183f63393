#include "trace/trace.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/grow.h"
#include "format/formats.h"
#include "format/npy.h"
#include "format/paths.h"
#include "tensor/pages.h"

/* State while a log is read. */
typedef struct reading {
    ls_trace *trace;
    const char *name;    /* of the log, for messages */
    uint64_t bytes;      /* of the log, so far */
    size_t node_capacity, pass_capacity, note_capacity;
    bool has_files;      /* values are in files in the trace's directory */
    bool said;           /* error has a message already */
    const char *wrong;   /* the first key of the line whose value is not `expected`; or NULL */
    const char *expected;
    uint64_t line_at;    /* offset of the line */
    bool *unreadable;    /* by node: its segment is missing, or ends before its values */
    size_t unreadable_capacity, unreadable_count;
    size_t *by_order; /* "i" of a line -> node index + 1 */
    uint64_t order_capacity;
    lockstep_error *error;
} reading;

static lockstep_status no_memory(lockstep_error *error, const char *path) {
    return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", path);
}

static bool grow(void *array_at, size_t count, size_t *capacity, size_t size) {
    size_t wanted = count < *capacity ? *capacity : *capacity == 0 ? 256 : *capacity * 2;
    if (!ls_extend(array_at, *capacity, wanted, size))
        return false;
    *capacity = wanted;
    return true;
}

/* ------------------------------------------------------------------- fields */

static void refuse(reading *r, const char *key, const char *expected) {
    if (r->wrong != NULL)
        return;
    r->wrong = key;
    r->expected = expected;
}

/* A key may be absent, or null, but not have a value of another type. */
static const json_t *value_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static const char *text_of(reading *r, const json_t *object, const char *key) {
    const json_t *value = value_of(object, key);
    if (value != NULL && !json_is_string(value))
        refuse(r, key, "a string");
    if (!json_is_string(value))
        return NULL;
    return ls_arena_copy(&r->trace->arena, json_string_value(value), json_string_length(value));
}

static int64_t integer_of(reading *r, const json_t *object, const char *key, int64_t least, int64_t most, int64_t otherwise) {
    const json_t *value = value_of(object, key);
    if (value == NULL)
        return otherwise;
    if (json_is_integer(value) && json_integer_value(value) >= least && json_integer_value(value) <= most)
        return json_integer_value(value);
    refuse(r, key, least < 0 ? "an integer from -1 to 2^31 - 1" : most < INT64_MAX ? "an integer from 0 to 2^32 - 1" : "an integer from 0");
    return otherwise;
}

static bool is_true(reading *r, const json_t *object, const char *key) {
    const json_t *value = value_of(object, key);
    if (value != NULL && !json_is_boolean(value))
        refuse(r, key, "true or false");
    return json_is_true(value);
}

/* A list with one integer a row; the first list says how many rows there are. */
static const int32_t *integers_of(reading *r, const json_t *object, const char *key, size_t *count) {
    const json_t *list = value_of(object, key);
    size_t size = json_array_size(list);
    int32_t *values = size > 0 ? ls_arena_array(&r->trace->arena, size, sizeof *values) : NULL;
    bool fits = list == NULL || (json_is_array(list) && (*count == 0 || size == 0 || size == *count)); /* an empty list says nothing */
    for (size_t i = 0; i < size && fits && values != NULL; i++) {
        const json_t *value = json_array_get(list, i);
        fits = json_is_integer(value) && json_integer_value(value) >= INT32_MIN && json_integer_value(value) <= INT32_MAX;
        values[i] = fits ? (int32_t)json_integer_value(value) : 0;
    }
    if (!fits)
        refuse(r, key, "a list of 32-bit integers, one for each row");
    if (!fits || values == NULL)
        return NULL;
    *count = size;
    return values;
}

/* The row of an operation, looked up once for each spelling; NULL if out of memory. */
static const ls_op *kind_of(ls_trace *t, const char *op) {
    uint64_t *known = ls_map_at(&t->kinds, op, strlen(op));
    if (known != NULL && *known == 0)
        *known = (uint64_t)ls_op_find(op)->id + 1;
    return known != NULL ? ls_op_at((ls_op_id)(*known - 1)) : NULL;
}

/* -------------------------------------------------------------------- lines */

static lockstep_status read_pass(reading *r, const json_t *object) {
    ls_trace *t = r->trace;
    int64_t number = integer_of(r, object, "pass", 0, INT64_MAX, -1);
    if (number < 0 || (uint64_t)number > t->pass_count)
        return LOCKSTEP_MALFORMED;
    if ((size_t)number == t->pass_count) {
        if (!grow(&t->passes, t->pass_count, &r->pass_capacity, sizeof *t->passes))
            return LOCKSTEP_NO_MEMORY;
        t->passes[t->pass_count++] = (ls_pass){.first_node = LS_NONE};
    }
    ls_pass *pass = &t->passes[number];
    size_t rows = 0;
    const int32_t *tokens = integers_of(r, object, "tokens", &rows);
    const int32_t *positions = integers_of(r, object, "positions", &rows);
    const int32_t *sequences = integers_of(r, object, "sequences", &rows);
    if (rows > 0) {
        if (pass->rows != 0 && pass->rows != rows)
            return LOCKSTEP_MALFORMED; /* conflicts with the number of rows known so far */
        pass->rows = rows;
        pass->tokens = tokens != NULL ? tokens : pass->tokens;
        pass->positions = positions != NULL ? positions : pass->positions;
        pass->sequences = sequences != NULL ? sequences : pass->sequences;
    }
    pass->told_later = is_true(r, object, "told_later") || pass->told_later;
    pass->context = (unsigned)integer_of(r, object, "context", 0, UINT_MAX, pass->context);
    pass->process = (unsigned)integer_of(r, object, "process", 0, UINT_MAX, pass->process);
    if (is_true(r, object, "ended") && !pass->ended) {
        pass->ended = true;
        t->ended_count++;
    }
    return LOCKSTEP_OK;
}

static bool read_shape(const json_t *shape, ls_node *node) {
    const json_t *axis;
    size_t at;
    if (!json_is_array(shape) || json_array_size(shape) > LOCKSTEP_MAX_RANK)
        return false;
    node->rank = (int)json_array_size(shape);
    node->elements = 1;
    json_array_foreach(shape, at, axis) {
        if (!json_is_integer(axis) || json_integer_value(axis) < 0)
            return false;
        node->shape[at] = (uint64_t)json_integer_value(axis);
        if (__builtin_mul_overflow(node->elements, node->shape[at], &node->elements))
            return false;
    }
    return true;
}

static size_t node_by_order(const reading *r, const json_t *order) {
    if (!json_is_integer(order) || json_integer_value(order) < 0 ||
        (uint64_t)json_integer_value(order) >= r->order_capacity)
        return LS_NONE;
    return r->by_order[json_integer_value(order)] - 1; /* 0 - 1 is LS_NONE */
}

static const char lines_expected[] = "a list of line numbers";

/* The node that a key names by the number of its line; LS_NONE if there is no earlier line of that number. */
static size_t node_of(reading *r, const json_t *object, const char *key) {
    const json_t *value = value_of(object, key);
    if (value != NULL && !json_is_integer(value))
        refuse(r, key, "the number of a line");
    return node_by_order(r, value);
}

static bool read_sources(reading *r, const json_t *object, ls_node *node) {
    const json_t *list = value_of(object, "src"), *order;
    size_t at;
    node->alias_of = node_of(r, object, "alias_of");
    if (list != NULL && !json_is_array(list))
        refuse(r, "src", lines_expected);
    node->sources = ls_arena_array(&r->trace->arena, json_array_size(list) + 1, sizeof *node->sources);
    if (node->sources == NULL)
        return false;
    json_array_foreach(list, at, order) {
        size_t source = node_by_order(r, order);
        if (!json_is_integer(order))
            refuse(r, "src", lines_expected);
        if (source != LS_NONE)
            node->sources[node->source_count++] = source;
    }
    return true;
}

static bool read_operands(reading *r, const json_t *object, ls_node *node) {
    const json_t *list = value_of(object, "operands"), *order;
    size_t at;
    node->operands = node->sources;
    node->operand_count = node->source_count;
    if (list == NULL)
        return true;
    if (!json_is_array(list))
        refuse(r, "operands", "a list of line numbers, null for an empty slot");
    node->operand_count = json_array_size(list);
    node->operands = ls_arena_array(&r->trace->arena, node->operand_count + 1, sizeof *node->operands);
    if (node->operands == NULL)
        return false;
    json_array_foreach(list, at, order) {
        if (!json_is_integer(order) && !json_is_null(order))
            refuse(r, "operands", "a list of line numbers, null for an empty slot");
        node->operands[at] = node_by_order(r, order);
    }
    return true;
}

/* Where the tensor lies in another one's memory. */
static bool read_place(reading *r, const json_t *object, ls_node *node) {
    const json_t *strides = value_of(object, "strides"), *stride;
    size_t at;
    node->view_of = node_of(r, object, "view_of");
    node->offset = (uint64_t)integer_of(r, object, "offset", 0, INT64_MAX, 0);
    if (strides == NULL)
        return true;
    node->strides = ls_arena_array(&r->trace->arena, LOCKSTEP_MAX_RANK, sizeof *node->strides);
    if (node->strides == NULL)
        return false;
    bool fits = json_is_array(strides) && json_array_size(strides) == (size_t)node->rank;
    json_array_foreach(strides, at, stride)
        if ((fits = fits && json_is_integer(stride)))
            node->strides[at] = json_integer_value(stride);
    if (!fits)
        refuse(r, "strides", "a list of integers, one for each axis");
    return true;
}

static bool read_parameters(reading *r, json_t *object, ls_node *node) {
    json_t *parameters = json_object_get(object, "params"), *value;
    const char *key;
    if (parameters != NULL && !json_is_object(parameters) && !json_is_null(parameters))
        refuse(r, "params", "an object");
    node->parameters = ls_arena_array(&r->trace->arena, json_object_size(parameters) + 1, sizeof *node->parameters);
    if (node->parameters == NULL)
        return false;
    json_object_foreach(parameters, key, value) {
        if (!json_is_number(value))
            continue;
        const char *copy = ls_arena_copy(&r->trace->arena, key, strlen(key));
        if (copy == NULL)
            return false;
        node->parameters[node->parameter_count++] = (ls_parameter){copy, json_number_value(value)};
    }
    return true;
}

static lockstep_status remember_order(reading *r, uint64_t order, size_t node) {
    /* A line has at least 20 bytes, so the log's size limits its number. */
    if (order > r->bytes / 20)
        return LOCKSTEP_MALFORMED;
    if (order >= r->order_capacity) {
        uint64_t capacity = r->order_capacity == 0 ? 1024 : r->order_capacity;
        while (capacity <= order)
            capacity *= 2;
        size_t *bigger = reallocarray(r->by_order, capacity, sizeof *bigger);
        if (bigger == NULL)
            return LOCKSTEP_NO_MEMORY;
        memset(bigger + r->order_capacity, 0, (capacity - r->order_capacity) * sizeof *bigger);
        r->by_order = bigger;
        r->order_capacity = capacity;
    }
    if (r->by_order[order] != 0)
        return LOCKSTEP_MALFORMED;
    r->by_order[order] = node + 1;
    return LOCKSTEP_OK;
}

/* Marks a node; the end of the log decides whether values may be missing. */
static bool mark_unreadable(reading *r, size_t node) {
    size_t capacity = ls_doubled(r->unreadable_capacity, node + 1);
    if (!ls_extend(&r->unreadable, r->unreadable_capacity, capacity, sizeof *r->unreadable))
        return false;
    r->unreadable_capacity = capacity;
    r->unreadable[node] = true;
    r->unreadable_count++;
    return true;
}

/* Reads where in a segment the values are. An impossible location is an error, whose message is in r->error; values
 * that are missing are an error only when they are requested. */
static lockstep_status read_extent(reading *r, const json_t *object, ls_node *node) {
    ls_trace *t = r->trace;
    const int64_t at = integer_of(r, object, "at", 0, INT64_MAX, 0), bytes = integer_of(r, object, "bytes", 0, INT64_MAX, 0);
    ls_segment *segment;
    if (r->wrong != NULL)
        return LOCKSTEP_MALFORMED;
    node->at = (uint64_t)at;
    node->bytes = (uint64_t)bytes;
    if (node->file == NULL || bytes == 0 || !r->has_files)
        return LOCKSTEP_OK;
    lockstep_status status = ls_segments_open(&t->segments, t->path, node->file, &segment, r->error);
    if (status == LOCKSTEP_OK)
        status = ls_segment_claim(segment, &(ls_extent){node->file, node->at, node->bytes}, r->name, r->line_at, r->error);
    if (status == LOCKSTEP_OK)
        return status;
    if (status == LOCKSTEP_MALFORMED)
        r->said = true;
    if (status == LOCKSTEP_MALFORMED || status == LOCKSTEP_NO_MEMORY)
        return status;
    return mark_unreadable(r, t->node_count) ? LOCKSTEP_OK : LOCKSTEP_NO_MEMORY;
}

static lockstep_status read_tensor(reading *r, json_t *object) {
    ls_trace *t = r->trace;
    if (!grow(&t->nodes, t->node_count, &r->node_capacity, sizeof *t->nodes))
        return LOCKSTEP_NO_MEMORY;
    ls_node *node = &t->nodes[t->node_count];
    *node = (ls_node){0};
    node->name = text_of(r, object, "name");
    node->op = text_of(r, object, "op");
    node->dtype = text_of(r, object, "dtype");
    node->where = text_of(r, object, "where");
    node->backend = text_of(r, object, "backend");
    node->file = text_of(r, object, "file");
    node->lost = text_of(r, object, "lost");
    node->role = ls_role_of(text_of(r, object, "role"));
    node->layer = (int)integer_of(r, object, "layer", -1, INT_MAX, -1);
    node->occurrence = (unsigned)integer_of(r, object, "occurrence", 0, UINT_MAX, 0);
    int64_t pass = integer_of(r, object, "pass", 0, INT64_MAX, -1);
    if (pass < 0 && node->role != LOCKSTEP_ROLE_WEIGHT)
        refuse(r, "pass", "the number of a pass, which only weights lack");
    node->pass = pass < 0 ? LS_NONE : (size_t)pass;
    node->op = node->op != NULL ? node->op : "";
    if (node->name == NULL || node->dtype == NULL || !read_shape(json_object_get(object, "shape"), node) ||
        (node->pass != LS_NONE && node->pass >= t->pass_count) ||
        (node->file != NULL && !ls_path_stays_inside(node->file)))
        return LOCKSTEP_MALFORMED;
    node->kind = kind_of(t, node->op);
    if (node->kind == NULL || !read_sources(r, object, node) || !read_operands(r, object, node) || !read_place(r, object, node) ||
        !read_parameters(r, object, node))
        return LOCKSTEP_NO_MEMORY;
    LS_TRY(read_extent(r, object, node));
    LS_TRY(remember_order(r, (uint64_t)integer_of(r, object, "i", 0, INT64_MAX, -1), t->node_count));
    if (node->pass != LS_NONE && t->passes[node->pass].first_node == LS_NONE)
        t->passes[node->pass].first_node = t->node_count;
    t->node_count++;
    return LOCKSTEP_OK;
}

static lockstep_status read_engine(reading *r, const json_t *object) {
    ls_trace *t = r->trace;
    if (*t->engine != '\0')
        return LOCKSTEP_OK; /* the first process's is kept */
    const char *framework = json_string_value(json_object_get(object, "framework"));
    t->is_torch = framework != NULL && strncmp(framework, "torch", 5) == 0;
    const struct {
        const char **field, *key;
    } fields[] = {{&t->engine, "engine"}, {&t->version, "engine_version"}, {&t->model, "model"}, {&t->device, "device"}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const char *text = text_of(r, object, fields[i].key);
        if (text != NULL)
            *fields[i].field = text;
    }
    return LOCKSTEP_OK;
}

static lockstep_status read_note(reading *r, const json_t *object) {
    ls_trace *t = r->trace;
    if (!grow(&t->notes, t->note_count, &r->note_capacity, sizeof *t->notes))
        return LOCKSTEP_NO_MEMORY;
    const char *text = text_of(r, object, "note");
    t->notes[t->note_count] = text != NULL ? text : "";
    t->note_count++;
    const char *compiled = json_string_value(json_object_get(object, "compiled"));
    t->compiled_eagerly |= compiled != NULL && strcmp(compiled, "eager") == 0;
    return LOCKSTEP_OK;
}

/* How many tensors there are, with the weights or without, shows whether lines are missing. */
static void read_end(reading *r, const json_t *object) {
    ls_trace *t = r->trace;
    size_t weights = 0;
    for (size_t i = 0; i < t->node_count; i++)
        weights += t->nodes[i].role == LOCKSTEP_ROLE_WEIGHT;
    const uint64_t tensors = (uint64_t)integer_of(r, object, "tensors", 0, INT64_MAX, (int64_t)t->node_count);
    t->dropped = (uint64_t)integer_of(r, object, "dropped", 0, INT64_MAX, 0);
    t->complete = is_true(r, object, "end") && (tensors == t->node_count || tensors == t->node_count - weights);
}

static lockstep_status read_line(reading *r, json_t *object) {
    if (json_object_get(object, "i") != NULL)
        return read_tensor(r, object);
    if (json_object_get(object, "pass") != NULL)
        return read_pass(r, object);
    if (json_object_get(object, "engine") != NULL)
        return read_engine(r, object);
    if (json_object_get(object, "note") != NULL)
        return read_note(r, object);
    if (json_object_get(object, "lockstep_trace") != NULL)
        r->trace->only = text_of(r, object, "only");
    if (json_object_get(object, "end") != NULL)
        read_end(r, object);
    return LOCKSTEP_OK; /* other lines belong to later versions */
}

/* Fails with the value that was refused. */
static lockstep_status refuse_value(const reading *r, const json_t *object) {
    const json_t *value = json_object_get(object, r->wrong);
    char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    ls_fail_at(r->error, LOCKSTEP_MALFORMED, r->name, r->line_at, "found %s\"%s\"%s%.40s, expected %s", value == NULL ? "no " : "", r->wrong,
               value == NULL ? "" : ": ", text != NULL ? text : "", r->expected);
    free(text);
    return LOCKSTEP_MALFORMED;
}

/* Reads one line, without its newline, that begins at `at`. */
static lockstep_status read_text(reading *r, const char *text, size_t length, uint64_t at) {
    json_error_t why;
    json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);
    lockstep_status status = LOCKSTEP_OK;
    r->line_at = at;
    if (!json_is_object(object))
        status = ls_fail_at(r->error, LOCKSTEP_MALFORMED, r->name, at, "found %s, expected one JSON object per line",
                            object == NULL ? why.text : "another value");
    else if (at == 0 && json_integer_value(json_object_get(object, "lockstep_trace")) != 1)
        status = ls_fail_at(r->error, LOCKSTEP_UNSUPPORTED, r->name, at,
                            "found no \"lockstep_trace\":1, expected a trace of version 1");
    else if ((status = read_line(r, object)) != LOCKSTEP_NO_MEMORY && r->wrong != NULL)
        status = refuse_value(r, object);
    else if (status == LOCKSTEP_MALFORMED && !r->said)
        ls_fail_at(r->error, status, r->name, at, "found a line with missing, impossible or repeated values");
    else if (status == LOCKSTEP_NO_MEMORY)
        no_memory(r->error, r->name);
    json_decref(object);
    return status;
}

static lockstep_status read_lines(reading *r, const char *bytes, size_t size) {
    r->bytes = size;
    for (size_t at = 0; at < size;) {
        const char *stop = memchr(bytes + at, '\n', size - at);
        if (stop == NULL)
            break; /* cut off by a crash: the lines before are valid */
        size_t length = (size_t)(stop - (bytes + at));
        LS_TRY(read_text(r, bytes + at, length, at));
        at += length + 1;
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ opening */

static ls_trace *new_trace(const char *path) {
    ls_trace *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->engine = t->version = t->model = t->device = "";
    t->path = ls_arena_copy(&t->arena, path, strlen(path));
    return t;
}

/* If recording was cut short, lines may have reached the disk without their values. */
static void lose_unreadable(const reading *r) {
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
    reading r = {.trace = t, .name = log->name, .error = error != NULL ? error : &own, .has_files = has_files};
    const uint8_t *bytes;
    lockstep_status status = ls_source_bytes(log, &bytes, error);
    if (status == LOCKSTEP_OK && (log->size == 0 || memchr(bytes, '\n', (size_t)log->size) == NULL))
        status = ls_fail_at(error, LOCKSTEP_TRUNCATED, log->name, 0, "found no complete line, expected a trace");
    if (status == LOCKSTEP_OK)
        status = read_lines(&r, (const char *)bytes, (size_t)log->size);
    if (status == LOCKSTEP_OK)
        lose_unreadable(&r);
    free(r.by_order);
    free(r.unreadable);
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
    return LOCKSTEP_OK;
}

static lockstep_status finish(lockstep_status status, ls_trace *t, ls_trace **out_trace) {
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
    return finish(graph ? open_graph(t, log_path, error) : open_plain(t, path, error), t, out_trace);
}

lockstep_status ls_trace_open_log(const char *path, ls_source *log, ls_trace **out_trace, lockstep_error *error) {
    ls_trace *t = new_trace(path);
    if (t != NULL)
        return finish(read_graph(t, log, true, error), t, out_trace);
    ls_source_close(log);
    return no_memory(error, path);
}

/* ------------------------------------------------------------------ growing */

struct ls_trace_feed {
    reading r;
};

lockstep_status ls_trace_feed_open(const char *path, ls_trace_feed **out_feed, ls_trace **out_trace, lockstep_error *error) {
    ls_trace_feed *feed = calloc(1, sizeof *feed);
    ls_trace *t = feed != NULL ? new_trace(path) : NULL;
    if (t == NULL) {
        free(feed);
        return no_memory(error, path);
    }
    t->is_graph = t->is_ordered = true;
    feed->r = (reading){.trace = t, .name = t->path};
    *out_feed = feed;
    *out_trace = t;
    return LOCKSTEP_OK;
}

lockstep_status ls_trace_feed_line(ls_trace_feed *feed, const char *text, size_t length, lockstep_error *error) {
    uint64_t at = feed->r.bytes;
    feed->r.bytes += length;
    feed->r.error = error;
    return read_text(&feed->r, text, length, at);
}

size_t ls_trace_feed_node(const ls_trace_feed *feed, uint64_t i) {
    return i < feed->r.order_capacity ? feed->r.by_order[i] - 1 : LS_NONE; /* 0 - 1 is LS_NONE */
}

void ls_trace_feed_close(ls_trace_feed *feed) {
    if (feed != NULL)
        free(feed->r.by_order);
    free(feed);
}

void ls_trace_close(ls_trace *trace) {
    if (trace == NULL)
        return;
    lockstep_archive_close(trace->archive);
    ls_segments_done(&trace->segments, true);
    free(trace->nodes);
    free(trace->passes);
    free(trace->notes);
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

const double *ls_node_parameter(const ls_node *node, const char *key) {
    for (size_t i = 0; i < node->parameter_count; i++)
        if (strcmp(node->parameters[i].key, key) == 0)
            return &node->parameters[i].value;
    return NULL;
}
