/* safetensors (safetensors/src/tensor.rs):
 *
 *   N u64 LE, at most 100,000,000
 *   N bytes of UTF-8 JSON: {"NAME": {"dtype": "F32", "shape": [2, 3],
 *       "data_offsets": [begin, end]}, …, "__metadata__": {"KEY": "TEXT", …}}
 *   the buffer that the offsets count from, little endian, row-major
 *
 * In order of their offsets, the tensors cover the buffer from its start to the file's
 * end, without holes or overlaps. A model in several files has an index in the same
 * directory, *.safetensors.index.json: {"weight_map": {"NAME": "FILE", …}, …}. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/cursor.h"
#include "format/archive.h"
#include "base/json_reader.h"
#include "format/formats.h"
#include "format/model_folder.h"
#include "format/paths.h"
#include "format/weight_map.h"

enum { HEADER_LIMIT = 100000000 };

static const struct {
    const char *name;
    uint64_t bits;
    lockstep_dtype dtype;
} types[] = {
    {"BOOL", 8, LOCKSTEP_BOOL},         {"U8", 8, LOCKSTEP_U8},
    {"I8", 8, LOCKSTEP_I8},             {"I16", 16, LOCKSTEP_I16},
    {"U16", 16, LOCKSTEP_U16},          {"F16", 16, LOCKSTEP_F16},
    {"BF16", 16, LOCKSTEP_BF16},        {"I32", 32, LOCKSTEP_I32},
    {"U32", 32, LOCKSTEP_U32},          {"F32", 32, LOCKSTEP_F32},
    {"F64", 64, LOCKSTEP_F64},          {"I64", 64, LOCKSTEP_I64},
    {"U64", 64, LOCKSTEP_U64},          {"C64", 64, LOCKSTEP_OPAQUE},
    {"F8_E5M2", 8, LOCKSTEP_F8_E5M2},    {"F8_E4M3", 8, LOCKSTEP_F8_E4M3},
    {"F8_E8M0", 8, LOCKSTEP_F8_E8M0},    {"F8_E4M3FNUZ", 8, LOCKSTEP_F8_E4M3FNUZ},
    {"F8_E5M2FNUZ", 8, LOCKSTEP_F8_E5M2FNUZ}, {"F6_E2M3", 6, LOCKSTEP_OPAQUE},
    {"F6_E3M2", 6, LOCKSTEP_OPAQUE},    {"F4", 4, LOCKSTEP_F4},
};
enum { TYPES = sizeof types / sizeof types[0] };

const char *ls_safetensors_name(lockstep_dtype dtype) {
    for (int i = 0; i < TYPES; i++)
        if (types[i].dtype == dtype && dtype != LOCKSTEP_OPAQUE)
            return types[i].name;
    return NULL;
}

/* A tensor of the header, and where its bytes are. */
typedef struct entry {
    ls_tensor tensor;
    uint64_t begin, end; /* in the buffer */
    uint64_t where;      /* file offset of its name */
    size_t order;        /* in the header */
} entry;

typedef struct entries {
    entry *items;
    size_t count, capacity;
} entries;

static lockstep_status read_shape(ls_json *j, ls_tensor *t, lockstep_error *error) {
    bool more;
    LS_TRY(ls_json_begin(j, '[', "an array of axes", error));
    for (t->rank = 0;; t->rank++) {
        LS_TRY(ls_json_more(j, ']', &more, error));
        if (!more)
            return LOCKSTEP_OK;
        if (t->rank == LOCKSTEP_MAX_RANK)
            return ls_fail_at(error, LOCKSTEP_LIMIT, j->file, ls_json_offset(j),
                              "tensor '%s': found more than %d axes, expected at most that many", t->name,
                              LOCKSTEP_MAX_RANK);
        LS_TRY(ls_json_u64(j, "an axis: a non-negative integer of 64 bits", &t->shape[t->rank], error));
    }
}

static lockstep_status read_offsets(ls_json *j, entry *e, lockstep_error *error) {
    bool more;
    uint64_t *const to[2] = {&e->begin, &e->end};
    LS_TRY(ls_json_begin(j, '[', "[begin, end]", error));
    for (int i = 0; i < 2; i++) {
        LS_TRY(ls_json_more(j, ']', &more, error));
        if (!more)
            return ls_json_fail(j, "two offsets", error);
        LS_TRY(ls_json_u64(j, "an offset: a non-negative integer of 64 bits", to[i], error));
    }
    LS_TRY(ls_json_more(j, ']', &more, error));
    return more ? ls_json_fail(j, "two offsets", error) : LOCKSTEP_OK;
}

