/* Pickle, protocol 2 (Python's pickletools.py): a stack machine. An opcode is a
 * byte, followed by its argument:
 *
 *   80 u8 PROTO        '.' STOP           '(' MARK
 *   N NONE   88 NEWTRUE   89 NEWFALSE     K u8  M u16  J i32 BININT   8a u8 n LONG1
 *   G f64 big endian BINFLOAT             X u32 n BINUNICODE
 *   ) EMPTY_TUPLE  85 86 87 TUPLE1..3  t TUPLE      ] EMPTY_LIST  a APPEND  e APPENDS
 *   } EMPTY_DICT  s SETITEM  u SETITEMS             Q BINPERSID
 *   q u8 BINPUT  r u32 LONG_BINPUT  h u8 BINGET  j u32 LONG_BINGET
 *   c module\n name\n GLOBAL   R REDUCE   81 NEWOBJ   b BUILD
 *
 * Integers are little endian. These are the opcodes that torch.save writes; all others are
 * refused. Only these opcodes change containers, and only those on the stack, so all nodes
 * are complete once STOP is reached. */
#include "format/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

enum { MAX_STACK = 1 << 20, MAX_MARKS = 1000, MAX_GLOBAL = 200 };

typedef struct machine {
    ls_cursor c;
    ls_arena *arena;
    const ls_pickle_global *globals;
    uint64_t nodes, node_limit;
    ls_pickle_node **stack;
    size_t count, capacity;
    size_t marks[MAX_MARKS]; /* heights of the stack */
    size_t mark_count;
    ls_pickle_node **memo; /* without gaps, because picklers number them consecutively */
    size_t memo_count, memo_capacity;
    uint64_t at;      /* offset of the opcode */
    const char *name; /* of the opcode */
    bool stopped;
} machine;

#define FAIL(m, error, status, ...) ls_fail_at(error, status, (m)->c.file, (m)->at, __VA_ARGS__)

static lockstep_status fail_memory(const machine *m, lockstep_error *error) {
    return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", m->c.file);
}

const char *ls_pickle_kind_text(const ls_pickle_node *node) {
    static const char *const texts[] = {"None", "a bool", "an int", "an int", "a float", "a string",
                                        "a tuple", "a list", "a dict", "a global", "an object",
                                        "a storage"};
    return texts[node->kind];
}

/* --- stack */

static lockstep_status reserve(const machine *m, ls_pickle_node ***array, size_t count,
                               size_t *capacity, lockstep_error *error) {
    if (count < *capacity)
        return LOCKSTEP_OK;
    size_t larger = *capacity == 0 ? 256 : *capacity * 2;
    ls_pickle_node **moved = reallocarray(*array, larger, sizeof **array);
    if (moved == NULL)
        return fail_memory(m, error);
    *array = moved;
    *capacity = larger;
    return LOCKSTEP_OK;
}

static lockstep_status push(machine *m, ls_pickle_node *node, lockstep_error *error) {
    if (m->count == MAX_STACK)
        return FAIL(m, error, LOCKSTEP_LIMIT, "pickle: found more than %d values on the stack",
                    MAX_STACK);
    LS_TRY(reserve(m, &m->stack, m->count, &m->capacity, error));
    m->stack[m->count++] = node;
    return LOCKSTEP_OK;
}

static lockstep_status push_new(machine *m, ls_pickle_kind kind, ls_pickle_node **out,
                                lockstep_error *error) {
    if (m->nodes == m->node_limit)
        return FAIL(m, error, LOCKSTEP_LIMIT,
                    "pickle: found more than %llu objects, expected fewer in a file of this size",
                    (unsigned long long)m->node_limit);
    ls_pickle_node *node = ls_arena_alloc(m->arena, sizeof *node);
    if (node == NULL)
        return fail_memory(m, error);
    m->nodes++;
    node->kind = (uint8_t)kind;
    node->where = (uint32_t)m->at;
    LS_TRY(push(m, node, error));
    *out = node;
    return LOCKSTEP_OK;
}

/* How many values are above the last mark. */
static size_t available(const machine *m) {
    return m->count - (m->mark_count > 0 ? m->marks[m->mark_count - 1] : 0);
}

