#include "trace/trace_lines.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "format/paths.h"
#include "trace/in_place.h"

enum { LAYERS_MAX = 1 << 14 }; /* what goes through all layers must end */

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

static void refuse(ls_trace_lines *r, const char *key, const char *expected) {
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

static const char *text_of(ls_trace_lines *r, const json_t *object, const char *key) {
    const json_t *value = value_of(object, key);
    if (value != NULL && !json_is_string(value))
        refuse(r, key, "a string");
    if (!json_is_string(value))
        return NULL;
    return ls_arena_copy(&r->trace->arena, json_string_value(value), json_string_length(value));
}

static int64_t integer_of(ls_trace_lines *r, const json_t *object, const char *key, int64_t least, int64_t most, int64_t otherwise) {
    const json_t *value = value_of(object, key);
    if (value == NULL)
        return otherwise;
    if (json_is_integer(value) && json_integer_value(value) >= least && json_integer_value(value) <= most)
        return json_integer_value(value);
    refuse(r, key, least < 0 ? "an integer from -1 to 2^31 - 1" : most < INT64_MAX ? "an integer from 0 to 2^32 - 1" : "an integer from 0");
    return otherwise;
}

static bool is_true(ls_trace_lines *r, const json_t *object, const char *key) {
    const json_t *value = value_of(object, key);
    if (value != NULL && !json_is_boolean(value))
        refuse(r, key, "true or false");
    return json_is_true(value);
}

/* A list with one integer a row; the first list says how many rows there are. */
static const int32_t *integers_of(ls_trace_lines *r, const json_t *object, const char *key, size_t *count) {
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

/* ggml's graphs don't say which sequence a row is of, but their rows come sequence by sequence: where positions begin again,
 * another one does. (The patches of a picture, whose embeddings are given, may share one.) NULL where there is only one. */
static const int32_t *sequences_by_position(ls_trace *t, const ls_pass *pass) {
    int32_t *out = pass->positions != NULL && pass->tokens != NULL ? ls_arena_array(&t->arena, pass->rows, sizeof *out) : NULL;
    int32_t sequence = 0;
    for (size_t i = 0; out != NULL && i < pass->rows; i++) {
        const bool same = i > 0 && pass->positions[i] == pass->positions[i - 1] && pass->tokens[i] == LOCKSTEP_NO_TOKEN;
        sequence += i > 0 && !same && pass->positions[i] <= pass->positions[i - 1];
        out[i] = sequence;
    }
    return sequence > 0 ? out : NULL;
}

static lockstep_status read_pass(ls_trace_lines *r, const json_t *object) {
    ls_trace *t = r->trace;
    int64_t number = integer_of(r, object, "pass", 0, INT64_MAX, -1);
    if (number < 0 || (uint64_t)number > t->pass_count)
        return LOCKSTEP_MALFORMED;
    if ((size_t)number == t->pass_count) {
        if (!grow(&t->passes, t->pass_count, &r->pass_capacity, sizeof *t->passes))
            return LOCKSTEP_NO_MEMORY;
        t->passes[t->pass_count++] = (ls_pass){.first_node = LS_NONE, .like = LS_NONE};
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
        if (pass->sequences == NULL && ls_trace_is_ggml(t))
            pass->sequences = sequences_by_position(t, pass);
    }
    pass->told_later = is_true(r, object, "told_later") || pass->told_later;
    pass->context = (unsigned)integer_of(r, object, "context", 0, UINT_MAX, pass->context);
    pass->process = (unsigned)integer_of(r, object, "process", 0, UINT_MAX, pass->process);
    const int64_t like = integer_of(r, object, "like", 0, INT64_MAX, -1);
    if (like >= number)
        refuse(r, "like", "an earlier pass");
    else if (like >= 0)
        pass->like = (size_t)like;
    if (!is_true(r, object, "ended") || pass->ended)
        return LOCKSTEP_OK;
    pass->ended = true;
    t->ended_count++;
    return pass->like != LS_NONE ? ls_trace_repeat(r, (size_t)number) : LOCKSTEP_OK;
}

/* Of an empty tensor, too, the product of the other axes is bounded, so that no product of two tensors' axes overflows. */
static bool read_shape(const json_t *shape, ls_node *node) {
    const uint64_t most_beside_zero = (uint64_t)1 << 31;
    const json_t *axis;
    size_t at;
    uint64_t others = 1;
    if (!json_is_array(shape) || json_array_size(shape) > LOCKSTEP_MAX_RANK)
        return false;
    node->rank = (int)json_array_size(shape);
    node->elements = 1;
    json_array_foreach(shape, at, axis) {
        if (!json_is_integer(axis) || json_integer_value(axis) < 0)
            return false;
        node->shape[at] = (uint64_t)json_integer_value(axis);
        if (__builtin_mul_overflow(node->elements, node->shape[at], &node->elements) ||
            (node->shape[at] > 0 && __builtin_mul_overflow(others, node->shape[at], &others)))
            return false;
    }
    return node->elements > 0 || others <= most_beside_zero;
}

static size_t node_by_order(const ls_trace_lines *r, const json_t *order) {
    if (!json_is_integer(order) || json_integer_value(order) < 0 ||
        (uint64_t)json_integer_value(order) >= r->order_capacity)
        return LS_NONE;
    return r->by_order[json_integer_value(order)] - 1; /* 0 - 1 is LS_NONE */
}

static const char lines_expected[] = "a list of line numbers";

/* The node that a key names by the number of its line; LS_NONE if there is no earlier line of that number. */
static size_t node_of(ls_trace_lines *r, const json_t *object, const char *key) {
    const json_t *value = value_of(object, key);
    if (value != NULL && !json_is_integer(value))
        refuse(r, key, "the number of a line");
    return node_by_order(r, value);
}

static bool read_sources(ls_trace_lines *r, const json_t *object, ls_node *node) {
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

static bool read_operands(ls_trace_lines *r, const json_t *object, ls_node *node) {
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
static bool read_place(ls_trace_lines *r, const json_t *object, ls_node *node) {
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

/* Infinities and NaN, which JSON doesn't have, are strings. */
static bool is_number(const json_t *value, double *out) {
    static const struct {
        const char *text;
        double value;
    } others[] = {{"inf", INFINITY}, {"-inf", -INFINITY}, {"nan", NAN}};
    if (json_is_number(value) || json_is_boolean(value)) {
        *out = json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
        return true;
    }
    for (size_t i = 0; json_is_string(value) && i < sizeof others / sizeof *others; i++)
        if (strcmp(json_string_value(value), others[i].text) == 0) {
            *out = others[i].value;
            return true;
        }
    return false;
}

/* False if out of memory. Lists of anything but numbers are left out: `out` has no key then. */
static bool read_parameter(ls_trace_lines *r, const char *key, const json_t *value, ls_parameter *out) {
    ls_arena *arena = &r->trace->arena;
    const json_t *item;
    size_t at;
    *out = (ls_parameter){.key = ls_arena_copy(arena, key, strlen(key)), .count = json_array_size(value)};
    if (is_number(value, &out->value))
        return out->key != NULL;
    if (json_is_string(value)) {
        out->text = ls_arena_copy(arena, json_string_value(value), json_string_length(value));
        return out->key != NULL && out->text != NULL;
    }
    double *items = ls_arena_array(arena, out->count + 1, sizeof *items);
    bool all = json_is_array(value);
    json_array_foreach(value, at, item)
        all = all && items != NULL && is_number(item, &items[at]);
    out->items = items;
    const bool room = out->key != NULL && items != NULL;
    if (!all)
        out->key = NULL;
    return room;
}

static bool read_parameters(ls_trace_lines *r, json_t *object, ls_node *node) {
    json_t *parameters = json_object_get(object, "params"), *value;
    const char *key;
    if (parameters != NULL && !json_is_object(parameters) && !json_is_null(parameters))
        refuse(r, "params", "an object");
    node->parameters = ls_arena_array(&r->trace->arena, json_object_size(parameters) + 1, sizeof *node->parameters);
    if (node->parameters == NULL)
        return false;
    json_object_foreach(parameters, key, value) {
        ls_parameter *own = &node->parameters[node->parameter_count];
        if (!read_parameter(r, key, value, own))
            return false;
        node->parameter_count += own->key != NULL;
    }
    return true;
}

/* PyTorch has one name for both forms of GELU, and a module of it may be called as ggml's. */
static void read_dialect(const ls_trace *t, ls_node *node) {
    const bool is_gelu = node->kind->id == LS_OP_GELU || node->kind->id == LS_OP_GELU_ERF;
    const char *form = ls_node_text(node, "approximate");
    if (!t->is_torch) {
        node->dialect = ls_op_is_of_ggml(node->kind, node->op) ? LS_DIALECT_GGML : LS_DIALECT_OTHER;
        return;
    }
    node->dialect = is_gelu || ls_op_is_of_torch(node->kind, node->op) ? LS_DIALECT_ATEN : LS_DIALECT_OTHER;
    node->is_aside = ls_node_parameter(node, "recomputed") != NULL;
    if (is_gelu)
        node->kind = ls_op_at(form != NULL && strcmp(form, "tanh") == 0 ? LS_OP_GELU : LS_OP_GELU_ERF);
}

static lockstep_status remember_order(ls_trace_lines *r, uint64_t order, size_t node) {
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
static bool mark_unreadable(ls_trace_lines *r, size_t node) {
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
static lockstep_status read_extent(ls_trace_lines *r, const json_t *object, ls_node *node) {
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

/* 64 bits in hexadecimal. False if there are none. */
static bool hash_of(ls_trace_lines *r, const json_t *object, const char *key, uint64_t *out) {
    const json_t *value = value_of(object, key);
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    if (value != NULL && (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16))
        refuse(r, key, "16 hexadecimal digits");
    *out = strtoull(text, NULL, 16);
    return *text != '\0';
}

/* NULL if there is none. */
static const uint64_t *sample_of(ls_trace_lines *r, const json_t *object) {
    uint64_t sample;
    uint64_t *out = hash_of(r, object, "sample_xxh3", &sample) ? ls_arena_array(&r->trace->arena, 1, sizeof *out) : NULL;
    if (out != NULL)
        *out = sample;
    return out;
}

bool ls_trace_grow_nodes(ls_trace_lines *r) { return grow(&r->trace->nodes, r->trace->node_count, &r->node_capacity, sizeof *r->trace->nodes); }

static lockstep_status read_tensor(ls_trace_lines *r, json_t *object) {
    ls_trace *t = r->trace;
    if (!ls_trace_grow_nodes(r))
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
    node->sample = sample_of(r, object);
    hash_of(r, object, "xxh3", &node->xxh3);
    node->role = ls_role_of(text_of(r, object, "role"));
    node->layer = (int)integer_of(r, object, "layer", -1, LAYERS_MAX, -1);
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
    ls_trace_settle_view(t, node);
    read_dialect(t, node);
    LS_TRY(read_extent(r, object, node));
    LS_TRY(remember_order(r, (uint64_t)integer_of(r, object, "i", 0, INT64_MAX, -1), t->node_count));
    ls_trace_place_node(r, t->node_count);
    t->node_count++;
    return LOCKSTEP_OK;
}

static lockstep_status read_engine(ls_trace_lines *r, const json_t *object) {
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

static lockstep_status read_note(ls_trace_lines *r, const json_t *object) {
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

/* The same file may be opened several times, by several processes. */
static lockstep_status read_model_file(ls_trace_lines *r, const json_t *object) {
    ls_trace *t = r->trace;
    const ls_model_file file = {text_of(r, object, "model_file"), (uint64_t)integer_of(r, object, "bytes", 0, INT64_MAX, 0),
                                (uint64_t)integer_of(r, object, "modified", 0, INT64_MAX, 0)};
    if (file.path == NULL)
        return LOCKSTEP_OK;
    for (size_t i = 0; i < t->model_file_count; i++)
        if (strcmp(t->model_files[i].path, file.path) == 0)
            return LOCKSTEP_OK;
    if (!grow(&t->model_files, t->model_file_count, &r->model_file_capacity, sizeof *t->model_files))
        return LOCKSTEP_NO_MEMORY;
    t->model_files[t->model_file_count++] = file;
    return LOCKSTEP_OK;
}

/* How many tensors there are, with the weights or without, shows whether lines are missing. */
static void read_end(ls_trace_lines *r, const json_t *object) {
    ls_trace *t = r->trace;
    const size_t lines = t->node_count - r->repeated;
    size_t weights = 0;
    for (size_t i = 0; i < t->node_count; i++)
        weights += t->nodes[i].role == LOCKSTEP_ROLE_WEIGHT;
    const uint64_t tensors = (uint64_t)integer_of(r, object, "tensors", 0, INT64_MAX, (int64_t)lines);
    t->dropped = (uint64_t)integer_of(r, object, "dropped", 0, INT64_MAX, 0);
    t->complete = is_true(r, object, "end") && !r->is_torn && (tensors == lines || tensors == lines - weights);
}

static void read_command(ls_trace_lines *r, const json_t *object) {
    const json_t *list = value_of(object, "argv");
    const size_t count = json_array_size(list);
    const char **words = count > 0 ? ls_arena_array(&r->trace->arena, count, sizeof *words) : NULL;
    bool fits = list == NULL || json_is_array(list);
    for (size_t i = 0; i < count && fits && words != NULL; i++) {
        const json_t *word = json_array_get(list, i);
        fits = json_is_string(word);
        words[i] = fits ? ls_arena_copy(&r->trace->arena, json_string_value(word), json_string_length(word)) : NULL;
        words[i] = words[i] != NULL ? words[i] : "";
    }
    if (!fits)
        refuse(r, "argv", "a list of texts");
    r->trace->command = words;
    r->trace->command_count = fits && words != NULL ? count : 0;
}

static void read_beginning(ls_trace_lines *r, const json_t *object) {
    r->trace->only = text_of(r, object, "only");
    r->trace->is_graph_only = is_true(r, object, "graph_only");
    r->trace->started = text_of(r, object, "started");
    read_command(r, object);
}

static lockstep_status read_line(ls_trace_lines *r, json_t *object) {
    if (json_object_get(object, "i") != NULL)
        return read_tensor(r, object);
    if (json_object_get(object, "pass") != NULL)
        return read_pass(r, object);
    if (json_object_get(object, "engine") != NULL)
        return read_engine(r, object);
    if (json_object_get(object, "note") != NULL)
        return read_note(r, object);
    if (json_object_get(object, "model_file") != NULL)
        return read_model_file(r, object);
    if (json_object_get(object, "lockstep_trace") != NULL)
        read_beginning(r, object);
    if (json_object_get(object, "end") != NULL)
        read_end(r, object);
    return LOCKSTEP_OK; /* other lines belong to later versions */
}

/* Fails with the value that was refused. */
static lockstep_status refuse_value(const ls_trace_lines *r, const json_t *object) {
    const json_t *value = json_object_get(object, r->wrong);
    char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    ls_fail_at(r->error, LOCKSTEP_MALFORMED, r->name, r->line_at, "found %s\"%s\"%s%.40s, expected %s", value == NULL ? "no " : "", r->wrong,
               value == NULL ? "" : ": ", text != NULL ? text : "", r->expected);
    free(text);
    return LOCKSTEP_MALFORMED;
}

lockstep_status ls_trace_read_line(ls_trace_lines *r, const char *text, size_t length, uint64_t at) {
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
    else if (status == LOCKSTEP_LIMIT)
        ls_fail_at(r->error, status, r->name, at, "found passes like earlier ones that stand for more than 2^21 tensors");
    else if (status == LOCKSTEP_NO_MEMORY)
        no_memory(r->error, r->name);
    json_decref(object);
    return status;
}

lockstep_status ls_trace_read_lines(ls_trace_lines *r, const char *bytes, size_t size) {
    r->bytes = size;
    for (size_t at = 0; at < size;) {
        const char *stop = memchr(bytes + at, '\n', size - at);
        if (stop == NULL)
            break; /* cut off by a crash: the lines before are valid */
        size_t length = (size_t)(stop - (bytes + at));
        LS_TRY(ls_trace_read_line(r, bytes + at, length, at));
        at += length + 1;
    }
    return LOCKSTEP_OK;
}

void ls_trace_lines_done(ls_trace_lines *r) {
    free(r->by_order);
    free(r->unreadable);
    ls_map_done(&r->last_writes);
}
