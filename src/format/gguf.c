/* GGUF versions 2 and 3 (ggml/src/gguf.cpp, docs/gguf.md); packed, unaligned:
 *
 *   'GGUF'  version u32  tensor count u64  key-value count u64
 *   key-values: key string, type u32, value
 *       string: length u64, bytes
 *       array:  element type u32, count u64, elements (no arrays)
 *   tensors:    name string, axes u32, sizes u64 innermost first, type u32, offset u64
 *   zeros up to a multiple of general.alignment (32)
 *   data: offsets count from here; every tensor begins where the previous one ends,
 *       rounded up to the alignment
 *
 * A file in the opposite byte order has the same magic, and its version reads as
 * 0x0n000000. A model in several files, PREFIX-00001-of-0000N.gguf, is one archive:
 * split.count and split.no (from 0) say how the files belong together, and the first
 * file's metadata is the model's.
 *
 * Values are never copied: opening a file only costs the page faults of its metadata. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/cursor.h"
#include "format/archive.h"
#include "format/ggml_types.h"
#include "format/gguf.h"
#include "format/formats.h"
#include "format/paths.h"

enum {
    MAX_AXES = 4, /* GGML_MAX_DIMS */
    /* ggml allows 63 bytes, or 127 in stable-diffusion.cpp's build */
    MAX_NAME = 255,
    DEFAULT_ALIGNMENT = 32,
    LEAST_KV = 8 + 1 + 4 + 1,         /* a key of one byte and a bool */
    LEAST_TENSOR = 8 + 4 + 4 + 8,     /* no name, no axes */
    TYPE_TEXT = 8,
    TYPE_ARRAY = 9,
};

static const struct {
    ls_meta_kind kind;
    int width; /* bytes; 0 for values that store their length */
} value_types[] = {
    {LS_META_UINT, 1},  {LS_META_INT, 1},   {LS_META_UINT, 2},  {LS_META_INT, 2},
    {LS_META_UINT, 4},  {LS_META_INT, 4},   {LS_META_FLOAT, 4}, {LS_META_BOOL, 1},
    {LS_META_TEXT, 0},  {LS_META_ARRAY, 0}, {LS_META_UINT, 8},  {LS_META_INT, 8},
    {LS_META_FLOAT, 8},
};
enum { VALUE_TYPES = sizeof value_types / sizeof value_types[0] };

/* What the file declares about itself. */
typedef struct file_facts {
    uint64_t tensors, key_values, alignment;
    uint64_t split_no, split_count, split_tensors; /* UINT64_MAX if absent */
} file_facts;

static lockstep_status read_text(ls_cursor *c, const char *what, const char **out,
                                 uint64_t *out_length, lockstep_error *error) {
    const uint8_t *bytes;
    LS_TRY(ls_cursor_u64(c, what, out_length, error));
    LS_TRY(ls_cursor_bytes(c, *out_length, what, &bytes, error));
    *out = (const char *)bytes;
    return LOCKSTEP_OK;
}

/* Reads a key or a tensor's name, and copies it because it is used as a C string. */
static lockstep_status read_name(ls_cursor *c, const char *what, uint64_t least, uint64_t most,
                                 ls_arena *arena, const char **out, lockstep_error *error) {
    const char *text;
    uint64_t at = ls_cursor_offset(c), length;
    LS_TRY(read_text(c, what, &text, &length, error));
    if (length < least || length > most)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, at,
                          "%s: found a length of %llu bytes, expected %llu to %llu", what,
                          (unsigned long long)length, (unsigned long long)least,
                          (unsigned long long)most);
    return ls_cursor_copy_name(c, length, what, arena, out, error);
}

/* Skips texts without a call for each, because vocabularies have hundreds of thousands. */
static lockstep_status walk_texts(ls_cursor *c, const char *key, uint64_t count,
                                  lockstep_error *error) {
    const uint8_t *p = c->bytes + c->at, *end = c->bytes + c->size;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t length = 0;
        if (end - p >= 8) {
            memcpy(&length, p, 8);
            length = c->big_endian ? __builtin_bswap64(length) : length;
        }
        if (end - p < 8 || length > (uint64_t)(end - p) - 8) {
            const char *text;
            c->at = (uint64_t)(p - c->bytes);
            return read_text(c, key, &text, &length, error); /* fails */
        }
        p += 8 + length;
    }
    c->at = (uint64_t)(p - c->bytes);
    return LOCKSTEP_OK;
}

