/* NPY (numpy/lib/_format_impl.py):
 *
 *   93 'NUMPY'  major u8  minor u8 (0)
 *   header length: u16 in version 1, u32 in 2 and 3, little endian
 *   header: a Python dict literal with exactly the keys descr, fortran_order and
 *       shape, then spaces and a newline; latin1, in version 3 UTF-8
 *   elements, row-major, or column-major when fortran_order is True
 *
 * descr is a type string, a (type, shape) tuple or a list of fields. Types that this
 * library doesn't decode are opaque bytes to it. Objects ('O') are pickles, which are
 * programs, and are refused wherever they occur. */
#include <ctype.h>
#include <string.h>

#include "base/checked.h"
#include "format/npy.h"
#include "format/formats.h"
#include "format/paths.h"

enum { MAX_DEPTH = 16, MAGIC_SIZE = 8 };

/* A position in the dict literal. */
typedef struct literal {
    const char *p, *begin, *end;
    const ls_npy_place *place;
    uint64_t offset; /* of begin in the file */
    ls_arena *arena;
    lockstep_error *error;
} literal;

/* An element type as given by descr. */
typedef struct item {
    lockstep_dtype dtype;
    bool swap;
    uint64_t bytes;
    const char *spelled;
} item;

static uint64_t offset_at(const literal *l, const char *p) {
    return l->offset + (uint64_t)(p - l->begin);
}

static lockstep_status fail(const literal *l, const char *at, const char *expected) {
    int shown = l->end - at > 24 ? 24 : (int)(l->end - at);
    return ls_fail_at(l->error, LOCKSTEP_MALFORMED, l->place->file, offset_at(l, at),
                      "NPY header: found '%.*s', expected %s", shown, at, expected);
}

static char peek(literal *l) {
    while (l->p < l->end && (*l->p == ' ' || *l->p == '\t' || *l->p == '\n' || *l->p == '\r'))
        l->p++;
    return l->p < l->end ? *l->p : '\0';
}

static bool take(literal *l, char c) {
    if (peek(l) != c)
        return false;
    l->p++;
    return true;
}

static bool take_word(literal *l, const char *word) {
    size_t length = strlen(word);
    peek(l);
    if ((size_t)(l->end - l->p) < length || memcmp(l->p, word, length) != 0)
        return false;
    l->p += length;
    return true;
}

/* Reads a quoted string. Escapes are refused, because no writer uses them in keys or types. */
static lockstep_status read_string(literal *l, const char *expected, const char **out,
                                   size_t *out_length) {
    char quote = peek(l);
    if (quote == 'u' || quote == 'b') { /* Python 2 */
        l->p++;
        quote = l->p < l->end ? *l->p : '\0';
    }
    if (quote != '\'' && quote != '"')
        return fail(l, l->p, expected);
    const char *start = ++l->p;
    while (l->p < l->end && *l->p != quote && *l->p != '\\' && *l->p != '\0')
        l->p++;
    if (l->p == l->end || *l->p != quote)
        return fail(l, start, "a closing quote without escapes before it");
    *out = start;
    *out_length = (size_t)(l->p++ - start);
    return LOCKSTEP_OK;
}

static lockstep_status read_uint(literal *l, const char *expected, uint64_t *out) {
    peek(l);
    const char *start = l->p;
    uint64_t value = 0;
    for (; l->p < l->end && isdigit((unsigned char)*l->p); l->p++)
        if (!ls_mul_u64(value, 10, &value) || !ls_add_u64(value, (uint64_t)(*l->p - '0'), &value))
            return ls_fail_at(l->error, LOCKSTEP_LIMIT, l->place->file, offset_at(l, start),
                              "NPY header: found a number beyond 64 bits");
    if (l->p == start)
        return fail(l, start, expected);
    if (l->p < l->end && *l->p == 'L') /* Python 2 */
        l->p++;
    *out = value;
    return LOCKSTEP_OK;
}

static lockstep_status read_shape(literal *l, int *out_rank, uint64_t shape[LOCKSTEP_MAX_RANK]) {
    int rank = 0;
    if (!take(l, '('))
        return fail(l, l->p, "a tuple of integers");
    while (!take(l, ')')) {
        const char *start = l->p;
        if (rank == LOCKSTEP_MAX_RANK)
            return ls_fail_at(l->error, LOCKSTEP_LIMIT, l->place->file, offset_at(l, start),
                              "NPY header: found more than %d axes, expected at most that many",
                              LOCKSTEP_MAX_RANK);
        LS_TRY(read_uint(l, "an axis of at least 0", &shape[rank]));
        rank++;
        if (!take(l, ',') && peek(l) != ')')
            return fail(l, l->p, "',' or ')'");
    }
    *out_rank = rank;
    return LOCKSTEP_OK;
}

