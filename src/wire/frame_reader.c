#include "wire/frame_reader.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/element_type.h"
#include "base/json_reader.h"

static const char file[] = "frame"; /* for messages */

/* The keys that are interpreted. The values of all others must be JSON that every reader accepts. */
typedef enum key { KEY_EVENT, KEY_ID, KEY_PASS, KEY_NAME, KEY_OP, KEY_DTYPE, KEY_SHAPE, KEY_OTHER } key;
static const char *const key_names[KEY_OTHER] = {"event", "id", "pass", "name", "op", "dtype", "shape"};

typedef struct reading {
    ls_json json;
    ls_frame_content content;
    const char *event;
    bool has[KEY_OTHER];
    size_t member_capacity;
    lockstep_error *error;
} reading;

static key key_of(const char *name) {
    int k = 0;
    while (k < KEY_OTHER && strcmp(key_names[k], name) != 0)
        k++;
    return (key)k;
}

/* Reads an integer from 0 to INT64_MAX. */
static lockstep_status read_count(reading *r, const char *what, uint64_t *out) {
    uint64_t at = r->json.at, value = 0;
    LS_TRY(ls_json_u64(&r->json, what, &value, r->error));
    if (value > INT64_MAX) {
        r->json.at = at;
        return ls_json_fail(&r->json, what, r->error);
    }
    *out = value;
    return LOCKSTEP_OK;
}

/* Reads a shape. If it has more axes than a trace allows, the outermost ones are merged. */
static lockstep_status read_shape(reading *r) {
    ls_frame_tensor *t = &r->content.tensor;
    ls_json *j = &r->json;
    uint64_t begin = j->at, axis = 0;
    bool more;
    LS_TRY(ls_json_begin(j, '[', "a shape", r->error));
    LS_TRY(ls_json_more(j, ']', &more, r->error));
    for (; more; t->axes++) {
        LS_TRY(read_count(r, "an axis of 0 to 2^63 - 1 elements", &axis));
        LS_TRY(ls_json_more(j, ']', &more, r->error));
    }
    size_t folded = t->axes > LOCKSTEP_MAX_RANK ? t->axes - LOCKSTEP_MAX_RANK : 0;
    uint64_t end = j->at;
    t->rank = (int)(t->axes - folded);
    t->elements = 1;
    for (int i = 0; i < LOCKSTEP_MAX_RANK; i++)
        t->shape[i] = 1;
    j->at = begin;
    LS_TRY(ls_json_begin(j, '[', "a shape", r->error));
    for (size_t i = 0; i < t->axes; i++) {
        uint64_t *to = &t->shape[i < folded ? 0 : i - folded];
        LS_TRY(ls_json_more(j, ']', &more, r->error));
        LS_TRY(read_count(r, "an axis", &axis));
        if (__builtin_mul_overflow(*to, axis, to) || __builtin_mul_overflow(t->elements, axis, &t->elements) || *to > INT64_MAX)
            return ls_fail_at(r->error, LOCKSTEP_MALFORMED, file, begin, "its shape overflows");
    }
    j->at = end;
    j->first = false;
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------ values of other keys */

/* A number is copied to the trace as it was sent, so a double or an int64_t must be able to hold it. */
static lockstep_status check_number(reading *r) {
    char digits[LS_FRAME_NUMBER_MAX + 1];
    const char *text;
    size_t length;
    uint64_t at = r->json.at;
    LS_TRY(ls_json_take_number(&r->json, &text, &length, r->error));
    bool fits = length <= LS_FRAME_NUMBER_MAX;
    if (fits) {
        memcpy(digits, text, length);
        digits[length] = '\0';
        if (digits[strcspn(digits, ".eE")] != '\0') {
            fits = isfinite(strtod(digits, NULL));
        } else {
            errno = 0;
            strtoll(digits, NULL, 10);
            fits = errno == 0;
        }
    }
    return fits ? LOCKSTEP_OK : ls_fail_at(r->error, LOCKSTEP_MALFORMED, file, at, "a number is out of range");
}

static lockstep_status check_any(reading *r, int depth);

static lockstep_status check_list(reading *r, int depth) {
    bool more;
    LS_TRY(ls_json_begin(&r->json, '[', "a list", r->error));
    LS_TRY(ls_json_more(&r->json, ']', &more, r->error));
    while (more) {
        LS_TRY(check_any(r, depth + 1));
        LS_TRY(ls_json_more(&r->json, ']', &more, r->error));
    }
    return LOCKSTEP_OK;
}

static lockstep_status refuse_repeated(reading *r, const char *const *keys, size_t count, const char *name, uint64_t at) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i], name) == 0)
            return ls_fail_at(r->error, LOCKSTEP_MALFORMED, file, at, "the key '%s' occurs twice", name);
    return LOCKSTEP_OK;
}