static lockstep_status read_array(ls_cursor *c, const char *key, ls_meta *out,
                                  lockstep_error *error) {
    uint64_t at = ls_cursor_offset(c), count;
    uint32_t type;
    LS_TRY(ls_cursor_u32(c, key, &type, error));
    if (type >= VALUE_TYPES || type == TYPE_ARRAY)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, at,
                          "%s: found array element type %u, expected 0 to 12, but not 9 (array)", key, type);
    LS_TRY(ls_cursor_u64(c, key, &count, error));
    uint64_t width = (uint64_t)value_types[type].width, begin = c->at;
    uint64_t least = width > 0 ? width : 8; /* a text's length takes 8 bytes */
    if (count > ls_cursor_left(c) / least)
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, c->file, at + 4,
                          "%s: found an array of %llu elements, expected at most %llu in the %llu bytes left",
                          key, (unsigned long long)count,
                          (unsigned long long)(ls_cursor_left(c) / least),
                          (unsigned long long)ls_cursor_left(c));
    if (width > 0)
        c->at += count * width;
    else
        LS_TRY(walk_texts(c, key, count, error));
    out->as.array.kind = value_types[type].kind;
    out->as.array.width = (int)width;
    out->as.array.count = count;
    out->as.array.bytes = c->bytes + begin;
    out->as.array.swap = c->big_endian;
    return LOCKSTEP_OK;
}

static lockstep_status read_value(ls_cursor *c, ls_meta *out, lockstep_error *error) {
    uint64_t at = ls_cursor_offset(c);
    uint32_t type;
    LS_TRY(ls_cursor_u32(c, out->key, &type, error));
    if (type >= VALUE_TYPES)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, at,
                          "%s: found value type %u, expected 0 to 12", out->key, type);
    out->kind = value_types[type].kind;
    if (type == TYPE_ARRAY)
        return read_array(c, out->key, out, error);
    if (type == TYPE_TEXT)
        return read_text(c, out->key, &out->as.text.bytes, &out->as.text.length, error);
    /* reads a number as an array of one element */
    ls_meta one = {.kind = LS_META_ARRAY}, element;
    one.as.array.kind = out->kind;
    one.as.array.width = value_types[type].width;
    one.as.array.count = 1;
    one.as.array.swap = c->big_endian;
    LS_TRY(ls_cursor_bytes(c, (uint64_t)value_types[type].width, out->key, &one.as.array.bytes, error));
    ls_meta_element(&one, 0, &element);
    out->as = element.as;
    return LOCKSTEP_OK;
}

/* Writers differ in the integer types of split.*. */
static uint64_t as_count(const ls_meta *meta) {
    return meta->kind == LS_META_UINT ? meta->as.u
           : meta->kind == LS_META_INT && meta->as.i >= 0 ? (uint64_t)meta->as.i
                                                          : UINT64_MAX;
}

static lockstep_status note_facts(const ls_cursor *c, const ls_meta *meta, uint64_t at,
                                  int width, file_facts *facts, lockstep_error *error) {
    if (strcmp(meta->key, "split.no") == 0)
        facts->split_no = as_count(meta);
    if (strcmp(meta->key, "split.count") == 0)
        facts->split_count = as_count(meta);
    if (strcmp(meta->key, "split.tensors.count") == 0)
        facts->split_tensors = as_count(meta);
    if (strcmp(meta->key, "general.alignment") != 0)
        return LOCKSTEP_OK;
    if (meta->kind != LS_META_UINT || width != 4)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, at,
                          "general.alignment: found another type, expected u32");
    facts->alignment = meta->as.u;
    if (facts->alignment == 0 || (facts->alignment & (facts->alignment - 1)) != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, at,
                          "general.alignment: found %llu, expected a power of two",
                          (unsigned long long)facts->alignment);
    return LOCKSTEP_OK;
}

