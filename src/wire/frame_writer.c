#include "wire/frame_writer.h"

#include "base/role.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "wire/channel.h"

static _Atomic uint64_t next_id = 1;

uint64_t ls_frame_next_id(void) { return atomic_fetch_add(&next_id, 1); }

/* --------------------------------------------------------------------- JSON */

static void add_key(ls_text *line, const char *key) {
    bool first = line->length > 0 && line->data[line->length - 1] == '{';
    ls_text_append(line, ",", first ? 0 : 1);
    ls_text_json(line, key, strlen(key));
    ls_text_append(line, ":", 1);
}

/* Writes nothing if the value is NULL. */
static void add_text(ls_text *line, const char *key, const char *value) {
    if (value == NULL)
        return;
    add_key(line, key);
    ls_text_json(line, value, strlen(value));
}

static void add_integer(ls_text *line, const char *key, int64_t value) {
    add_key(line, key);
    ls_text_integer(line, value);
}

static void add_flag(ls_text *line, const char *key) {
    add_key(line, key);
    ls_text_append(line, "true", 4);
}

/* Uses the fewest digits that restore the value (0.1, not 0.10000000000000001). Infinities and NaN, which JSON doesn't
 * have, become strings. The program's locale may use a decimal point that is not JSON's. */
static void put_real(ls_text *line, double value) {
    char digits[64];
    if (!isfinite(value)) {
        ls_text_printf(line, "\"%s\"", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    snprintf(digits, sizeof digits, "%.15g", value);
    if (strtod(digits, NULL) != value)
        snprintf(digits, sizeof digits, "%.17g", value);
    size_t before = strspn(digits, "-0123456789"), point = strcspn(digits + before, "0123456789e");
    ls_text_printf(line, "%.*s%s%s", (int)before, digits, point > 0 ? "." : "", digits + before + point);
}

enum { LIST_DEPTH = 8 };

/* False for a type from a later version, or a pointer that is NULL. */
static bool has_value(const lockstep_parameter *p) {
    switch (p->type) {
    case LOCKSTEP_PARAMETER_INTEGER:
    case LOCKSTEP_PARAMETER_REAL:
    case LOCKSTEP_PARAMETER_BOOLEAN:
        return true;
    case LOCKSTEP_PARAMETER_TEXT:
        return p->value.text != NULL;
    case LOCKSTEP_PARAMETER_INTEGERS:
        return p->value.integers != NULL || p->count == 0;
    case LOCKSTEP_PARAMETER_REALS:
        return p->value.reals != NULL || p->count == 0;
    case LOCKSTEP_PARAMETER_LIST:
        return p->value.list != NULL || p->count == 0;
    }
    return false;
}

static void put_list(ls_text *line, const lockstep_parameter *p, int depth);

static void put_parameter(ls_text *line, const lockstep_parameter *p, int depth) {
    if (!has_value(p) || depth == LIST_DEPTH) {
        ls_text_append(line, "null", 4);
        return;
    }
    switch (p->type) {
    case LOCKSTEP_PARAMETER_INTEGER:
        ls_text_integer(line, p->value.integer);
        return;
    case LOCKSTEP_PARAMETER_REAL:
        put_real(line, p->value.real);
        return;
    case LOCKSTEP_PARAMETER_BOOLEAN:
        ls_text_printf(line, "%s", p->value.boolean ? "true" : "false");
        return;
    case LOCKSTEP_PARAMETER_TEXT:
        ls_text_json(line, p->value.text, strlen(p->value.text));
        return;
    case LOCKSTEP_PARAMETER_INTEGERS:
    case LOCKSTEP_PARAMETER_REALS:
    case LOCKSTEP_PARAMETER_LIST:
        put_list(line, p, depth);
    }
}

static void put_list(ls_text *line, const lockstep_parameter *p, int depth) {
    ls_text_append(line, "[", 1);
    for (uint32_t i = 0; i < p->count; i++) {
        ls_text_append(line, ",", i > 0 ? 1 : 0);
        if (p->type == LOCKSTEP_PARAMETER_INTEGERS)
            ls_text_integer(line, p->value.integers[i]);
        else if (p->type == LOCKSTEP_PARAMETER_REALS)
            put_real(line, p->value.reals[i]);
        else
            put_parameter(line, &p->value.list[i], depth + 1);
    }
    ls_text_append(line, "]", 1);
}

static bool is_named(const lockstep_parameter *p) { return p->name != NULL && has_value(p); }

static bool is_ascii(const char *text) {
    while ((signed char)*text > 0)
        text++;
    return *text == '\0';
}

/* Whether two names are one key, as JSON spells them: bytes that are not UTF-8 become the same character. */
static bool is_one_key(const char *a, const char *b) {
    if (is_ascii(a) || is_ascii(b))
        return strcmp(a, b) == 0;
    ls_text keys[2] = {{0}, {0}};
    ls_text_json(&keys[0], a, strlen(a));
    ls_text_json(&keys[1], b, strlen(b));
    bool same = keys[0].data != NULL && keys[1].data != NULL && strcmp(keys[0].data, keys[1].data) == 0;
    ls_text_done(&keys[0]);
    ls_text_done(&keys[1]);
    return same;
}

/* Only the first parameter of a name is written, because JSON keys must be unique. */
static bool is_repeated(const lockstep_node *node, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (is_named(&node->parameters[k]) && is_one_key(node->parameters[k].name, node->parameters[i].name))
            return true;
    return false;
}

/* The recorder takes LS_FRAME_KEYS_MAX parameters; those after them are left out. */
static void add_parameters(ls_text *line, const lockstep_node *node) {
    if (node->parameters == NULL || node->parameter_count == 0)
        return;
    int written = 0;
    add_key(line, "params");
    ls_text_append(line, "{", 1);
    for (size_t i = 0; i < node->parameter_count && written < LS_FRAME_KEYS_MAX; i++)
        if (is_named(&node->parameters[i]) && !is_repeated(node, i)) {
            add_key(line, node->parameters[i].name);
            put_parameter(line, &node->parameters[i], 0);
            written++;
        }
    ls_text_append(line, "}", 1);
}

static void add_ids(ls_text *line, const char *key, const int32_t *values, size_t count) {
    if (values == NULL || count == 0)
        return;
    add_key(line, key);
    for (size_t i = 0; i < count; i++) {
        ls_text_append(line, i > 0 ? "," : "[", 1);
        ls_text_integer(line, values[i]);
    }
    ls_text_append(line, "]", 1);
}

static void begin_event(ls_text *line, const char *event) {
    ls_text_append(line, "{", 1);
    add_text(line, "event", event);
}

/* Sends the line and frees it. One that the recorder would refuse for its size is not sent, and becomes a note. */
static bool send_line(ls_text *line, const ls_strided *values) {
    ls_text_append(line, "}", 1);
    if (line->length > LS_FRAME_JSON_MAX) {
        ls_text_done(line);
        ls_frame_note("something was not recorded: its line would be larger than 64 MiB");
        return false;
    }
    bool sent = !line->failed;
    if (sent && values == NULL) {
        sent = ls_channel_send(line->data, line->length, NULL, 0);
    } else if (sent) {
        sent = ls_channel_begin(line->data, line->length, values->bytes);
        if (sent)
            ls_strided_send(values);
        ls_channel_end();
    }
    ls_text_done(line);
    return sent;
}

/* ------------------------------------------------------------------- events */

void ls_frame_start(const ls_start_event *event) {
    ls_text line = {0};
    begin_event(&line, "start");
    if (event->context != LS_NO_CONTEXT)
        add_integer(&line, "context", event->context);
    add_text(&line, "engine", event->engine);
    add_text(&line, "engine_version", event->version);
    add_text(&line, "model", event->model);
    add_text(&line, "device", event->device);
    add_text(&line, "framework", event->framework);
    send_line(&line, NULL);
}

/* So many that their three lists are no larger than the recorder takes. */
enum { ROWS_MAX = LS_FRAME_JSON_MAX / (3 * sizeof "-2147483648") - 1000 };

static void send_pass(const char *name, const ls_pass_event *event) {
    ls_text line = {0};
    begin_event(&line, name);
    add_integer(&line, "pass", event->pass);
    if (event->context != LS_NO_CONTEXT)
        add_integer(&line, "context", event->context);
    if (event->nodes > 0)
        add_integer(&line, "nodes", event->nodes);
    if (event->rows_follow)
        add_flag(&line, "told_later");
    if (event->like != NULL)
        add_integer(&line, "like", *event->like);
    if (event->rows != NULL && event->rows->count <= ROWS_MAX) {
        add_ids(&line, "tokens", event->rows->tokens, event->rows->count);
        add_ids(&line, "positions", event->rows->positions, event->rows->count);
        add_ids(&line, "sequences", event->rows->sequences, event->rows->count);
    }
    send_line(&line, NULL);
    if (event->rows != NULL && event->rows->count > ROWS_MAX)
        ls_frame_note("the tokens and positions of a pass were not recorded: it has too many rows");
}

void ls_frame_pass_begin(const ls_pass_event *event) { send_pass("pass", event); }
void ls_frame_pass_rows(const ls_pass_event *event) { send_pass("rows", event); }
void ls_frame_pass_end(const ls_pass_event *event) { send_pass("pass_end", event); }

static void add_shape(ls_text *line, const lockstep_node *node) {
    add_key(line, "shape");
    ls_text_append(line, "[", 1);
    for (int i = 0; i < node->rank; i++) {
        ls_text_append(line, ",", i > 0 ? 1 : 0);
        ls_text_integer(line, (int64_t)node->shape[i]);
    }
    ls_text_append(line, "]", 1);
}

/* Sources that were not recorded are 0, and left out. */
static void add_sources(ls_text *line, const lockstep_node *node) {
    bool first = true;
    add_key(line, "src");
    ls_text_append(line, "[", 1);
    for (size_t i = 0; node->sources != NULL && i < node->source_count; i++)
        if (node->sources[i] != 0) {
            ls_text_append(line, ",", first ? 0 : 1);
            ls_text_integer(line, (int64_t)node->sources[i]);
            first = false;
        }
    ls_text_append(line, "]", 1);
}

/* Operands that are the sources, in order, need not be said again. */
static bool are_sources(const lockstep_node *node) {
    bool same = node->operand_count == node->source_count;
    for (size_t i = 0; i < node->operand_count && same; i++)
        same = node->operands[i] != 0 && node->operands[i] == node->sources[i];
    return same;
}

/* A slot that is empty, or whose operand was not recorded, is null. */
static void add_operands(ls_text *line, const lockstep_node *node) {
    if (node->operands == NULL || are_sources(node))
        return;
    add_key(line, "operands");
    ls_text_append(line, "[", 1);
    for (size_t i = 0; i < node->operand_count; i++) {
        ls_text_append(line, ",", i > 0 ? 1 : 0);
        if (node->operands[i] != 0)
            ls_text_integer(line, (int64_t)node->operands[i]);
        else
            ls_text_append(line, "null", 4);
    }
    ls_text_append(line, "]", 1);
}

static void add_view(ls_text *line, const lockstep_node *node) {
    const lockstep_view *view = node->view;
    if (view == NULL || view->of == 0)
        return;
    add_integer(line, "view_of", (int64_t)view->of);
    add_integer(line, "offset", (int64_t)view->offset);
    if (view->strides == NULL)
        return;
    add_key(line, "strides");
    ls_text_append(line, "[", 1);
    for (int i = 0; i < node->rank; i++) {
        ls_text_append(line, ",", i > 0 ? 1 : 0);
        ls_text_integer(line, view->strides[i]);
    }
    ls_text_append(line, "]", 1);
}

/* Everything but the end of a tensor's line. */
static void put_node(ls_text *line, const lockstep_node *node, uint64_t id, long pass) {
    begin_event(line, "tensor");
    add_integer(line, "id", (int64_t)id);
    if (pass != LS_NO_PASS)
        add_integer(line, "pass", pass);
    add_integer(line, "layer", node->layer >= 0 ? node->layer : -1);
    add_text(line, "name", node->name);
    add_text(line, "op", node->op != NULL ? node->op : "");
    const bool is_other = node->dtype == LOCKSTEP_OPAQUE && node->dtype_name != NULL;
    add_text(line, "dtype", is_other ? node->dtype_name : lockstep_dtype_name(node->dtype));
    add_shape(line, node);
    add_text(line, "role", ls_role_name(node->role));
    add_sources(line, node);
    add_operands(line, node);
    add_view(line, node);
    if (node->alias != 0)
        add_integer(line, "alias_of", (int64_t)node->alias);
    add_parameters(line, node);
    add_text(line, "where", node->where);
    add_text(line, "backend", node->backend);
}

bool ls_frame_node(const lockstep_node *node, uint64_t id, long pass, const ls_strided *values) {
    ls_text line = {0};
    put_node(&line, node, id, pass);
    return send_line(&line, values);
}

bool ls_frame_weight(const lockstep_node *node, uint64_t id, const uint64_t *sample, const ls_strided *values) {
    ls_text line = {0};
    char hash[20] = "";
    if (sample != NULL)
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)*sample);
    put_node(&line, node, id, LS_NO_PASS);
    add_text(&line, "sample_xxh3", sample != NULL ? hash : NULL);
    return send_line(&line, values);
}

void ls_frame_model_file(const char *path) {
    ls_text line = {0};
    begin_event(&line, "model_file");
    add_text(&line, "path", path);
    send_line(&line, NULL);
}

void ls_frame_note_compiled(const char *text, const char *compiled) {
    ls_text line = {0};
    begin_event(&line, "note");
    add_text(&line, "text", text);
    add_text(&line, "compiled", compiled);
    send_line(&line, NULL);
}

void ls_frame_note(const char *text) { ls_frame_note_compiled(text, NULL); }

void ls_frame_end(void) {
    ls_text line = {0};
    begin_event(&line, "end");
    send_line(&line, NULL);
}

void *ls_frame_resync(uint64_t id, size_t count) {
    ls_text line = {0};
    begin_event(&line, "resync");
    add_integer(&line, "id", (int64_t)id);
    ls_text_append(&line, "}", 1);
    void *answer = line.failed ? NULL : ls_channel_ask(line.data, line.length, count);
    ls_text_done(&line);
    return answer;
}
