/* Text dumps: one value or one row of values per line, as debugging code prints them.
 *
 *   # Tensor: attn_norm_output        lines that begin with '#' are a header or
 *   # Shape: (1, 3, 2048)             comments; only the header's shape is used, written
 *   # Mean: …                         (1, 3, 2048), [1, 3, 2048], 1x3x2048 or 1 3 2048
 *   # Data:
 *   -1.234567e-02                     a value, perhaps after its index
 *   1: 0.250000                       (as in llama.cpp's model-conversion)
 *   0x3c00 (1.000000e+00)             or the bits of an f16, followed by their value
 *   1.0e+00 2.5e-01 0.0e+00           a row, as numpy.savetxt writes it: separated by spaces, tabs,
 *                                     commas or semicolons; all rows are equally long
 *
 * Without a shape there is one axis, or two if lines are rows. Some code prints only the first and last values of
 * large tensors: then the tensor is listed, and reading it fails.
 *
 * A tensor has its file's name without .txt. A prefix py_ or cpp_ is removed, because it says who wrote the file and
 * not what it is; in a directory, only if all dumps have one. */
#include <ctype.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "format/formats.h"
#include "format/paths.h"
#include "tensor/decode.h"

enum { MAX_LINE = 200 }; /* of values */

/* --- lines */

typedef struct line {
    const char *text; /* without surrounding space */
    size_t length;
    uint64_t offset;
} line;

/* Reads the next line that isn't empty; false at the end. */
static bool next_line(const char *bytes, uint64_t size, uint64_t *at, line *out) {
    while (*at < size) {
        uint64_t begin = *at;
        const char *end = memchr(bytes + begin, '\n', (size_t)(size - begin));
        uint64_t stop = end != NULL ? (uint64_t)(end - bytes) : size;
        *at = stop + (end != NULL);
        while (begin < stop && isspace((unsigned char)bytes[begin]))
            begin++;
        while (stop > begin && isspace((unsigned char)bytes[stop - 1]))
            stop--;
        *out = (line){bytes + begin, (size_t)(stop - begin), begin};
        if (stop > begin)
            return true;
    }
    return false;
}

/* What follows the colon in "# Shape: …" (ignoring case), or NULL. */
static const char *header_value(const line *l, const char *key) {
    size_t at = 1, length = strlen(key);
    while (at < l->length && l->text[at] == ' ')
        at++;
    bool found = l->text[0] == '#' && l->length > at + length && strncasecmp(l->text + at, key, length) == 0 &&
                 l->text[at + length] == ':';
    return found ? l->text + at + length + 1 : NULL;
}

static bool begins_with(const line *l, const char *start) {
    return l->length >= strlen(start) && memcmp(l->text, start, strlen(start)) == 0;
}

static bool parse_float(const char *text, locale_t c, float *out) {
    char *end;
    *out = strtof_l(text, &end, c);
    return end != text && *end == '\0';
}

/* Reads a value, perhaps after its index, which must be `index`. */
static bool parse_value(const line *l, uint64_t index, locale_t c, float *out) {
    char text[MAX_LINE + 1];
    if (l->length > MAX_LINE)
        return false;
    memcpy(text, l->text, l->length);
    text[l->length] = '\0';
    if (strlen(text) != l->length) /* a NUL */
        return false;
    unsigned bits;
    int used = 0;
    if (text[0] == '0' && text[1] == 'x' && sscanf(text, "0x%4x (%*[^)])%n", &bits, &used) == 1 &&
        used == (int)l->length) {
        uint16_t half = (uint16_t)bits;
        ls_decode_f16(&half, 1, out);
        return true;
    }
    char *colon = strchr(text, ':'), *end;
    if (colon == NULL)
        return parse_float(text, c, out);
    return isdigit((unsigned char)text[0]) && strtoull(text, &end, 10) == index && end == colon &&
           parse_float(colon + 1, c, out);
}

/* Whether a line has more than one value. */
static bool is_row(const line *l) {
    bool separated = false;
    for (size_t i = 0; i < l->length; i++) {
        if (l->text[i] == ':' || l->text[i] == '(')
            return false; /* an index, or a value after its bits */
        separated = separated || strchr(" \t,;", l->text[i]) != NULL;
    }
    return separated;
}