static const struct {
    char kind;
    uint64_t size;
    lockstep_dtype dtype;
} decoded[] = {
    {'b', 1, LOCKSTEP_BOOL}, {'i', 1, LOCKSTEP_I8},   {'u', 1, LOCKSTEP_U8},
    {'i', 2, LOCKSTEP_I16},  {'u', 2, LOCKSTEP_U16},  {'i', 4, LOCKSTEP_I32},
    {'u', 4, LOCKSTEP_U32},  {'i', 8, LOCKSTEP_I64},  {'u', 8, LOCKSTEP_U64},
    {'f', 2, LOCKSTEP_F16},  {'f', 4, LOCKSTEP_F32},  {'f', 8, LOCKSTEP_F64},
    {'V', 2, LOCKSTEP_BF16}, /* how NumPy writes ml_dtypes.bfloat16 */
};

/* Reads a type string: "<f4", "|V2", "<U10", "<M8[ns]". */
static lockstep_status read_type(literal *l, item *out) {
    const char *text, *start;
    size_t length;
    peek(l);
    LS_TRY(read_string(l, "a type such as '<f4'", &text, &length));
    literal t = *l; /* for the string only */
    t.p = text;
    t.end = text + length;
    char order = t.p < t.end && strchr("<>|=", *t.p) != NULL ? *t.p++ : '=';
    char kind = t.p < t.end ? *t.p++ : '\0';
    start = t.p;
    *out = (item){LOCKSTEP_OPAQUE, false, 0, NULL};
    if (kind == 'O')
        return ls_fail_at(l->error, LOCKSTEP_UNSUPPORTED, l->place->file, offset_at(l, text),
                          "NPY header: found pickled objects ('O'), which are never loaded");
    if (kind == '\0' || strchr("biufcSUVmM?", kind) == NULL)
        return fail(l, text, "a type such as '<f4'");
    if (kind == '?' && t.p == t.end)
        kind = 'b', out->bytes = 1;
    else
        LS_TRY(read_uint(&t, "a type with its size", &out->bytes));
    if (out->bytes > INT32_MAX)
        return fail(l, start, "a size that fits 31 bits");
    if (t.p < t.end && !((kind == 'm' || kind == 'M') && *t.p == '[' && t.end[-1] == ']'))
        return fail(l, t.p, "the type's end");
    for (size_t i = 0; i < sizeof decoded / sizeof decoded[0]; i++)
        if (decoded[i].kind == kind && decoded[i].size == out->bytes)
            out->dtype = decoded[i].dtype;
    if (kind == 'U') /* counted in UCS-4 characters */
        out->bytes *= 4;
    out->swap = order == '>' && kind != 'V';
    out->spelled = ls_arena_printf(l->arena, "%.*s%s", (int)length, text,
                                   out->dtype == LOCKSTEP_BF16 ? " read as bf16" : "");
    return out->spelled != NULL ? LOCKSTEP_OK
                                : ls_fail(l->error, LOCKSTEP_NO_MEMORY, "%s: out of memory", l->place->file);
}

static lockstep_status read_descr(literal *l, int depth, item *out);

static lockstep_status scale(literal *l, const char *at, uint64_t *bytes, int rank,
                             const uint64_t *shape) {
    for (int i = 0; i < rank; i++)
        if (!ls_mul_u64(*bytes, shape[i], bytes) || *bytes > INT64_MAX / 8)
            return ls_fail_at(l->error, LOCKSTEP_LIMIT, l->place->file, offset_at(l, at),
                              "NPY header: the size of a type overflows 64 bits");
    return LOCKSTEP_OK;
}

/* Reads (name, type[, shape]) or ((title, name), type[, shape]). */
static lockstep_status read_field(literal *l, int depth, uint64_t *out_bytes) {
    const char *text, *start = l->p;
    size_t length;
    item type;
    if (!take(l, '('))
        return fail(l, l->p, "a field (name, type)");
    bool titled = take(l, '(');
    LS_TRY(read_string(l, "a field's name", &text, &length));
    if (titled) {
        if (!take(l, ','))
            return fail(l, l->p, "',' and a field's name");
        LS_TRY(read_string(l, "a field's name", &text, &length));
        if (!take(l, ')'))
            return fail(l, l->p, "')'");
    }
    if (!take(l, ','))
        return fail(l, l->p, "',' and a field's type");
    LS_TRY(read_descr(l, depth + 1, &type));
    if (take(l, ',') && peek(l) != ')') {
        uint64_t shape[LOCKSTEP_MAX_RANK];
        int rank = 0;
        LS_TRY(read_shape(l, &rank, shape));
        LS_TRY(scale(l, start, &type.bytes, rank, shape));
        take(l, ',');
    }
    if (!take(l, ')'))
        return fail(l, l->p, "')' after a field");
    *out_bytes = type.bytes;
    return LOCKSTEP_OK;
}