static lockstep_status check_object(reading *r, int depth) {
    const char *keys[LS_FRAME_KEYS_MAX], *name;
    size_t count = 0;
    uint64_t at;
    LS_TRY(ls_json_begin(&r->json, '{', "an object", r->error));
    LS_TRY(ls_json_key(&r->json, &name, &at, r->error));
    while (name != NULL) {
        LS_TRY(refuse_repeated(r, keys, count, name, at));
        if (count == LS_FRAME_KEYS_MAX)
            return ls_fail_at(r->error, LOCKSTEP_LIMIT, file, at, "more than %d keys", LS_FRAME_KEYS_MAX);
        keys[count++] = name;
        LS_TRY(check_any(r, depth + 1));
        LS_TRY(ls_json_key(&r->json, &name, &at, r->error));
    }
    return LOCKSTEP_OK;
}

/* Recursion is limited to LS_FRAME_DEPTH_MAX. */
static lockstep_status check_any(reading *r, int depth) {
    const char c = ls_json_peek(&r->json);
    if ((c == '{' || c == '[') && depth == LS_FRAME_DEPTH_MAX)
        return ls_fail_at(r->error, LOCKSTEP_LIMIT, file, r->json.at, "JSON: found values nested deeper than %d", LS_FRAME_DEPTH_MAX);
    lockstep_status status = LOCKSTEP_OK;
    if (c == '{')
        status = check_object(r, depth);
    else if (c == '[')
        status = check_list(r, depth);
    else if (c == '-' || (c >= '0' && c <= '9'))
        status = check_number(r);
    else
        status = ls_json_skip(&r->json, r->error);
    r->json.first = false;
    return status;
}

typedef enum kind { STRING, BOOLEAN, OBJECT, COUNT, SIZE, LAYER, HASH } kind;

/* Keys that the recorder copies to the trace, whose reader wants these kinds of values. */
static const struct {
    const char *key;
    kind kind;
} kinds[] = {{"layer", LAYER},    {"role", STRING},           {"where", STRING}, {"backend", STRING}, {"lost", STRING},      {"context", COUNT}, {"offset", SIZE},    {"params", OBJECT},
             {"engine", STRING}, {"engine_version", STRING}, {"model", STRING}, {"device", STRING},  {"framework", STRING}, {"told_later", BOOLEAN},
             {"like", SIZE}, {"path", STRING}, {"sample_xxh3", HASH}};

static bool is_of_kind(kind k, const char *text, size_t length) {
    char digits[24];
    if (k == HASH)
        return text[0] == 'n' || (length == 18 && text[0] == '"' && strspn(text + 1, "0123456789abcdef") == 16);
    const bool is_number = length > 0 && length < sizeof digits && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'));
    if (!is_number)
        return (k == STRING && text[0] == '"') || (k == BOOLEAN && (text[0] == 't' || text[0] == 'f')) || (k == OBJECT && text[0] == '{') || text[0] == 'n';
    memcpy(digits, text, length);
    digits[length] = '\0';
    if (digits[strspn(digits, "-0123456789")] != '\0')
        return false;
    const long long value = strtoll(digits, NULL, 10);
    return (k == LAYER && value >= -1 && value <= INT32_MAX) || (k == COUNT && value >= 0 && value <= UINT32_MAX) || (k == SIZE && value >= 0);
}