/* Reads the text of the next value in a row; false at its end. */
static bool next_in_row(const line *row, size_t *at, line *out) {
    while (*at < row->length && strchr(" \t,;", row->text[*at]) != NULL && row->text[*at] != '\0')
        ++*at;
    size_t begin = *at;
    while (*at < row->length && (strchr(" \t,;", row->text[*at]) == NULL || row->text[*at] == '\0'))
        ++*at;
    *out = (line){row->text + begin, *at - begin, row->offset + begin};
    return *at > begin;
}

/* --- a dump's values as a source of f32 */

typedef struct dump {
    ls_source source;
    ls_source *file;
    uint64_t begin;    /* offset of the first value's line */
    uint64_t count;    /* of values */
    uint64_t columns;  /* values per line */
    uint64_t expected; /* values, according to the shape */
    bool elided;       /* "First 50 elements", "..." */
    locale_t c;        /* the C locale, for its decimal point */
} dump;

static bool is_value(const line *l) { return l->text[0] != '#' && l->text[0] != '.'; }

static lockstep_status fail_value(const dump *d, const line *l, uint64_t index, lockstep_error *error) {
    return ls_fail_at(error, LOCKSTEP_MALFORMED, d->file->name, l->offset,
                      "found '%.*s', expected value %" PRIu64 ": a number, or its index and a number",
                      (int)(l->length < 40 ? l->length : 40), l->text, index);
}

/* A range of the values' bytes. */
typedef struct wanted {
    uint64_t from;
    uint8_t *out;
    size_t length;
} wanted;

static void put_value(const wanted *w, uint64_t index, float value) {
    for (size_t k = 0; k < sizeof value; k++) {
        uint64_t place = index * sizeof value + k;
        if (place >= w->from && place - w->from < w->length)
            w->out[place - w->from] = ((const uint8_t *)&value)[k];
    }
}

static lockstep_status parse_values(const dump *d, const char *bytes, const wanted *w, lockstep_error *error) {
    line l, each;
    uint64_t at = d->begin, index = 0;
    while (next_line(bytes, d->file->size, &at, &l)) {
        float value;
        if (!is_value(&l))
            continue;
        if (!is_row(&l)) {
            if (!parse_value(&l, index, d->c, &value))
                return fail_value(d, &l, index, error);
            put_value(w, index++, value);
            continue;
        }
        for (size_t in_row = 0; next_in_row(&l, &in_row, &each);) {
            if (!parse_value(&each, index, d->c, &value))
                return fail_value(d, &each, index, error);
            put_value(w, index++, value);
        }
    }
    return LOCKSTEP_OK;
}

static lockstep_status read_values(ls_source *source, uint64_t offset, void *out, size_t length,
                                   lockstep_error *error) {
    const dump *d = source->state;
    const uint8_t *bytes;
    if (d->expected == UINT64_MAX)
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, d->file->name, d->begin,
                          "found %" PRIu64 " values, which are not all, according to the dump", d->count);
    if (d->count != d->expected)
        return ls_fail_at(error, d->count < d->expected ? LOCKSTEP_TRUNCATED : LOCKSTEP_MALFORMED,
                          d->file->name, d->begin, "found %" PRIu64 " values, expected %" PRIu64 " according to its shape%s",
                          d->count, d->expected, d->elided ? " (only the first and last were dumped)" : "");
    LS_TRY(ls_source_bytes(d->file, &bytes, error));
    return parse_values(d, (const char *)bytes, &(wanted){offset, out, length}, error);
}

static void release_file(ls_source *source) { ls_source_release(((dump *)source->state)->file); }

static void close_dump(ls_source *source) {
    freelocale(((dump *)source->state)->c);
    free(source->state);
}


static const ls_source_methods methods = {read_values, NULL, release_file, close_dump, false};

/* --- opening */