static lockstep_status read_struct(literal *l, int depth, item *out) {
    *out = (item){LOCKSTEP_OPAQUE, false, 0, "struct"};
    while (!take(l, ']')) {
        uint64_t bytes = 0;
        const char *start = l->p;
        LS_TRY(read_field(l, depth, &bytes));
        if (!ls_add_u64(out->bytes, bytes, &out->bytes) || out->bytes > INT64_MAX / 8)
            return ls_fail_at(l->error, LOCKSTEP_LIMIT, l->place->file, offset_at(l, start),
                              "NPY header: the size of a struct overflows 64 bits");
        if (!take(l, ',') && peek(l) != ']')
            return fail(l, l->p, "',' or ']'");
    }
    return LOCKSTEP_OK;
}

static lockstep_status read_descr(literal *l, int depth, item *out) {
    if (depth > MAX_DEPTH)
        return ls_fail_at(l->error, LOCKSTEP_LIMIT, l->place->file, offset_at(l, l->p),
                          "NPY header: found types nested deeper than %d", MAX_DEPTH);
    peek(l);
    const char *start = l->p;
    if (take(l, '['))
        return read_struct(l, depth, out);
    if (!take(l, '('))
        return read_type(l, out);
    uint64_t shape[LOCKSTEP_MAX_RANK];
    int rank = 0;
    LS_TRY(read_descr(l, depth + 1, out));
    if (!take(l, ','))
        return fail(l, l->p, "',' and a shape");
    LS_TRY(read_shape(l, &rank, shape));
    LS_TRY(scale(l, start, &out->bytes, rank, shape));
    take(l, ',');
    if (!take(l, ')'))
        return fail(l, l->p, "')'");
    out->dtype = LOCKSTEP_OPAQUE;
    out->spelled = "subarray";
    return LOCKSTEP_OK;
}

enum { HAS_DESCR = 1, HAS_ORDER = 2, HAS_SHAPE = 4, HAS_ALL = 7 };

/* Reads one `key: value`; `found` collects the keys. */
static lockstep_status read_entry(literal *l, ls_tensor *t, item *type, bool *fortran, int *found) {
    const char *key, *start;
    size_t length;
    peek(l);
    start = l->p;
    LS_TRY(read_string(l, "a key", &key, &length));
    int bit = length == 5 && memcmp(key, "descr", 5) == 0            ? HAS_DESCR
              : length == 13 && memcmp(key, "fortran_order", 13) == 0 ? HAS_ORDER
              : length == 5 && memcmp(key, "shape", 5) == 0          ? HAS_SHAPE
                                                                     : 0;
    if (bit == 0 || (*found & bit) != 0)
        return fail(l, start, "descr, fortran_order and shape, once each");
    *found |= bit;
    if (!take(l, ':'))
        return fail(l, l->p, "':' after a key");
    if (bit == HAS_DESCR)
        return read_descr(l, 0, type);
    if (bit == HAS_SHAPE)
        return read_shape(l, &t->rank, t->shape);
    *fortran = take_word(l, "True");
    if (!*fortran && !take_word(l, "False"))
        return fail(l, l->p, "True or False");
    return LOCKSTEP_OK;
}

static lockstep_status read_dict(literal *l, ls_tensor *t, item *type, bool *fortran) {
    int found = 0;
    if (!take(l, '{'))
        return fail(l, l->p, "'{'");
    while (!take(l, '}')) {
        LS_TRY(read_entry(l, t, type, fortran, &found));
        if (!take(l, ',') && peek(l) != '}')
            return fail(l, l->p, "',' or '}'");
    }
    if (found != HAS_ALL)
        return fail(l, l->p - 1, "the keys descr, fortran_order and shape");
    peek(l);
    if (l->p != l->end)
        return fail(l, l->p, "only spaces after the dict");
    return LOCKSTEP_OK;
}

static void set_column_major(ls_tensor *t) {
    int64_t stride = 1;
    for (int i = 0; i < t->rank; i++) {
        t->strides[i] = stride;
        stride *= (int64_t)(t->shape[i] > 0 ? t->shape[i] : 1);
    }
}