static lockstep_status need(const machine *m, size_t wanted, lockstep_error *error) {
    if (available(m) < wanted)
        return FAIL(m, error, LOCKSTEP_MALFORMED,
                    "pickle: %s found %zu values on the stack, expected at least %zu", m->name,
                    available(m), wanted);
    return LOCKSTEP_OK;
}

static lockstep_status need_kind(const machine *m, const ls_pickle_node *node, ls_pickle_kind kind,
                                 const char *expected, lockstep_error *error) {
    if (node->kind != kind)
        return FAIL(m, error, LOCKSTEP_MALFORMED, "pickle: %s found %s, expected %s", m->name,
                    ls_pickle_kind_text(node), expected);
    return LOCKSTEP_OK;
}

/* Removes the last mark; the values above it begin at *out_first. */
static lockstep_status pop_mark(machine *m, size_t *out_first, lockstep_error *error) {
    if (m->mark_count == 0)
        return FAIL(m, error, LOCKSTEP_MALFORMED, "pickle: %s found no MARK", m->name);
    *out_first = m->marks[--m->mark_count];
    return LOCKSTEP_OK;
}

/* Moves the stack's values from `first` on to the end of a container's items. */
static lockstep_status take(machine *m, ls_pickle_node *to, size_t first, lockstep_error *error) {
    size_t more = m->count - first, wanted = to->as.list.count + more; /* below 2^32, as the pickle's size is */
    if (wanted > to->as.list.capacity) {
        size_t capacity = wanted > 2 * (size_t)to->as.list.capacity ? wanted : 2 * (size_t)to->as.list.capacity;
        ls_pickle_node **items = ls_arena_array(m->arena, capacity, sizeof *items);
        if (items == NULL)
            return fail_memory(m, error);
        if (to->as.list.count > 0)
            memcpy(items, to->as.list.items, to->as.list.count * sizeof *items);
        to->as.list.items = items;
        to->as.list.capacity = (uint32_t)capacity;
    }
    if (more > 0)
        memcpy(to->as.list.items + to->as.list.count, m->stack + first, more * sizeof *m->stack);
    to->as.list.count = (uint32_t)wanted;
    m->count = first;
    return LOCKSTEP_OK;
}

/* --- constants */

static lockstep_status run_mark(machine *m, lockstep_error *error) {
    if (m->mark_count == MAX_MARKS)
        return FAIL(m, error, LOCKSTEP_LIMIT, "pickle: found more than %d open MARKs", MAX_MARKS);
    m->marks[m->mark_count++] = m->count;
    return LOCKSTEP_OK;
}

static lockstep_status run_none(machine *m, lockstep_error *error) {
    ls_pickle_node *node;
    return push_new(m, LS_PICKLE_NONE, &node, error);
}

static lockstep_status push_bool(machine *m, bool value, lockstep_error *error) {
    ls_pickle_node *node;
    LS_TRY(push_new(m, LS_PICKLE_BOOL, &node, error));
    node->as.b = value;
    return LOCKSTEP_OK;
}

static lockstep_status run_true(machine *m, lockstep_error *error) { return push_bool(m, true, error); }
static lockstep_status run_false(machine *m, lockstep_error *error) { return push_bool(m, false, error); }

static lockstep_status push_int(machine *m, int64_t value, lockstep_error *error) {
    ls_pickle_node *node;
    LS_TRY(push_new(m, LS_PICKLE_INT, &node, error));
    node->as.i = value;
    return LOCKSTEP_OK;
}

static lockstep_status run_u8(machine *m, lockstep_error *error) {
    uint8_t value;
    LS_TRY(ls_cursor_u8(&m->c, m->name, &value, error));
    return push_int(m, value, error);
}

static lockstep_status run_u16(machine *m, lockstep_error *error) {
    uint16_t value;
    LS_TRY(ls_cursor_u16(&m->c, m->name, &value, error));
    return push_int(m, value, error);
}

static lockstep_status run_i32(machine *m, lockstep_error *error) {
    uint32_t value;
    LS_TRY(ls_cursor_u32(&m->c, m->name, &value, error));
    return push_int(m, (int32_t)value, error);
}