/* Reads numbers with spaces, brackets, commas or x between them. */
static lockstep_status read_shape(const line *l, const char *text, ls_tensor *t, lockstep_error *error) {
    const char *end = l->text + l->length;
    t->rank = 0;
    while (text < end) {
        uint64_t axis = 0;
        if (!isdigit((unsigned char)*text)) {
            if (strchr(" ()[],x*", *text) == NULL || *text == '\0')
                return ls_fail_at(error, LOCKSTEP_MALFORMED, t->source->name, l->offset,
                                  "found '%.*s' in a shape, expected one such as (2, 3) or 2x3",
                                  (int)(end - text < 40 ? end - text : 40), text);
            text++;
            continue;
        }
        for (; text < end && isdigit((unsigned char)*text); text++)
            if (!ls_mul_u64(axis, 10, &axis) || !ls_add_u64(axis, (uint64_t)(*text - '0'), &axis))
                return ls_fail_at(error, LOCKSTEP_LIMIT, t->source->name, l->offset,
                                  "found an axis of more than 64 bits");
        if (t->rank == LOCKSTEP_MAX_RANK)
            return ls_fail_at(error, LOCKSTEP_LIMIT, t->source->name, l->offset,
                              "found more than %d axes, expected at most that many", LOCKSTEP_MAX_RANK);
        t->shape[t->rank++] = axis;
    }
    return LOCKSTEP_OK;
}

/* Counts the values of a line, and checks the first value of the first line. */
static lockstep_status count_values(dump *d, const line *l, lockstep_error *error) {
    line each = *l;
    uint64_t count = 1;
    float value;
    if (is_row(l)) {
        count = 0;
        for (size_t at = 0; next_in_row(l, &at, &each);)
            count++;
        size_t at = 0;
        next_in_row(l, &at, &each);
    }
    if (d->count == 0 && !parse_value(&each, 0, d->c, &value))
        return fail_value(d, l, 0, error); /* probably not a dump */
    if (d->count > 0 && count != d->columns)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, d->file->name, l->offset, "found %" PRIu64 " values in a line, expected %" PRIu64 " as in the lines before",
                          count, d->columns);
    d->begin = d->count == 0 ? l->offset : d->begin;
    d->columns = count;
    d->count += count;
    return LOCKSTEP_OK;
}

/* Reads the header and counts the values, which are parsed only when they are needed. */
static lockstep_status scan(dump *d, ls_tensor *t, lockstep_error *error) {
    const uint8_t *bytes;
    line l;
    bool has_shape = false;
    LS_TRY(ls_source_bytes(d->file, &bytes, error));
    for (uint64_t at = 0; next_line((const char *)bytes, d->file->size, &at, &l);) {
        const char *shape = d->count == 0 ? header_value(&l, "shape") : NULL;
        if (shape != NULL && has_shape)
            return ls_fail_at(error, LOCKSTEP_MALFORMED, d->file->name, l.offset, "found a second shape, expected one");
        if (shape != NULL)
            LS_TRY(read_shape(&l, shape, t, error));
        has_shape |= shape != NULL;
        if (is_value(&l)) {
            LS_TRY(count_values(d, &l, error));
        } else {
            d->elided |= l.text[0] == '.' || begins_with(&l, "# First ") || begins_with(&l, "# Data (first ");
        }
    }
    if (d->count == 0 && !has_shape)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, d->file->name, 0, "found no value, expected one per line");
    if (!has_shape) {
        t->rank = d->columns > 1 ? 2 : 1;
        t->shape[0] = d->columns > 1 ? d->count / d->columns : d->count;
        t->shape[1] = d->columns;
    }
    LS_TRY(ls_tensor_measure(t, 1, 32, 0, error));
    d->expected = has_shape || !d->elided ? t->elements : UINT64_MAX;
    return LOCKSTEP_OK;
}

/* The archive owns the file. */
static lockstep_status add_file(lockstep_archive *archive, ls_source *file, const char *name,
                                lockstep_error *error) {
    dump *d = calloc(1, sizeof *d);
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (d == NULL || c == (locale_t)0) {
        free(d);
        return ls_fail_memory(archive, error);
    }
    *d = (dump){.source = {.methods = &methods, .name = file->name, .state = d}, .file = file, .c = c};
    LS_TRY(ls_archive_add_source(archive, &d->source, error));
    ls_tensor t = {.name = name, .file_dtype = "text", .dtype = LOCKSTEP_F32, .source = &d->source};
    lockstep_status status = scan(d, &t, error);
    ls_source_release(file);
    if (status != LOCKSTEP_OK)
        return status;
    /* no memory is allocated for values that can't be read */
    d->source.size = d->count == d->expected ? t.bytes : 0;
    return ls_archive_add_tensor(archive, &t, 0, error);
}