static lockstep_status read_dtype(ls_json *j, entry *e, uint64_t *out_bits, lockstep_error *error) {
    uint64_t at = (ls_json_peek(j), ls_json_offset(j));
    LS_TRY(ls_json_string(j, "a dtype in quotes", &e->tensor.file_dtype, error));
    for (int i = 0; i < TYPES; i++)
        if (strcmp(types[i].name, e->tensor.file_dtype) == 0) {
            e->tensor.file_dtype = types[i].name;
            e->tensor.dtype = types[i].dtype;
            *out_bits = types[i].bits;
            return LOCKSTEP_OK;
        }
    return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, j->file, at,
                      "tensor '%s': found dtype '%s', expected one of safetensors' dtypes (F32, BF16, …)",
                      e->tensor.name, e->tensor.file_dtype);
}

/* {"dtype": …, "shape": …, "data_offsets": …}; other keys are ignored, as the
 * reference implementation does. */
static lockstep_status read_entry(ls_json *j, entry *e, lockstep_error *error) {
    static const char *const keys[3] = {"dtype", "shape", "data_offsets"};
    uint64_t bits = 0;
    int found = 0;
    LS_TRY(ls_json_begin(j, '{', "a tensor: an object", error));
    for (;;) {
        const char *key;
        uint64_t at;
        LS_TRY(ls_json_key(j, &key, &at, error));
        if (key == NULL)
            break;
        int which = 0;
        while (which < 3 && strcmp(key, keys[which]) != 0)
            which++;
        if (which < 3 && (found >> which & 1) != 0)
            return ls_fail_at(error, LOCKSTEP_MALFORMED, j->file, at,
                              "tensor '%s': found a second '%s', expected one", e->tensor.name, key);
        found |= which < 3 ? 1 << which : 0;
        LS_TRY(which == 0   ? read_dtype(j, e, &bits, error)
               : which == 1 ? read_shape(j, &e->tensor, error)
               : which == 2 ? read_offsets(j, e, error)
                            : ls_json_skip(j, error));
    }
    if (found != 7)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, j->file, e->where,
                          "tensor '%s': found no %s", e->tensor.name,
                          keys[(found & 1) == 0 ? 0 : (found & 2) == 0 ? 1 : 2]);
    LS_TRY(ls_tensor_measure(&e->tensor, 1, bits, e->where, error));
    if (e->end < e->begin || e->end - e->begin != e->tensor.bytes)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, j->file, e->where,
                          "tensor '%s': found data_offsets [%llu, %llu], expected %llu bytes between them",
                          e->tensor.name, (unsigned long long)e->begin, (unsigned long long)e->end,
                          (unsigned long long)e->tensor.bytes);
    return LOCKSTEP_OK;
}

static lockstep_status read_metadata(lockstep_archive *archive, ls_source *source, ls_json *j,
                                     lockstep_error *error) {
    if (ls_json_peek(j) == 'n') /* null is accepted by the reference implementation */
        return ls_json_skip(j, error);
    LS_TRY(ls_json_begin(j, '{', "an object of strings", error));
    for (;;) {
        const char *key, *text;
        uint64_t at;
        LS_TRY(ls_json_key(j, &key, &at, error));
        if (key == NULL)
            return LOCKSTEP_OK;
        LS_TRY(ls_json_string(j, "a string", &text, error));
        ls_meta meta = {.key = key, .kind = LS_META_TEXT, .as.text = {text, strlen(text)}};
        /* the files of one model repeat their metadata: the first file's is kept */
        if (source == archive->sources[0] || ls_archive_meta(archive, key) == NULL)
            LS_TRY(ls_archive_add_meta(archive, &meta, source, at, error));
    }
}

static bool add_entry(entries *all, const entry *e) {
    if (all->count == all->capacity) {
        size_t capacity = all->capacity == 0 ? 64 : all->capacity * 2;
        entry *items = reallocarray(all->items, capacity, sizeof *items);
        if (items == NULL)
            return false;
        all->items = items;
        all->capacity = capacity;
    }
    all->items[all->count++] = *e;
    return true;
}

static lockstep_status read_header(lockstep_archive *archive, ls_source *source, ls_json *j,
                                   entries *all, lockstep_error *error) {
    bool has_metadata = false;
    LS_TRY(ls_json_begin(j, '{', "the header: an object", error));
    for (;;) {
        entry e = {.tensor.source = source, .order = all->count};
        LS_TRY(ls_json_key(j, &e.tensor.name, &e.where, error));
        if (e.tensor.name == NULL)
            return ls_json_end(j, error);
        if (strcmp(e.tensor.name, "__metadata__") == 0) {
            if (has_metadata)
                return ls_fail_at(error, LOCKSTEP_MALFORMED, j->file, e.where,
                                  "found a second __metadata__, expected one");
            has_metadata = true;
            LS_TRY(read_metadata(archive, source, j, error));
        } else {
            LS_TRY(read_entry(j, &e, error));
            if (!add_entry(all, &e))
                return ls_fail_memory(archive, error);
        }
    }
}