/* Two's complement, little endian; large unsigned integers have a ninth byte of 0. */
/* Pushes an integer beyond 64 bits as a double. Two's complement, little endian. */
static lockstep_status push_long(machine *m, const uint8_t *bytes, uint8_t length, lockstep_error *error) {
    bool negative = (bytes[length - 1] & 0x80) != 0;
    double value = 0;
    ls_pickle_node *node;
    for (int i = length; i-- > 0;)
        value = value * 256 + (negative ? 255 - bytes[i] : bytes[i]);
    LS_TRY(push_new(m, LS_PICKLE_FLOAT, &node, error));
    node->as.f = negative ? -value - 1 : value;
    return LOCKSTEP_OK;
}

static lockstep_status run_long1(machine *m, lockstep_error *error) {
    uint8_t length;
    const uint8_t *bytes;
    uint64_t value = 0;
    LS_TRY(ls_cursor_u8(&m->c, m->name, &length, error));
    LS_TRY(ls_cursor_bytes(&m->c, length, m->name, &bytes, error));
    if (length > 9 || (length == 9 && bytes[8] != 0))
        return push_long(m, bytes, length, error);
    for (int i = 0; i < length && i < 8; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    if (length > 0 && length < 8 && (bytes[length - 1] & 0x80) != 0)
        value |= ~UINT64_C(0) << 8 * length;
    LS_TRY(push_int(m, (int64_t)value, error));
    if (length == 9) {
        m->stack[m->count - 1]->kind = LS_PICKLE_UINT;
        m->stack[m->count - 1]->as.u = value;
    }
    return LOCKSTEP_OK;
}

static lockstep_status run_float(machine *m, lockstep_error *error) {
    const uint8_t *bytes;
    ls_pickle_node *node;
    uint64_t bits = 0;
    LS_TRY(ls_cursor_bytes(&m->c, 8, m->name, &bytes, error));
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | bytes[i];
    LS_TRY(push_new(m, LS_PICKLE_FLOAT, &node, error));
    memcpy(&node->as.f, &bits, sizeof bits);
    return LOCKSTEP_OK;
}

static lockstep_status run_text(machine *m, lockstep_error *error) {
    uint32_t length;
    const uint8_t *bytes;
    ls_pickle_node *node;
    LS_TRY(ls_cursor_u32(&m->c, m->name, &length, error));
    LS_TRY(ls_cursor_bytes(&m->c, length, m->name, &bytes, error));
    LS_TRY(push_new(m, LS_PICKLE_TEXT, &node, error));
    node->as.text.bytes = (const char *)bytes;
    node->as.text.length = length;
    return LOCKSTEP_OK;
}

/* --- containers */

static lockstep_status push_tuple(machine *m, size_t first, lockstep_error *error) {
    ls_pickle_node *node;
    LS_TRY(push_new(m, LS_PICKLE_TUPLE, &node, error));
    m->count--; /* its items are below it on the stack */
    LS_TRY(take(m, node, first, error));
    return push(m, node, error);
}

static lockstep_status push_tuple_of(machine *m, size_t items, lockstep_error *error) {
    LS_TRY(need(m, items, error));
    return push_tuple(m, m->count - items, error);
}

static lockstep_status run_tuple0(machine *m, lockstep_error *error) { return push_tuple_of(m, 0, error); }
static lockstep_status run_tuple1(machine *m, lockstep_error *error) { return push_tuple_of(m, 1, error); }
static lockstep_status run_tuple2(machine *m, lockstep_error *error) { return push_tuple_of(m, 2, error); }
static lockstep_status run_tuple3(machine *m, lockstep_error *error) { return push_tuple_of(m, 3, error); }

static lockstep_status run_tuple(machine *m, lockstep_error *error) {
    size_t first = 0;
    LS_TRY(pop_mark(m, &first, error));
    return push_tuple(m, first, error);
}

static lockstep_status run_empty_list(machine *m, lockstep_error *error) {
    ls_pickle_node *node;
    return push_new(m, LS_PICKLE_LIST, &node, error);
}

static lockstep_status run_empty_dict(machine *m, lockstep_error *error) {
    ls_pickle_node *node;
    return push_new(m, LS_PICKLE_DICT, &node, error);
}

/* Adds the stack's values from `first` on to the container just below them. */
static lockstep_status add_items(machine *m, ls_pickle_kind kind, size_t first,
                                 lockstep_error *error) {
    if (kind == LS_PICKLE_DICT && (m->count - first) % 2 != 0)
        return FAIL(m, error, LOCKSTEP_MALFORMED,
                    "pickle: %s found %zu values, expected pairs of key and value", m->name,
                    m->count - first);
    ls_pickle_node *to = m->stack[first - 1];
    LS_TRY(need_kind(m, to, kind, kind == LS_PICKLE_DICT ? "a dict" : "a list", error));
    return take(m, to, first, error);
}

static lockstep_status run_append(machine *m, lockstep_error *error) {
    LS_TRY(need(m, 2, error));
    return add_items(m, LS_PICKLE_LIST, m->count - 1, error);
}

static lockstep_status run_setitem(machine *m, lockstep_error *error) {
    LS_TRY(need(m, 3, error));
    return add_items(m, LS_PICKLE_DICT, m->count - 2, error);
}

static lockstep_status add_marked(machine *m, ls_pickle_kind kind, lockstep_error *error) {
    size_t first = 0;
    LS_TRY(pop_mark(m, &first, error));
    LS_TRY(need(m, m->count - first + 1, error)); /* the container itself, which must not be below another mark */
    return add_items(m, kind, first, error);
}

static lockstep_status run_appends(machine *m, lockstep_error *error) {
    return add_marked(m, LS_PICKLE_LIST, error);
}

static lockstep_status run_setitems(machine *m, lockstep_error *error) {
    return add_marked(m, LS_PICKLE_DICT, error);
}

/* --- memo */

static lockstep_status memo_put(machine *m, size_t index, lockstep_error *error) {
    LS_TRY(need(m, 1, error));
    if (index > m->memo_count)
        return FAIL(m, error, LOCKSTEP_MALFORMED, "pickle: %s found memo %zu, expected at most %zu",
                    m->name, index, m->memo_count);
    LS_TRY(reserve(m, &m->memo, m->memo_count, &m->memo_capacity, error));
    m->memo[index] = m->stack[m->count - 1];
    m->memo_count += index == m->memo_count;
    return LOCKSTEP_OK;
}

static lockstep_status memo_get(machine *m, size_t index, lockstep_error *error) {
    if (index >= m->memo_count)
        return FAIL(m, error, LOCKSTEP_MALFORMED,
                    "pickle: %s found memo %zu, expected one of the %zu that were put", m->name, index,
                    m->memo_count);
    return push(m, m->memo[index], error);
}

static lockstep_status run_put(machine *m, lockstep_error *error) {
    uint8_t index;
    LS_TRY(ls_cursor_u8(&m->c, m->name, &index, error));
    return memo_put(m, index, error);
}

static lockstep_status run_long_put(machine *m, lockstep_error *error) {
    uint32_t index;
    LS_TRY(ls_cursor_u32(&m->c, m->name, &index, error));
    return memo_put(m, index, error);
}

static lockstep_status run_get(machine *m, lockstep_error *error) {
    uint8_t index;
    LS_TRY(ls_cursor_u8(&m->c, m->name, &index, error));
    return memo_get(m, index, error);
}

static lockstep_status run_long_get(machine *m, lockstep_error *error) {
    uint32_t index;
    LS_TRY(ls_cursor_u32(&m->c, m->name, &index, error));
    return memo_get(m, index, error);
}

/* --- objects */

/* Appends a line to a global's name and ends it with `end`. */
static lockstep_status read_line(machine *m, char name[MAX_GLOBAL], size_t *length, char end,
                                 lockstep_error *error) {
    for (;;) {
        uint8_t byte;
        LS_TRY(ls_cursor_u8(&m->c, m->name, &byte, error));
        if (byte != '\n' && *length >= MAX_GLOBAL - 2)
            return FAIL(m, error, LOCKSTEP_LIMIT, "pickle: found a global's name longer than %d bytes",
                        MAX_GLOBAL);
        name[(*length)++] = byte == '\n' ? end : (char)byte;
        if (byte == '\n')
            return LOCKSTEP_OK;
    }
}

static lockstep_status run_global(machine *m, lockstep_error *error) {
    char name[MAX_GLOBAL];
    size_t length = 0;
    ls_pickle_node *node;
    LS_TRY(read_line(m, name, &length, '.', error));
    LS_TRY(read_line(m, name, &length, '\0', error));
    const ls_pickle_global *global = m->globals;
    while (global->name != NULL &&
           (strlen(global->name) != length - 1 || memcmp(global->name, name, length) != 0))
        global++;
    if (global->name == NULL)
        return FAIL(m, error, LOCKSTEP_UNSUPPORTED,
                    "pickle: found the global '%.*s', which is not among those that tensors need "
                    "(nothing was called; save tensors, or dicts and lists of them)", (int)(length - 1), name);
    LS_TRY(push_new(m, LS_PICKLE_GLOBAL, &node, error));
    node->as.global = global;
    return LOCKSTEP_OK;
}

/* REDUCE, and NEWOBJ, where the class takes the place of the function. */
static lockstep_status run_call(machine *m, lockstep_error *error) {
    LS_TRY(need(m, 2, error));
    ls_pickle_node *callee = m->stack[m->count - 2], *arguments = m->stack[m->count - 1], *node;
    LS_TRY(need_kind(m, callee, LS_PICKLE_GLOBAL, "a global to call", error));
    LS_TRY(need_kind(m, arguments, LS_PICKLE_TUPLE, "a tuple of arguments", error));
    const ls_pickle_global *global = callee->as.global;
    if (global->role == LS_PICKLE_VALUE ||
        (global->role == LS_PICKLE_NEW_DICT && arguments->as.list.count != 0))
        return FAIL(m, error, LOCKSTEP_UNSUPPORTED,
                    "pickle: %s found '%s' with %u arguments, which tensors don't need", m->name,
                    global->name, arguments->as.list.count);
    m->count -= 2;
    bool is_dict = global->role == LS_PICKLE_NEW_DICT;
    LS_TRY(push_new(m, is_dict ? LS_PICKLE_DICT : LS_PICKLE_CALL, &node, error));
    node->has_state = is_dict;
    if (!is_dict) {
        node->as.call.function = global;
        node->as.call.arguments = arguments;
    }
    return LOCKSTEP_OK;
}

/* Drops the attributes of an OrderedDict (a state_dict's _metadata). */
static lockstep_status run_build(machine *m, lockstep_error *error) {
    LS_TRY(need(m, 2, error));
    const ls_pickle_node *to = m->stack[m->count - 2];
    if (to->kind != LS_PICKLE_DICT || !to->has_state)
        return FAIL(m, error, LOCKSTEP_UNSUPPORTED, "pickle: BUILD found %s, expected an OrderedDict",
                    ls_pickle_kind_text(to));
    LS_TRY(need_kind(m, m->stack[m->count - 1], LS_PICKLE_DICT, "a dict of attributes", error));
    m->count--;
    return LOCKSTEP_OK;
}

static lockstep_status run_persistent(machine *m, lockstep_error *error) {
    ls_pickle_node *node;
    LS_TRY(need(m, 1, error));
    const ls_pickle_node *id = m->stack[m->count - 1];
    LS_TRY(need_kind(m, id, LS_PICKLE_TUPLE, "a tuple", error));
    m->count--;
    LS_TRY(push_new(m, LS_PICKLE_PERSISTENT, &node, error));
    node->as.persistent = id;
    return LOCKSTEP_OK;
}

static lockstep_status run_protocol(machine *m, lockstep_error *error) {
    uint8_t version;
    LS_TRY(ls_cursor_u8(&m->c, m->name, &version, error));
    if (m->at != 0 || version != 2)
        return FAIL(m, error, LOCKSTEP_UNSUPPORTED,
                    "pickle: found protocol %u, expected 2, once, at the start", version);
    return LOCKSTEP_OK;
}

static lockstep_status run_stop(machine *m, lockstep_error *error) {
    if (m->count != 1 || m->mark_count != 0)
        return FAIL(m, error, LOCKSTEP_MALFORMED,
                    "pickle: STOP found %zu values on the stack and %zu open MARKs, expected 1 and 0",
                    m->count, m->mark_count);
    if (ls_cursor_left(&m->c) != 0)
        return FAIL(m, error, LOCKSTEP_MALFORMED, "pickle: STOP found %llu bytes after it, expected none",
                    (unsigned long long)ls_cursor_left(&m->c));
    m->stopped = true;
    return LOCKSTEP_OK;
}

/* --- the machine */

static const struct {
    const char *name;
    lockstep_status (*run)(machine *m, lockstep_error *error); /* NULL if known, but refused */
} opcodes[256] = {
    ['('] = {"MARK", run_mark},
    [')'] = {"EMPTY_TUPLE", run_tuple0},
    ['.'] = {"STOP", run_stop},
    ['}'] = {"EMPTY_DICT", run_empty_dict},
    [']'] = {"EMPTY_LIST", run_empty_list},
    ['G'] = {"BINFLOAT", run_float},
    ['J'] = {"BININT", run_i32},
    ['K'] = {"BININT1", run_u8},
    ['M'] = {"BININT2", run_u16},
    ['N'] = {"NONE", run_none},
    ['Q'] = {"BINPERSID", run_persistent},
    ['R'] = {"REDUCE", run_call},
    ['X'] = {"BINUNICODE", run_text},
    ['a'] = {"APPEND", run_append},
    ['b'] = {"BUILD", run_build},
    ['c'] = {"GLOBAL", run_global},
    ['e'] = {"APPENDS", run_appends},
    ['h'] = {"BINGET", run_get},
    ['j'] = {"LONG_BINGET", run_long_get},
    ['q'] = {"BINPUT", run_put},
    ['r'] = {"LONG_BINPUT", run_long_put},
    ['s'] = {"SETITEM", run_setitem},
    ['t'] = {"TUPLE", run_tuple},
    ['u'] = {"SETITEMS", run_setitems},
    [0x80] = {"PROTO", run_protocol},
    [0x81] = {"NEWOBJ", run_call},
    [0x85] = {"TUPLE1", run_tuple1},
    [0x86] = {"TUPLE2", run_tuple2},
    [0x87] = {"TUPLE3", run_tuple3},
    [0x88] = {"NEWTRUE", run_true},
    [0x89] = {"NEWFALSE", run_false},
    [0x8a] = {"LONG1", run_long1},
    ['i'] = {"INST", NULL},
    ['o'] = {"OBJ", NULL},
    ['P'] = {"PERSID", NULL},
    [0x82] = {"EXT1", NULL},
    [0x83] = {"EXT2", NULL},
    [0x84] = {"EXT4", NULL},
    [0x92] = {"NEWOBJ_EX", NULL},
    [0x93] = {"STACK_GLOBAL", NULL},
};

static lockstep_status run(machine *m, lockstep_error *error) {
    while (!m->stopped) {
        uint8_t code;
        m->at = ls_cursor_offset(&m->c);
        LS_TRY(ls_cursor_u8(&m->c, "pickle: opcode", &code, error));
        m->name = opcodes[code].name;
        if (m->at == 0 && code != 0x80)
            return FAIL(m, error, LOCKSTEP_UNSUPPORTED,
                        "pickle: found the byte 0x%02x, expected protocol 2 (80 02)", code);
        if (opcodes[code].run == NULL)
            return FAIL(m, error, LOCKSTEP_UNSUPPORTED,
                        "pickle: found the opcode 0x%02x%s%s, which torch.save doesn't write", code,
                        m->name != NULL ? " " : "", m->name != NULL ? m->name : "");
        LS_TRY(opcodes[code].run(m, error));
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_pickle_read(ls_source *source, const ls_pickle_global *globals,
                               uint64_t node_limit, ls_arena *arena, ls_pickle_node **out_root,
                               lockstep_error *error) {
    const uint8_t *bytes;
    if (source->size > LS_PICKLE_LIMIT)
        return ls_fail(error, LOCKSTEP_LIMIT, "%s: found a pickle of %llu bytes, expected at most %d",
                       source->name, (unsigned long long)source->size, LS_PICKLE_LIMIT);
    LS_TRY(ls_source_bytes(source, &bytes, error));
    machine *m = calloc(1, sizeof *m);
    if (m == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", source->name);
    *m = (machine){.c = {.bytes = bytes, .size = source->size, .file = source->name},
                   .arena = arena, .globals = globals, .node_limit = node_limit};
    lockstep_status status = run(m, error);
    if (status == LOCKSTEP_OK)
        *out_root = m->stack[0];
    free(m->stack);
    free(m->memo);
    free(m);
    return status;
}