static const char *skip_prefix(const char *name) {
    return strncmp(name, "py_", 3) == 0 ? name + 3 : strncmp(name, "cpp_", 4) == 0 ? name + 4 : name;
}

static lockstep_status open_text(lockstep_archive *archive, ls_source *source, lockstep_error *error) {
    const char *base = skip_prefix(ls_path_base(source->name));
    size_t length = strlen(base) - (ls_path_has_suffix(base, ".txt") ? 4 : 0);
    const char *name = ls_arena_copy(&archive->arena, base, length);
    return name != NULL ? add_file(archive, source, name, error) : ls_fail_memory(archive, error);
}

static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    (void)head, (void)size;
    return !is_directory && ls_path_has_suffix(path, ".txt");
}

const ls_format ls_format_text = {"text", "a text dump: one value or one row of values per line (.txt)", probe, open_text};

/* --- a directory of dumps */

/* Whether the first line is that of a dump; other .txt files are not tensors. */
static bool is_dump(const char *path) {
    ls_source *file;
    char head[MAX_LINE * 2];
    line l, first;
    uint64_t at = 0;
    float value;
    if (ls_source_open_small(path, &file, NULL) != LOCKSTEP_OK)
        return false;
    size_t size = file->size < sizeof head ? (size_t)file->size : sizeof head;
    bool found = ls_source_read_at(file, 0, head, size, NULL) == LOCKSTEP_OK && next_line(head, size, &at, &l);
    ls_source_close(file);
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    found = found && c != (locale_t)0 &&
            (header_value(&l, "tensor") != NULL || header_value(&l, "shape") != NULL || parse_value(&l, 0, c, &value) ||
             (is_row(&l) && next_in_row(&l, &(size_t){0}, &first) && parse_value(&first, 0, c, &value)));
    if (c != (locale_t)0)
        freelocale(c);
    return found;
}

static lockstep_status list_dumps(ls_arena *arena, const char *directory, char ***out_names,
                                  size_t *out_count, lockstep_error *error) {
    char **names = NULL;
    size_t count = 0, kept = 0;
    LS_TRY(ls_path_list(arena, directory, ".txt", &names, &count, error));
    for (size_t i = 0; i < count; i++) {
        const char *path = ls_path_join(arena, directory, names[i]);
        if (path == NULL)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", directory);
        if (is_dump(path))
            names[kept++] = names[i];
    }
    *out_names = names;
    *out_count = kept;
    return LOCKSTEP_OK;
}

static lockstep_status open_text_directory(lockstep_archive *archive, ls_source *source,
                                           lockstep_error *error) {
    (void)source;
    char **names = NULL;
    size_t count = 0;
    LS_TRY(list_dumps(&archive->arena, archive->path, &names, &count, error));
    size_t prefix = count > 0 ? (size_t)(skip_prefix(names[0]) - names[0]) : 0;
    for (size_t i = 1; i < count; i++)
        prefix = strncmp(names[i], names[0], prefix) == 0 ? prefix : 0;
    for (size_t i = 0; i < count; i++) {
        const char *path = ls_path_join(&archive->arena, archive->path, names[i]);
        const char *name = ls_arena_copy(&archive->arena, names[i] + prefix, strlen(names[i]) - prefix - 4);
        ls_source *file;
        if (path == NULL || name == NULL)
            return ls_fail_memory(archive, error);
        LS_TRY(ls_source_open_small(path, &file, error));
        LS_TRY(ls_archive_add_source(archive, file, error));
        LS_TRY(add_file(archive, file, name, error));
    }
    return LOCKSTEP_OK;
}

static bool probe_directory(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    (void)head, (void)size;
    ls_arena arena = {0};
    char **names;
    size_t dumps = 0, arrays = 0;
    bool found = is_directory && ls_path_list(&arena, path, ".npy", &names, &arrays, NULL) == LOCKSTEP_OK &&
                 arrays == 0 && list_dumps(&arena, path, &names, &dumps, NULL) == LOCKSTEP_OK && dumps > 0;
    ls_arena_done(&arena);
    return found;
}

const ls_format ls_format_text_directory = {"textdir", "a directory of text dumps", probe_directory,
                                            open_text_directory};