lockstep_status ls_npy_header_end(const uint8_t *head, size_t size, const ls_npy_place *place,
                                  size_t *out_end, lockstep_error *error) {
    if (size < 10 || memcmp(head, "\x93NUMPY", 6) != 0)
        return ls_fail_at(error, size < 10 ? LOCKSTEP_TRUNCATED : LOCKSTEP_MALFORMED, place->file,
                          place->origin, "found no NPY magic in %zu bytes, expected 93 'NUMPY'", size);
    unsigned major = head[6], minor = head[7];
    if (major < 1 || major > 3 || minor != 0)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, place->file, place->origin + 6,
                          "found NPY version %u.%u, expected 1.0, 2.0 or 3.0", major, minor);
    size_t fixed = major == 1 ? 10 : 12;
    if (size < fixed)
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, place->file, place->origin + MAGIC_SIZE,
                          "NPY header length: found %zu bytes left, expected 4", size - MAGIC_SIZE);
    uint64_t length = head[8] | (uint64_t)head[9] << 8;
    if (major > 1)
        length |= (uint64_t)head[10] << 16 | (uint64_t)head[11] << 24;
    if (length > LS_NPY_HEADER_LIMIT - LS_NPY_PREAMBLE)
        return ls_fail_at(error, LOCKSTEP_LIMIT, place->file, place->origin + MAGIC_SIZE,
                          "found an NPY header of %llu bytes, expected at most %d",
                          (unsigned long long)length, LS_NPY_HEADER_LIMIT - LS_NPY_PREAMBLE);
    if (length > place->size - fixed)
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, place->file, place->origin + MAGIC_SIZE,
                          "NPY header: found %llu bytes left, expected %llu",
                          (unsigned long long)(place->size - fixed), (unsigned long long)length);
    *out_end = fixed + (size_t)length;
    return LOCKSTEP_OK;
}

lockstep_status ls_npy_parse(const uint8_t *header, size_t end, const ls_npy_place *place,
                             ls_arena *arena, ls_tensor *out_tensor, lockstep_error *error) {
    size_t begin = header[6] == 1 ? 10 : 12;
    const char *text = (const char *)header;
    literal l = {.p = text + begin,
                 .begin = text + begin,
                 .end = text + end,
                 .place = place,
                 .offset = place->origin + begin,
                 .arena = arena,
                 .error = error};
    ls_tensor t = {.name = out_tensor->name, .source = place->source, .offset = end};
    item type = {0};
    bool fortran = false;
    LS_TRY(read_dict(&l, &t, &type, &fortran));
    t.dtype = type.dtype;
    t.swap = type.swap;
    t.file_dtype = type.spelled;
    LS_TRY(ls_tensor_measure(&t, 1, type.bytes * 8, place->origin + begin, error));
    if (fortran)
        set_column_major(&t);
    if (t.bytes > place->size - end) {
        char shape[LS_SHAPE_TEXT];
        ls_shape_text(t.rank, t.shape, shape);
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, place->file, place->origin + end,
                          "array: found %llu bytes, expected %llu for shape %s of %s",
                          (unsigned long long)(place->size - end), (unsigned long long)t.bytes,
                          shape, t.file_dtype);
    }
    *out_tensor = t;
    return LOCKSTEP_OK;
}

lockstep_status ls_npy_read_at(ls_source *source, uint64_t at, uint64_t bytes, const char *name, ls_arena *arena,
                               ls_tensor *out_tensor, lockstep_error *error) {
    uint8_t header[LS_NPY_HEADER_LIMIT];
    ls_npy_place place = {source, source->name, at, bytes};
    size_t size = bytes < LS_NPY_FIRST_READ ? (size_t)bytes : LS_NPY_FIRST_READ, end = 0;
    if (at > source->size || bytes > source->size - at)
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, source->name, at, "found %llu bytes left, expected %llu",
                          (unsigned long long)(at > source->size ? 0 : source->size - at), (unsigned long long)bytes);
    LS_TRY(ls_source_read_at(source, at, header, size, error));
    LS_TRY(ls_npy_header_end(header, size, &place, &end, error));
    if (end > size)
        LS_TRY(ls_source_read_at(source, at, header, end, error));
    out_tensor->name = name;
    LS_TRY(ls_npy_parse(header, end, &place, arena, out_tensor, error));
    out_tensor->offset += at;
    return LOCKSTEP_OK;
}

lockstep_status ls_npy_read(ls_source *source, const char *name, ls_arena *arena,
                            ls_tensor *out_tensor, lockstep_error *error) {
    return ls_npy_read_at(source, 0, source->size, name, arena, out_tensor, error);
}

static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    return !is_directory && ((size >= 6 && memcmp(head, "\x93NUMPY", 6) == 0) ||
                             ls_path_has_suffix(path, ".npy"));
}

/* The archive has one tensor, named after the file. */
static lockstep_status open_npy(lockstep_archive *archive, ls_source *source,
                                lockstep_error *error) {
    const char *base = ls_path_base(source->name);
    size_t length = strlen(base) - (ls_path_has_suffix(base, ".npy") ? 4 : 0);
    const char *name = ls_arena_copy(&archive->arena, base, length);
    ls_tensor tensor = {0};
    if (name == NULL)
        return ls_fail_memory(archive, error);
    LS_TRY(ls_npy_read(source, name, &archive->arena, &tensor, error));
    return ls_archive_add_tensor(archive, &tensor, 0, error);
}

const ls_format ls_format_npy = {"npy", "NumPy array (.npy)", probe, open_npy};