static lockstep_status read_header(ls_cursor *c, file_facts *facts, lockstep_error *error) {
    const uint8_t *magic;
    uint32_t version;
    LS_TRY(ls_cursor_bytes(c, 4, "GGUF magic", &magic, error));
    if (memcmp(magic, "GGUF", 4) != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, 0,
                          "found '%.4s', expected the magic 'GGUF'", (const char *)magic);
    LS_TRY(ls_cursor_u32(c, "GGUF version", &version, error));
    if ((version & 0xffff) == 0 && version != 0) {
        c->big_endian = true;
        version = __builtin_bswap32(version);
    }
    if (version != 2 && version != 3)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, c->file, 4,
                          "found GGUF version %u, expected 2 or 3", version);
    LS_TRY(ls_cursor_u64(c, "tensor count", &facts->tensors, error));
    LS_TRY(ls_cursor_u64(c, "key-value count", &facts->key_values, error));
    const struct {
        const char *what;
        uint64_t count, least, at;
    } counts[2] = {{"tensors", facts->tensors, LEAST_TENSOR, 8},
                   {"key-values", facts->key_values, LEAST_KV, 16}};
    for (int i = 0; i < 2; i++)
        if (counts[i].count > ls_cursor_left(c) / counts[i].least)
            return ls_fail_at(error, LOCKSTEP_TRUNCATED, c->file, counts[i].at,
                              "found a count of %llu %s, expected at most %llu in the %llu bytes left",
                              (unsigned long long)counts[i].count, counts[i].what,
                              (unsigned long long)(ls_cursor_left(c) / counts[i].least),
                              (unsigned long long)ls_cursor_left(c));
    return LOCKSTEP_OK;
}

typedef enum metas_kept {
    METAS_NONE, /* for later shards, which only have their own bookkeeping */
    METAS_NEW,  /* for a second model: only keys that the first doesn't have */
    METAS_ALL
} metas_kept;

static lockstep_status read_metadata(lockstep_archive *archive, ls_source *source, ls_cursor *c,
                                     metas_kept keep, file_facts *facts, lockstep_error *error) {
    for (uint64_t i = 0; i < facts->key_values; i++) {
        ls_meta meta = {0};
        uint64_t at = ls_cursor_offset(c);
        LS_TRY(read_name(c, "key", 1, 65535, &archive->arena, &meta.key, error));
        uint64_t value_at = ls_cursor_offset(c);
        LS_TRY(read_value(c, &meta, error));
        LS_TRY(note_facts(c, &meta, value_at, (int)(ls_cursor_offset(c) - value_at - 4), facts, error));
        if (keep == METAS_ALL || (keep == METAS_NEW && ls_archive_meta(archive, meta.key) == NULL))
            LS_TRY(ls_archive_add_meta(archive, &meta, source, at, error));
    }
    return LOCKSTEP_OK;
}

static lockstep_status read_tensor(ls_cursor *c, ls_arena *arena, ls_tensor *t,
                                   lockstep_error *error) {
    uint32_t axes, id;
    LS_TRY(read_name(c, "tensor name", 0, MAX_NAME, arena, &t->name, error));
    uint64_t at = ls_cursor_offset(c);
    LS_TRY(ls_cursor_u32(c, t->name, &axes, error));
    if (axes > MAX_AXES)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, at,
                          "tensor '%s': found %u axes, expected at most %d", t->name, axes, MAX_AXES);
    t->rank = (int)axes;
    for (int i = t->rank; i-- > 0;) { /* innermost first in the file */
        uint64_t axis_at = ls_cursor_offset(c);
        LS_TRY(ls_cursor_u64(c, t->name, &t->shape[i], error));
        if (t->shape[i] > INT64_MAX)
            return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, axis_at,
                              "tensor '%s': found an axis of %lld, expected at least 0", t->name,
                              (long long)t->shape[i]);
    }
    uint64_t type_at = ls_cursor_offset(c);
    LS_TRY(ls_cursor_u32(c, t->name, &id, error));
    t->swap = c->big_endian;
    return ls_ggml_type_set(t, id, type_at, at, error);
}