/* The value of a key that is not interpreted here ends at the current position. */
static lockstep_status check_kind(reading *r, const char *name, uint64_t begin) {
    static const char *const expected[] = {"a string", "true or false", "an object", "an integer from 0 to 2^32 - 1", "an integer from 0", "an integer from -1 to 2^31 - 1", "16 hexadecimal digits"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].key, name) == 0 && !is_of_kind(kinds[i].kind, r->json.text + begin, (size_t)(r->json.at - begin)))
            return ls_fail_at(r->error, LOCKSTEP_MALFORMED, file, begin, "found another value of '%s', expected %s", name, expected[kinds[i].kind]);
    return LOCKSTEP_OK;
}

static lockstep_status read_value(reading *r, key k) {
    ls_frame_content *c = &r->content;
    uint64_t count = 0;
    switch (k) {
    case KEY_EVENT:
        return ls_json_string(&r->json, "the event's name", &r->event, r->error);
    case KEY_ID:
        LS_TRY(read_count(r, "an id of 0 to 2^63 - 1", &count));
        c->id = (int64_t)count;
        return LOCKSTEP_OK;
    case KEY_PASS:
        LS_TRY(read_count(r, "a pass of 0 to 2^63 - 1", &count));
        c->pass = (int64_t)count;
        return LOCKSTEP_OK;
    case KEY_NAME:
        return ls_json_string(&r->json, "a name", &c->tensor.name, r->error);
    case KEY_OP:
        return ls_json_string(&r->json, "an operation", &c->tensor.op, r->error);
    case KEY_DTYPE:
        return ls_json_string(&r->json, "an element type", &c->tensor.dtype_name, r->error);
    case KEY_SHAPE:
        return read_shape(r);
    case KEY_OTHER:
        break;
    }
    return check_any(r, 0);
}