static int by_offset(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Adds the tensors in the order of their bytes, which must leave no holes. */
static lockstep_status add_tensors(lockstep_archive *archive, ls_source *source, uint64_t buffer,
                                   entries *all, lockstep_error *error) {
    uint64_t reached = 0, available = source->size - buffer;
    if (all->count > 0)
        qsort(all->items, all->count, sizeof *all->items, by_offset);
    for (size_t i = 0; i < all->count; i++) {
        entry *e = &all->items[i];
        if (e->begin != reached)
            return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, e->where,
                              "tensor '%s': found its data at %llu, expected %llu (no holes, no overlap)",
                              e->tensor.name, (unsigned long long)e->begin, (unsigned long long)reached);
        if (e->end > available)
            return ls_fail_at(error, LOCKSTEP_TRUNCATED, source->name, source->size,
                              "tensor '%s': found %llu bytes of data, expected %llu", e->tensor.name,
                              (unsigned long long)available, (unsigned long long)e->end);
        reached = e->end;
        e->tensor.offset = buffer + e->begin;
        LS_TRY(ls_archive_add_tensor(archive, &e->tensor, e->where, error));
    }
    if (reached != available)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, buffer + reached,
                          "found %llu bytes after the last tensor, expected none",
                          (unsigned long long)(available - reached));
    return LOCKSTEP_OK;
}

static lockstep_status open_file(lockstep_archive *archive, ls_source *source,
                                 lockstep_error *error) {
    const uint8_t *bytes;
    uint64_t length;
    LS_TRY(ls_source_bytes(source, &bytes, error));
    ls_cursor c = {.bytes = bytes, .size = source->size, .file = source->name};
    LS_TRY(ls_cursor_u64(&c, "header length", &length, error));
    if (length > HEADER_LIMIT)
        return ls_fail_at(error, LOCKSTEP_LIMIT, source->name, 0,
                          "found a header of %llu bytes, expected at most %d (is this safetensors?)",
                          (unsigned long long)length, HEADER_LIMIT);
    const uint8_t *header;
    LS_TRY(ls_cursor_bytes(&c, length, "header", &header, error));
    ls_json j = {.text = (const char *)header,
                 .size = length,
                 .origin = sizeof length,
                 .file = source->name,
                 .arena = &archive->arena};
    entries all = {0};
    lockstep_status status = read_header(archive, source, &j, &all, error);
    if (status == LOCKSTEP_OK)
        status = add_tensors(archive, source, ls_cursor_offset(&c), &all, error);
    free(all.items);
    return status;
}

/* --- a model in several files */

static lockstep_status open_index(lockstep_archive *archive, ls_source *index,
                                  lockstep_error *error) {
    ls_weight_map map = {0};
    lockstep_status status = ls_weight_map_open(archive, index, &map, error);
    for (size_t i = 0; i < map.source_count && status == LOCKSTEP_OK; i++)
        status = open_file(archive, map.sources[i], error);
    if (status == LOCKSTEP_OK)
        status = ls_weight_map_check(archive, &map, error);
    ls_weight_map_done(&map);
    return status;
}

static const char *const stems[] = {"model", "diffusion_pytorch_model", "consolidated", NULL};
static const char *const adapters[] = {"adapter_model", "pytorch_lora_weights", "lora", NULL};
static const ls_model_family family = {".safetensors", stems, adapters, true};

/* A file with an unknown name is a model only if there are no models in other formats. */
static bool is_model_folder(const char *path) {
    static const char *const others[] = {".gguf", ".bin"};
    bool alone = true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ls_arena arena = {0};
        char **names;
        size_t count = 0;
        alone = ls_path_list(&arena, path, others[i], &names, &count, NULL) == LOCKSTEP_OK && count == 0 && alone;
        ls_arena_done(&arena);
    }
    return ls_model_folder_has(path, &family, alone);
}

static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    if (is_directory)
        return is_model_folder(path);
    return ls_path_has_suffix(path, ".safetensors") ||
           ls_path_has_suffix(path, ".safetensors.index.json") ||
           (size > 8 && head[8] == '{' && memcmp(head + 4, "\0\0\0\0", 4) == 0);
}

static lockstep_status open_safetensors(lockstep_archive *archive, ls_source *source,
                                        lockstep_error *error) {
    ls_source **sources = &source;
    size_t count = 1;
    bool index = source != NULL && ls_path_has_suffix(source->name, ".safetensors.index.json");
    if (source == NULL)
        LS_TRY(ls_model_folder_open(archive, &family, &sources, &count, &index, error));
    if (index)
        return open_index(archive, sources[0], error);
    for (size_t i = 0; i < count; i++)
        LS_TRY(open_file(archive, sources[i], error));
    return LOCKSTEP_OK;
}

const ls_format ls_format_safetensors = {
    "safetensors", "safetensors, in one file or sharded with an index", probe, open_safetensors};