/* Reads the tensors' descriptions and leaves their offsets relative to the data. */
static lockstep_status read_tensors(lockstep_archive *archive, ls_source *source, ls_cursor *c,
                                    const file_facts *facts, lockstep_error *error) {
    uint64_t expected = 0;
    for (uint64_t i = 0; i < facts->tensors; i++) {
        ls_tensor t = {.source = source};
        uint64_t at = ls_cursor_offset(c);
        LS_TRY(read_tensor(c, &archive->arena, &t, error));
        uint64_t offset_at = ls_cursor_offset(c), end;
        LS_TRY(ls_cursor_u64(c, t.name, &t.offset, error));
        if (t.offset != expected)
            return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, offset_at,
                              "tensor '%s': found its data at %llu, expected %llu", t.name,
                              (unsigned long long)t.offset, (unsigned long long)expected);
        if (!ls_add_u64(expected, t.bytes, &end) || !ls_align_u64(end, facts->alignment, &expected))
            return ls_fail_at(error, LOCKSTEP_LIMIT, c->file, offset_at,
                              "tensor '%s': the size of the data up to its end (%llu + %llu bytes) overflows 64 bits",
                              t.name, (unsigned long long)t.offset, (unsigned long long)t.bytes);
        if (end > source->size)
            return ls_fail_at(error, LOCKSTEP_TRUNCATED, c->file, offset_at,
                              "tensor '%s': found a file of %llu bytes, expected %llu bytes of data up to the tensor's end",
                              t.name, (unsigned long long)source->size, (unsigned long long)end);
        LS_TRY(ls_archive_add_tensor(archive, &t, at, error));
    }
    return LOCKSTEP_OK;
}

/* Turns the offsets into file offsets, and checks that the file has the data. */
static lockstep_status place_tensors(lockstep_archive *archive, size_t first, ls_source *source,
                                     const ls_cursor *c, uint64_t alignment, lockstep_error *error) {
    uint64_t data;
    if (!ls_align_u64(ls_cursor_offset(c), alignment, &data))
        data = UINT64_MAX;
    for (size_t i = first; i < archive->tensor_count; i++) {
        ls_tensor *t = &archive->tensors[i];
        uint64_t begin, end;
        if (!ls_add_u64(data, t->offset, &begin) || !ls_add_u64(begin, t->bytes, &end) ||
            end > source->size)
            return ls_fail_at(error, LOCKSTEP_TRUNCATED, source->name, source->size,
                              "tensor '%s': found the file's end, expected %llu bytes at offset %llu + %llu",
                              t->name, (unsigned long long)t->bytes, (unsigned long long)data,
                              (unsigned long long)t->offset);
        t->offset = begin;
    }
    return LOCKSTEP_OK;
}

static lockstep_status open_file(lockstep_archive *archive, ls_source *source, metas_kept keep,
                                 file_facts *out_facts, lockstep_error *error) {
    const uint8_t *bytes;
    size_t first = archive->tensor_count;
    file_facts facts = {.alignment = DEFAULT_ALIGNMENT,
                        .split_no = UINT64_MAX,
                        .split_count = UINT64_MAX,
                        .split_tensors = UINT64_MAX};
    LS_TRY(ls_source_bytes(source, &bytes, error));
    ls_cursor c = {.bytes = bytes, .size = source->size, .file = source->name};
    LS_TRY(read_header(&c, &facts, error));
    LS_TRY(read_metadata(archive, source, &c, keep, &facts, error));
    LS_TRY(read_tensors(archive, source, &c, &facts, error));
    LS_TRY(place_tensors(archive, first, source, &c, facts.alignment, error));
    *out_facts = facts;
    return LOCKSTEP_OK;
}

/* --- a model in several files */