/* Makes room for one more member. */
static lockstep_status make_room(reading *r, uint64_t at) {
    ls_frame_content *c = &r->content;
    if (c->member_count == LS_FRAME_KEYS_MAX)
        return ls_fail_at(r->error, LOCKSTEP_LIMIT, file, at, "more than %d keys", LS_FRAME_KEYS_MAX);
    if (c->member_count < r->member_capacity)
        return LOCKSTEP_OK;
    size_t capacity = r->member_capacity == 0 ? 16 : 2 * r->member_capacity;
    ls_frame_member *more = ls_arena_array(r->json.arena, capacity, sizeof *more);
    if (more == NULL)
        return ls_fail(r->error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (c->member_count > 0)
        memcpy(more, c->members, c->member_count * sizeof *more);
    c->members = more;
    r->member_capacity = capacity;
    return LOCKSTEP_OK;
}

static lockstep_status add_member(reading *r, const char *name, uint64_t at) {
    ls_frame_content *c = &r->content;
    for (size_t i = 0; i < c->member_count; i++)
        if (strcmp(c->members[i].key, name) == 0)
            return ls_fail_at(r->error, LOCKSTEP_MALFORMED, file, at, "the key '%s' occurs twice", name);
    LS_TRY(make_room(r, at));
    key k = key_of(name);
    ls_json_peek(&r->json); /* skips white space */
    ls_frame_member *member = &c->members[c->member_count++];
    *member = (ls_frame_member){name, (size_t)r->json.at, 0};
    LS_TRY(read_value(r, k));
    member->end = (size_t)r->json.at;
    if (k == KEY_OTHER)
        return check_kind(r, name, member->begin);
    r->has[k] = true;
    return LOCKSTEP_OK;
}

static ls_event event_of(const char *name) {
    static const struct {
        const char *name;
        ls_event event;
    } events[] = {{"start", LS_EVENT_START},       {"pass", LS_EVENT_PASS},     {"rows", LS_EVENT_ROWS},
                  {"pass_end", LS_EVENT_PASS_END}, {"tensor", LS_EVENT_TENSOR}, {"resync", LS_EVENT_RESYNC},
                  {"note", LS_EVENT_NOTE},         {"model_file", LS_EVENT_MODEL_FILE},
                  {"end", LS_EVENT_END}};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (strcmp(events[i].name, name) == 0)
            return events[i].event;
    return LS_EVENT_OTHER;
}

static lockstep_status need(const reading *r, key k) {
    return r->has[k] ? LOCKSTEP_OK : ls_fail_at(r->error, LOCKSTEP_MALFORMED, file, r->json.size, "the key '%s' is missing", key_names[k]);
}

static bool is_weight(const reading *r) {
    static const char weight[] = "\"weight\"";
    const ls_frame_member *m = ls_frame_find(&r->content, "role");
    return m != NULL && m->end - m->begin == sizeof weight - 1 && memcmp(r->json.text + m->begin, weight, sizeof weight - 1) == 0;
}

/* One integer for each axis. */
static lockstep_status check_strides(const reading *r) {
    ls_frame_list list = ls_frame_list_of(&r->content, "strides");
    const ls_frame_member *member = ls_frame_find(&r->content, "strides");
    size_t count = 0;
    bool whole, all = true;
    int64_t value;
    for (; ls_frame_list_next(&list, &whole, &value); count++)
        all = all && whole;
    if (member == NULL || (all && count == r->content.tensor.axes))
        return LOCKSTEP_OK;
    return ls_fail_at(r->error, LOCKSTEP_MALFORMED, file, member->begin, "found another value of 'strides', expected a list of integers, one for each axis");
}

/* Data of a type that can't be decoded may have any size, and without data, any type and shape are valid. */
static lockstep_status check_tensor(reading *r, uint64_t data_bytes) {
    ls_frame_tensor *t = &r->content.tensor;
    static const key needed[] = {KEY_ID, KEY_NAME, KEY_DTYPE, KEY_SHAPE};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        LS_TRY(need(r, needed[i]));
    if (!is_weight(r))
        LS_TRY(need(r, KEY_PASS));
    LS_TRY(check_strides(r));
    uint64_t inner = t->rank > 0 ? t->shape[t->rank - 1] : 1;
    if (!ls_dtype_find(t->dtype_name, &t->dtype) || t->dtype == LOCKSTEP_OPAQUE)
        t->dtype = LOCKSTEP_OPAQUE;
    else if (!ls_dtype_bytes(t->dtype, t->elements, inner, &t->bytes) && data_bytes != 0)
        return ls_fail_at(r->error, LOCKSTEP_MALFORMED, file, LOCKSTEP_NO_OFFSET, "its shape does not fit %s", t->dtype_name);
    else if (t->bytes == 0 && t->elements != 0)
        t->dtype = LOCKSTEP_OPAQUE;
    if (t->dtype != LOCKSTEP_OPAQUE && data_bytes != 0 && data_bytes != t->bytes)
        return ls_fail_at(r->error, LOCKSTEP_MALFORMED, file, LOCKSTEP_NO_OFFSET, "%llu bytes of data, expected %llu",
                          (unsigned long long)data_bytes, (unsigned long long)t->bytes);
    return LOCKSTEP_OK;
}

static lockstep_status check_event(reading *r, uint64_t data_bytes) {
    LS_TRY(need(r, KEY_EVENT));
    r->content.event = event_of(r->event);
    switch (r->content.event) {
    case LS_EVENT_TENSOR:
        return check_tensor(r, data_bytes);
    case LS_EVENT_PASS:
    case LS_EVENT_ROWS:
    case LS_EVENT_PASS_END:
        return need(r, KEY_PASS);
    case LS_EVENT_RESYNC:
        return need(r, KEY_ID);
    case LS_EVENT_OTHER:
    case LS_EVENT_START:
    case LS_EVENT_NOTE:
    case LS_EVENT_MODEL_FILE:
    case LS_EVENT_END:
        break;
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_frame_read(const char *json, size_t json_bytes, uint64_t data_bytes, ls_arena *arena,
                              ls_frame_content *out_content, lockstep_error *error) {
    reading r = {.json = {.text = json, .size = json_bytes, .file = file, .arena = arena}, .error = error};
    const char *name;
    uint64_t at;
    r.content.text = json;
    r.content.pass = -1;
    r.content.tensor.op = "";
    LS_TRY(ls_json_begin(&r.json, '{', "an object", error));
    LS_TRY(ls_json_key(&r.json, &name, &at, error));
    while (name != NULL) {
        LS_TRY(add_member(&r, name, at));
        LS_TRY(ls_json_key(&r.json, &name, &at, error));
    }
    LS_TRY(ls_json_end(&r.json, error));
    LS_TRY(check_event(&r, data_bytes));
    *out_content = r.content;
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------- members */

const ls_frame_member *ls_frame_find(const ls_frame_content *content, const char *name) {
    for (size_t i = 0; i < content->member_count; i++)
        if (strcmp(content->members[i].key, name) == 0)
            return &content->members[i];
    return NULL;
}

static ls_json value_of(const ls_frame_content *content, const ls_frame_member *member, ls_arena *arena) {
    return (ls_json){.text = content->text, .size = member->end, .at = member->begin, .file = file, .arena = arena};
}

const char *ls_frame_string(const ls_frame_content *content, const char *name, ls_arena *arena) {
    const ls_frame_member *member = ls_frame_find(content, name);
    lockstep_error error;
    const char *text = NULL;
    if (member == NULL)
        return NULL;
    ls_json value = value_of(content, member, arena);
    return ls_json_peek(&value) == '"' && ls_json_string(&value, "a string", &text, &error) == LOCKSTEP_OK ? text : NULL;
}

ls_frame_list ls_frame_list_of(const ls_frame_content *content, const char *name) {
    const ls_frame_member *member = ls_frame_find(content, name);
    ls_frame_list list = {.left = member != NULL};
    lockstep_error error;
    if (member == NULL)
        return list;
    list.json = value_of(content, member, NULL);
    list.left = ls_json_peek(&list.json) == '[' && ls_json_begin(&list.json, '[', "a list", &error) == LOCKSTEP_OK &&
                ls_json_more(&list.json, ']', &list.left, &error) == LOCKSTEP_OK && list.left;
    return list;
}

/* Reads an integer: digits, perhaps after a sign. The text is a JSON value; a number has been checked for its range. */
static bool whole_number(const char *text, size_t length, int64_t *out) {
    const bool negative = length > 0 && text[0] == '-';
    uint64_t value = 0;
    if (length == (size_t)negative)
        return false;
    for (size_t i = negative; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *out = (int64_t)(negative ? -value : value);
    return true;
}

bool ls_frame_integer(const ls_frame_content *content, const char *name, int64_t *out) {
    const ls_frame_member *member = ls_frame_find(content, name);
    return member != NULL && whole_number(content->text + member->begin, member->end - member->begin, out);
}

bool ls_frame_list_next(ls_frame_list *list, bool *out_whole, int64_t *out_number) {
    lockstep_error error;
    const char *text;
    size_t length;
    if (!list->left)
        return false;
    const char c = ls_json_peek(&list->json);
    const bool number = c == '-' || (c >= '0' && c <= '9');
    const lockstep_status read = number ? ls_json_take_number(&list->json, &text, &length, &error) : ls_json_skip(&list->json, &error);
    *out_whole = number && read == LOCKSTEP_OK && whole_number(text, length, out_number);
    list->left = read == LOCKSTEP_OK && ls_json_more(&list->json, ']', &list->left, &error) == LOCKSTEP_OK && list->left;
    return true;
}

void ls_frame_put_value(ls_text *line, const ls_frame_content *content, const ls_frame_member *member) {
    const char *text = content->text;
    size_t kept = member->begin; /* text from here on is not yet written */
    bool quoted = false;
    for (size_t i = member->begin; i < member->end; i++) {
        if (text[i] == '"') {
            quoted = !quoted;
        } else if (quoted) {
            i += text[i] == '\\'; /* the escaped character may be a quote */
        } else if (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r')) {
            ls_text_append(line, text + kept, i - kept);
            kept = i + 1;
        }
    }
    ls_text_append(line, text + kept, member->end - kept);
}

void ls_frame_put_member(ls_text *line, const ls_frame_content *content, const ls_frame_member *member) {
    ls_text_append(line, ",", 1);
    ls_text_json(line, member->key, strlen(member->key));
    ls_text_append(line, ":", 1);
    ls_frame_put_value(line, content, member);
}
