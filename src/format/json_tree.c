#include "format/json_tree.h"

#include <string.h>

static lockstep_status no_memory(const ls_json *j, lockstep_error *error) {
    return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", j->file);
}

static lockstep_status read_word(ls_json *j, const char *word, json_t **out, lockstep_error *error) {
    *out = strcmp(word, "true") == 0    ? json_true()
           : strcmp(word, "false") == 0 ? json_false()
           : strcmp(word, "null") == 0  ? json_null()
                                        : json_string(word);
    return *out != NULL ? LOCKSTEP_OK : no_memory(j, error);
}

/* Numbers are read by jansson, which handles the decimal point of any locale. */
static lockstep_status read_number(ls_json *j, json_t **out, lockstep_error *error) {
    const char *text;
    size_t length;
    LS_TRY(ls_json_take_number(j, &text, &length, error));
    *out = json_loadb(text, length, JSON_DECODE_ANY, NULL);
    if (*out == NULL)
        *out = json_loadb(text, length, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
    if (*out == NULL) /* too large for a double */
        *out = json_string(*text == '-' ? "-Infinity" : "Infinity");
    return *out != NULL ? LOCKSTEP_OK : no_memory(j, error);
}

static lockstep_status read_value(ls_json *j, int depth, json_t **out, lockstep_error *error);

static lockstep_status read_object(ls_json *j, int depth, json_t *object, lockstep_error *error) {
    LS_TRY(ls_json_begin(j, '{', "an object", error));
    for (;;) {
        const char *key;
        json_t *value;
        LS_TRY(ls_json_key(j, &key, NULL, error));
        if (key == NULL)
            return LOCKSTEP_OK;
        LS_TRY(read_value(j, depth, &value, error));
        if (json_object_set_new_nocheck(object, key, value) != 0)
            return no_memory(j, error);
    }
}

static lockstep_status read_array(ls_json *j, int depth, json_t *array, lockstep_error *error) {
    LS_TRY(ls_json_begin(j, '[', "an array", error));
    for (;;) {
        bool more;
        json_t *value;
        LS_TRY(ls_json_more(j, ']', &more, error));
        if (!more)
            return LOCKSTEP_OK;
        LS_TRY(read_value(j, depth, &value, error));
        if (json_array_append_new(array, value) != 0)
            return no_memory(j, error);
    }
}

static lockstep_status read_value(ls_json *j, int depth, json_t **out, lockstep_error *error) {
    char next = ls_json_peek(j);
    const char *text;
    if (next == '{' || next == '[') {
        if (depth == LS_JSON_PYTHON_DEPTH)
            return ls_fail_at(error, LOCKSTEP_LIMIT, j->file, ls_json_offset(j), "JSON: found values nested deeper than %d", depth);
        json_t *made = next == '{' ? json_object() : json_array();
        if (made == NULL)
            return no_memory(j, error);
        lockstep_status status = next == '{' ? read_object(j, depth + 1, made, error) : read_array(j, depth + 1, made, error);
        if (status != LOCKSTEP_OK)
            json_decref(made);
        else
            *out = made;
        return status;
    }
    if (next == '"') {
        LS_TRY(ls_json_string(j, "a text", &text, error));
        *out = json_stringn_nocheck(text, (size_t)j->length);
        return *out != NULL ? LOCKSTEP_OK : no_memory(j, error);
    }
    const char *word = ls_json_word(j);
    return word != NULL ? read_word(j, word, out, error) : read_number(j, out, error);
}

lockstep_status ls_json_value(ls_json *j, json_t **out_json, lockstep_error *error) { return read_value(j, 0, out_json, error); }

lockstep_status ls_json_tree(ls_source *source, json_t **out_json, lockstep_error *error) {
    const uint8_t *bytes;
    ls_arena arena = {0};
    json_t *json = NULL;
    LS_TRY(ls_source_bytes(source, &bytes, error));
    ls_json j = {.text = (const char *)bytes, .size = source->size, .file = source->name, .arena = &arena};
    ls_json_open_python(&j);
    lockstep_status status = read_value(&j, 0, &json, error);
    if (status == LOCKSTEP_OK)
        status = ls_json_end(&j, error);
    if (status == LOCKSTEP_OK)
        *out_json = json;
    else
        json_decref(json);
    ls_arena_done(&arena);
    return status;
}

bool ls_json_same(json_t *a, json_t *b) {
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    if (json_typeof(a) != json_typeof(b))
        return false;
    bool same = json_array_size(a) == json_array_size(b) && json_object_size(a) == json_object_size(b);
    json_array_foreach(a, i, item)
        same = same && ls_json_same(item, json_array_get(b, i));
    json_object_foreach(a, key, item) {
        json_t *other = json_object_get(b, key);
        same = same && other != NULL && ls_json_same(item, other);
    }
    return same && (json_is_array(a) || json_is_object(a) || json_equal(a, b) == 1);
}

json_t *ls_json_at(const json_t *object, const char *path) {
    json_t *found = NULL;
    for (const json_t *at = object; at != NULL && *path != '\0'; at = found) {
        char key[128];
        const size_t length = strcspn(path, ".");
        if (length >= sizeof key)
            return NULL;
        memcpy(key, path, length);
        key[length] = '\0';
        found = json_object_get(at, key);
        path += length + (path[length] == '.');
    }
    return found;
}