/* Parses a suffix like "-00002-of-00003.gguf"; false if the path doesn't have one. */
static bool parse_shard_name(const char *path, size_t *out_prefix, unsigned *out_no,
                             unsigned *out_count) {
    enum { SUFFIX = sizeof "-00001-of-00002.gguf" - 1 };
    size_t length = strlen(path);
    if (length < SUFFIX)
        return false;
    const char *tail = path + length - SUFFIX;
    for (int i = 1; i <= 5; i++)
        if (!isdigit((unsigned char)tail[i]) || !isdigit((unsigned char)tail[i + 9]))
            return false;
    if (tail[0] != '-' || memcmp(tail + 6, "-of-", 4) != 0 || strcmp(tail + 15, ".gguf") != 0 ||
        sscanf(tail, "-%5u-of-%5u", out_no, out_count) != 2)
        return false;
    *out_prefix = length - SUFFIX;
    return *out_no >= 1 && *out_no <= *out_count;
}

static lockstep_status check_shard(const ls_source *source, unsigned no, unsigned count,
                                   const file_facts *facts, lockstep_error *error) {
    if (facts->split_no != no - 1 || facts->split_count != count)
        return ls_fail(error, LOCKSTEP_MALFORMED,
                       "%s: found split.no %lld and split.count %lld, expected %u and %u as in its name",
                       source->name, (long long)facts->split_no, (long long)facts->split_count, no - 1,
                       count);
    return LOCKSTEP_OK;
}

static lockstep_status open_shards(lockstep_archive *archive, ls_source *given, size_t prefix,
                                   unsigned given_no, unsigned count, metas_kept keep,
                                   lockstep_error *error) {
    file_facts facts;
    size_t before = archive->tensor_count;
    uint64_t total = UINT64_MAX;
    for (unsigned no = 1; no <= count; no++) {
        ls_source *source = given;
        if (no != given_no) {
            const char *path = ls_arena_printf(&archive->arena, "%.*s-%05u-of-%05u.gguf", (int)prefix,
                                               given->name, no, count);
            if (path == NULL)
                return ls_fail_memory(archive, error);
            LS_TRY(ls_source_open_file(path, &source, error));
            LS_TRY(ls_archive_add_source(archive, source, error));
        }
        LS_TRY(open_file(archive, source, no == 1 ? keep : METAS_NONE, &facts, error));
        LS_TRY(check_shard(source, no, count, &facts, error));
        if (no == 1)
            total = facts.split_tensors;
    }
    if (total != UINT64_MAX && total != archive->tensor_count - before)
        return ls_fail(error, LOCKSTEP_MALFORMED,
                       "%s: found %zu tensors in %u files, expected %llu as in split.tensors.count",
                       archive->path, archive->tensor_count - before, count, (unsigned long long)total);
    return LOCKSTEP_OK;
}

unsigned ls_gguf_shard_number(const char *path) {
    size_t prefix;
    unsigned no, count;
    return parse_shard_name(path, &prefix, &no, &count) ? no : 1;
}

lockstep_status ls_gguf_add(lockstep_archive *archive, ls_source *source, bool is_first,
                            lockstep_error *error) {
    size_t prefix;
    unsigned no, count;
    metas_kept keep = is_first ? METAS_ALL : METAS_NEW;
    if (parse_shard_name(source->name, &prefix, &no, &count) && count > 1)
        return open_shards(archive, source, prefix, no, count, keep, error);
    file_facts facts;
    LS_TRY(open_file(archive, source, keep, &facts, error));
    if (facts.split_count != UINT64_MAX && facts.split_count > 1)
        return ls_fail(error, LOCKSTEP_MALFORMED,
                       "%s: is one of %lld files, expected a name that ends in -%05lld-of-%05lld.gguf",
                       source->name, (long long)facts.split_count, (long long)facts.split_no + 1,
                       (long long)facts.split_count);
    return LOCKSTEP_OK;
}

static lockstep_status open_gguf(lockstep_archive *archive, ls_source *source,
                                 lockstep_error *error) {
    archive->is_ordered = true;
    return ls_gguf_add(archive, source, true, error);
}

static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    return !is_directory &&
           ((size >= 4 && memcmp(head, "GGUF", 4) == 0) || ls_path_has_suffix(path, ".gguf"));
}

const ls_format ls_format_gguf = {"gguf", "GGUF, in one file or split", probe, open_gguf};
