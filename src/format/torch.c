/* PyTorch, as written by torch.save since version 1.6 (torch/serialization.py): a zip whose
 * members are in one folder, named "archive" or after the file's stem:
 *
 *   TOP/data.pkl    a pickle of the saved object (format/pickle.c)
 *   TOP/byteorder   "little" or "big"; little if it is missing
 *   TOP/data/KEY    the elements of a storage
 *   TOP/version, TOP/.data/serialization_id, …   not needed
 *
 * In the pickle a tensor is a call (torch/_utils.py) of
 *   _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])
 *   _rebuild_tensor_v3(the same up to hooks, dtype[, metadata])
 * perhaps as the first argument of _rebuild_parameter[_with_state]. A storage is the
 * persistent id ('storage', torch.FloatStorage, KEY, device, elements); if the class is
 * UntypedStorage, the last is a number of bytes. Element [i,j,…] of a tensor is at
 * offset + i * stride[0] + j * stride[1] + …, so tensors may overlap.
 *
 * Dicts, lists and tuples are flattened: a tensor's name consists of its keys and indexes,
 * joined by '.'; a tensor saved by itself has the file's name. */
#include <inttypes.h>
#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "format/formats.h"
#include "format/model_folder.h"
#include "format/inflated_members.h"
#include "format/paths.h"
#include "format/pickle.h"
#include "format/weight_map.h"

/* The pickled magic number, with which files of torch.save before 1.6 begin. */
#define LEGACY_MAGIC {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e}

enum {
    MAX_DEPTH = 64,
    MAX_NAME = 1000,
    LEAST_NODES = 1 << 16, /* allowed in any file */
    /* A stride of 0 turns few bytes into many elements; more than this is an attack. */
    MAX_EXPANDED = INT32_MAX,
};

/* --- types */

typedef enum torch_type {
    FLOAT64, FLOAT32, FLOAT16, BFLOAT16, INT64, INT32, INT16, INT8, UINT64, UINT32, UINT16, UINT8, BOOL,
    COMPLEX32, COMPLEX64, COMPLEX128, FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT8_E4M3FNUZ, FLOAT8_E5M2FNUZ,
    FLOAT8_E8M0FNU, FLOAT4_E2M1FN_X2, UNTYPED
} torch_type;

static const struct {
    const char *name;
    lockstep_dtype dtype;
    int bytes;
} types[] = {
    [FLOAT64] = {"float64", LOCKSTEP_F64, 8},
    [FLOAT32] = {"float32", LOCKSTEP_F32, 4},
    [FLOAT16] = {"float16", LOCKSTEP_F16, 2},
    [BFLOAT16] = {"bfloat16", LOCKSTEP_BF16, 2},
    [INT64] = {"int64", LOCKSTEP_I64, 8},
    [INT32] = {"int32", LOCKSTEP_I32, 4},
    [INT16] = {"int16", LOCKSTEP_I16, 2},
    [INT8] = {"int8", LOCKSTEP_I8, 1},
    [UINT64] = {"uint64", LOCKSTEP_U64, 8},
    [UINT32] = {"uint32", LOCKSTEP_U32, 4},
    [UINT16] = {"uint16", LOCKSTEP_U16, 2},
    [UINT8] = {"uint8", LOCKSTEP_U8, 1},
    [BOOL] = {"bool", LOCKSTEP_BOOL, 1},
    [COMPLEX32] = {"complex32", LOCKSTEP_OPAQUE, 4},
    [COMPLEX64] = {"complex64", LOCKSTEP_OPAQUE, 8},
    [COMPLEX128] = {"complex128", LOCKSTEP_OPAQUE, 16},
    [FLOAT8_E4M3FN] = {"float8_e4m3fn", LOCKSTEP_F8_E4M3, 1},
    [FLOAT8_E5M2] = {"float8_e5m2", LOCKSTEP_F8_E5M2, 1},
    [FLOAT8_E4M3FNUZ] = {"float8_e4m3fnuz", LOCKSTEP_F8_E4M3FNUZ, 1},
    [FLOAT8_E5M2FNUZ] = {"float8_e5m2fnuz", LOCKSTEP_F8_E5M2FNUZ, 1},
    [FLOAT8_E8M0FNU] = {"float8_e8m0fnu", LOCKSTEP_F8_E8M0, 1},
    [FLOAT4_E2M1FN_X2] = {"float4_e2m1fn_x2", LOCKSTEP_OPAQUE, 1}, /* an element is a pair */
    [UNTYPED] = {"bytes", LOCKSTEP_OPAQUE, 1},
};

/* Tags of globals. A storage class has STORAGE + type, a dtype DTYPE + type. */
enum { ORDERED_DICT, TENSOR_V2, TENSOR_V3, PARAMETER, SIZE, DEVICE, GROUP, BYTES, COMPLEX, EMPTY, STORAGE = 0x100, DTYPE = 0x200 };

static const ls_pickle_global globals[] = {
    {"collections.OrderedDict", LS_PICKLE_NEW_DICT, ORDERED_DICT},
    {"torch._utils._rebuild_tensor_v2", LS_PICKLE_FUNCTION, TENSOR_V2},
    {"torch._utils._rebuild_tensor_v3", LS_PICKLE_FUNCTION, TENSOR_V3},
    {"torch._utils._rebuild_parameter", LS_PICKLE_FUNCTION, PARAMETER},
    {"torch._utils._rebuild_parameter_with_state", LS_PICKLE_FUNCTION, PARAMETER},
    {"torch._utils._rebuild_sparse_tensor", LS_PICKLE_FUNCTION, GROUP},
    {"torch.Size", LS_PICKLE_FUNCTION, SIZE},
    {"collections.Counter", LS_PICKLE_FUNCTION, GROUP},
    {"__builtin__.set", LS_PICKLE_FUNCTION, GROUP},
    {"builtins.set", LS_PICKLE_FUNCTION, GROUP},
    {"__builtin__.frozenset", LS_PICKLE_FUNCTION, GROUP},
    {"builtins.frozenset", LS_PICKLE_FUNCTION, GROUP},
    {"__builtin__.bytearray", LS_PICKLE_FUNCTION, GROUP},
    {"builtins.bytearray", LS_PICKLE_FUNCTION, GROUP},
    {"__builtin__.bytes", LS_PICKLE_FUNCTION, BYTES},
    {"builtins.bytes", LS_PICKLE_FUNCTION, BYTES},
    {"_codecs.encode", LS_PICKLE_FUNCTION, BYTES},
    {"__builtin__.complex", LS_PICKLE_FUNCTION, COMPLEX},
    {"builtins.complex", LS_PICKLE_FUNCTION, COMPLEX},
    {"torch.serialization._get_layout", LS_PICKLE_FUNCTION, BYTES},
    {"torch._utils._rebuild_meta_tensor_no_storage", LS_PICKLE_FUNCTION, EMPTY},
    {"torch.per_tensor_affine", LS_PICKLE_VALUE, 0},
    {"torch.per_tensor_symmetric", LS_PICKLE_VALUE, 0},
    {"torch.per_channel_affine", LS_PICKLE_VALUE, 0},
    {"torch.per_channel_symmetric", LS_PICKLE_VALUE, 0},
    {"torch.per_channel_affine_float_qparams", LS_PICKLE_VALUE, 0},
    {"torch.device", LS_PICKLE_FUNCTION, DEVICE},
    {"torch.DoubleStorage", LS_PICKLE_VALUE, STORAGE + FLOAT64},
    {"torch.FloatStorage", LS_PICKLE_VALUE, STORAGE + FLOAT32},
    {"torch.HalfStorage", LS_PICKLE_VALUE, STORAGE + FLOAT16},
    {"torch.BFloat16Storage", LS_PICKLE_VALUE, STORAGE + BFLOAT16},
    {"torch.LongStorage", LS_PICKLE_VALUE, STORAGE + INT64},
    {"torch.IntStorage", LS_PICKLE_VALUE, STORAGE + INT32},
    {"torch.ShortStorage", LS_PICKLE_VALUE, STORAGE + INT16},
    {"torch.CharStorage", LS_PICKLE_VALUE, STORAGE + INT8},
    {"torch.ByteStorage", LS_PICKLE_VALUE, STORAGE + UINT8},
    {"torch.BoolStorage", LS_PICKLE_VALUE, STORAGE + BOOL},
    {"torch.ComplexFloatStorage", LS_PICKLE_VALUE, STORAGE + COMPLEX64},
    {"torch.ComplexDoubleStorage", LS_PICKLE_VALUE, STORAGE + COMPLEX128},
    {"torch.storage.UntypedStorage", LS_PICKLE_VALUE, STORAGE + UNTYPED},
    {"torch.float64", LS_PICKLE_VALUE, DTYPE + FLOAT64},
    {"torch.float32", LS_PICKLE_VALUE, DTYPE + FLOAT32},
    {"torch.float16", LS_PICKLE_VALUE, DTYPE + FLOAT16},
    {"torch.bfloat16", LS_PICKLE_VALUE, DTYPE + BFLOAT16},
    {"torch.int64", LS_PICKLE_VALUE, DTYPE + INT64},
    {"torch.int32", LS_PICKLE_VALUE, DTYPE + INT32},
    {"torch.int16", LS_PICKLE_VALUE, DTYPE + INT16},
    {"torch.int8", LS_PICKLE_VALUE, DTYPE + INT8},
    {"torch.uint64", LS_PICKLE_VALUE, DTYPE + UINT64},
    {"torch.uint32", LS_PICKLE_VALUE, DTYPE + UINT32},
    {"torch.uint16", LS_PICKLE_VALUE, DTYPE + UINT16},
    {"torch.uint8", LS_PICKLE_VALUE, DTYPE + UINT8},
    {"torch.bool", LS_PICKLE_VALUE, DTYPE + BOOL},
    {"torch.complex32", LS_PICKLE_VALUE, DTYPE + COMPLEX32},
    {"torch.complex64", LS_PICKLE_VALUE, DTYPE + COMPLEX64},
    {"torch.complex128", LS_PICKLE_VALUE, DTYPE + COMPLEX128},
    {"torch.float8_e4m3fn", LS_PICKLE_VALUE, DTYPE + FLOAT8_E4M3FN},
    {"torch.float8_e5m2", LS_PICKLE_VALUE, DTYPE + FLOAT8_E5M2},
    {"torch.float8_e4m3fnuz", LS_PICKLE_VALUE, DTYPE + FLOAT8_E4M3FNUZ},
    {"torch.float8_e5m2fnuz", LS_PICKLE_VALUE, DTYPE + FLOAT8_E5M2FNUZ},
    {"torch.float8_e8m0fnu", LS_PICKLE_VALUE, DTYPE + FLOAT8_E8M0FNU},
    {"torch.float4_e2m1fn_x2", LS_PICKLE_VALUE, DTYPE + FLOAT4_E2M1FN_X2},
    {0},
};

/* --- a file being read */

typedef struct reader {
    lockstep_archive *archive;
    ls_source *zip, *pickle; /* data.pkl has a source of its own, for messages */
    const ls_zip_member *members;
    ls_names names; /* of the members */
    const char *top;
    bool big_endian;
    bool repeats_metas; /* the files of one model repeat metadata: the first file's is kept */
    uint64_t visits, name_bytes;
    char path[MAX_NAME + 1]; /* keys from the root to the current value, joined */
    size_t length;
} reader;

#define FAIL(r, node, error, status, ...) \
    ls_fail_at(error, status, (r)->pickle->name, (node)->where, __VA_ARGS__)

static const ls_zip_member *find_member(const reader *r, const char *folder, const char *name,
                                        size_t length) {
    char path[400];
    int n = snprintf(path, sizeof path, "%s/%s%.*s", r->top, folder, (int)(length < 300 ? length : 300), name);
    size_t index = n < (int)sizeof path && length < 300 && memchr(name, 0, length) == NULL
                       ? ls_names_find(&r->names, path) : SIZE_MAX;
    return index == SIZE_MAX ? NULL : &r->members[index];
}

/* --- tensors */

/* The arguments of _rebuild_tensor_v2 or _v3. */
typedef struct arguments {
    const ls_pickle_node *call, *size, *stride, *dtype, *metadata; /* the last two may be NULL */
    const ls_pickle_node *storage; /* the persistent id: a tuple */
    uint64_t offset;
} arguments;

static bool get_count(const ls_pickle_node *node, uint64_t *out) {
    *out = (uint64_t)node->as.i;
    return node->kind == LS_PICKLE_INT && node->as.i >= 0;
}

static bool is_tagged(const ls_pickle_node *node, int family) {
    return node->kind == LS_PICKLE_GLOBAL && (node->as.global->tag & ~0xff) == family;
}

static lockstep_status read_arguments(const reader *r, const ls_pickle_node *call, arguments *out,
                                      lockstep_error *error) {
    const ls_pickle_node *tuple = call->as.call.arguments;
    ls_pickle_node *const *items = tuple->as.list.items;
    uint32_t count = tuple->as.list.count;
    uint32_t least = call->as.call.function->tag == TENSOR_V3 ? 7 : 6;
    if (count != least && count != least + 1)
        return FAIL(r, call, error, LOCKSTEP_MALFORMED,
                    "tensor '%s': found %u arguments of %s, expected %u or %u", r->path, count,
                    call->as.call.function->name, least, least + 1);
    *out = (arguments){.call = call, .size = items[2], .stride = items[3],
                       .dtype = least == 7 ? items[6] : NULL,
                       .metadata = count > least ? items[least] : NULL};
    if (items[0]->kind != LS_PICKLE_PERSISTENT)
        return FAIL(r, call, error, LOCKSTEP_MALFORMED, "tensor '%s': found %s, expected a storage",
                    r->path, ls_pickle_kind_text(items[0]));
    out->storage = items[0]->as.persistent;
    if (!get_count(items[1], &out->offset))
        return FAIL(r, call, error, LOCKSTEP_MALFORMED,
                    "tensor '%s': found a storage offset that is not an integer of at least 0", r->path);
    if (out->size->kind != LS_PICKLE_TUPLE || out->stride->kind != LS_PICKLE_TUPLE ||
        out->size->as.list.count != out->stride->as.list.count)
        return FAIL(r, call, error, LOCKSTEP_MALFORMED,
                    "tensor '%s': expected a tuple of sizes and one of as many strides", r->path);
    if (out->dtype != NULL && !is_tagged(out->dtype, DTYPE))
        return FAIL(r, call, error, LOCKSTEP_MALFORMED, "tensor '%s': found %s, expected a dtype", r->path,
                    ls_pickle_kind_text(out->dtype));
    return LOCKSTEP_OK;
}

/* The lazy negation of floats is applied when they are read. That of integers and a lazy
 * conjugation can't be, and become part of the type's name. */
static lockstep_status read_metadata(const reader *r, const arguments *a, ls_tensor *t,
                                     lockstep_error *error) {
    if (a->metadata == NULL || a->metadata->kind == LS_PICKLE_NONE)
        return LOCKSTEP_OK;
    if (a->metadata->kind != LS_PICKLE_DICT)
        return FAIL(r, a->call, error, LOCKSTEP_MALFORMED, "tensor '%s': found %s, expected a dict of metadata",
                    r->path, ls_pickle_kind_text(a->metadata));
    for (uint32_t i = 0; i + 1 < a->metadata->as.list.count; i += 2) {
        const ls_pickle_node *key = a->metadata->as.list.items[i], *value = a->metadata->as.list.items[i + 1];
        bool is_text = key->kind == LS_PICKLE_TEXT;
        bool is_neg = is_text && key->as.text.length == 3 && memcmp(key->as.text.bytes, "neg", 3) == 0;
        bool is_conj = is_text && key->as.text.length == 4 && memcmp(key->as.text.bytes, "conj", 4) == 0;
        if ((!is_neg && !is_conj) || value->kind != LS_PICKLE_BOOL)
            return FAIL(r, key, error, LOCKSTEP_UNSUPPORTED,
                        "tensor '%s': found metadata other than 'neg' and 'conj'", r->path);
        if (!value->as.b)
            continue;
        if (is_neg && t->dtype != LOCKSTEP_OPAQUE && ls_dtype(t->dtype)->is_float) {
            t->factor = -1;
            continue;
        }
        t->dtype = LOCKSTEP_OPAQUE;
        t->file_dtype = ls_arena_printf(&r->archive->arena, "%s, %s", t->file_dtype,
                                        is_neg ? "negated" : "conjugated");
        if (t->file_dtype == NULL)
            return ls_fail_memory(r->archive, error);
    }
    return LOCKSTEP_OK;
}

/* Finds the record, and how many elements of `type` the storage has. */
static lockstep_status find_storage(const reader *r, const arguments *a, torch_type *out_type,
                                    const ls_zip_member **out_member, uint64_t *out_elements,
                                    lockstep_error *error) {
    ls_pickle_node *const *id = a->storage->as.list.items;
    uint64_t count, bytes;
    if (a->storage->as.list.count != 5 || id[0]->kind != LS_PICKLE_TEXT ||
        id[0]->as.text.length != 7 || memcmp(id[0]->as.text.bytes, "storage", 7) != 0 ||
        !is_tagged(id[1], STORAGE) || id[2]->kind != LS_PICKLE_TEXT || !get_count(id[4], &count))
        return FAIL(r, a->storage, error, LOCKSTEP_MALFORMED,
                    "tensor '%s': expected the id ('storage', a class of storages, key, device, count)",
                    r->path);
    torch_type type = (torch_type)(id[1]->as.global->tag & 0xff);
    uint64_t width = (uint64_t)types[type].bytes;
    if (a->dtype != NULL)
        type = (torch_type)(a->dtype->as.global->tag & 0xff);
    else if (type == UNTYPED)
        return FAIL(r, a->call, error, LOCKSTEP_MALFORMED, "tensor '%s': found an untyped storage and no dtype",
                    r->path);
    int length = (int)(id[2]->as.text.length < 100 ? id[2]->as.text.length : 100);
    const ls_zip_member *member = find_member(r, "data/", id[2]->as.text.bytes, id[2]->as.text.length);
    if (member == NULL)
        return FAIL(r, a->storage, error, LOCKSTEP_MALFORMED, "tensor '%s': found no record '%s/data/%.*s'",
                    r->path, r->top, length, id[2]->as.text.bytes);
    if (!ls_mul_u64(count, width, &bytes) || bytes > member->size)
        return FAIL(r, a->storage, error, LOCKSTEP_MALFORMED,
                    "tensor '%s': found %" PRIu64 " elements of %" PRIu64 " bytes, its record '%s' has %" PRIu64 " bytes",
                    r->path, count, width, member->name, member->size);
    *out_type = type;
    *out_member = member;
    *out_elements = bytes / (uint64_t)types[type].bytes;
    return LOCKSTEP_OK;
}

/* Sets sizes and strides, and checks that all elements are inside the storage. */
static lockstep_status place_view(const reader *r, const arguments *a, int width, uint64_t available,
                                  ls_tensor *t, lockstep_error *error) {
    ls_pickle_node *const *strides = a->stride->as.list.items;
    uint64_t last = a->offset;
    LS_TRY(ls_tensor_measure(t, 1, 8 * (uint64_t)width, a->call->where, error));
    for (int i = 0; i < t->rank; i++) {
        uint64_t stride, way;
        if (!get_count(strides[i], &stride))
            return FAIL(r, a->call, error, LOCKSTEP_MALFORMED,
                        "tensor '%s': found a stride that is not an integer of at least 0", r->path);
        if (t->shape[i] < 2 || t->elements == 0)
            continue; /* never added */
        if (!ls_mul_u64(t->shape[i] - 1, stride, &way) || !ls_add_u64(last, way, &last))
            last = UINT64_MAX;
        t->strides[i] = (int64_t)stride;
    }
    if (t->elements > 0 && last >= available)
        return FAIL(r, a->call, error, LOCKSTEP_MALFORMED,
                    "tensor '%s': its last element is number %" PRIu64 " of its storage, which has %" PRIu64,
                    r->path, last, available);
    if (t->elements > available && t->elements > MAX_EXPANDED)
        return FAIL(r, a->call, error, LOCKSTEP_LIMIT,
                    "tensor '%s': found %" PRIu64 " elements of a storage of %" PRIu64 ", expected at most %d",
                    r->path, t->elements, available, MAX_EXPANDED);
    t->offset = t->elements > 0 ? a->offset * (uint64_t)width : 0;
    return LOCKSTEP_OK;
}

static lockstep_status copy_name(reader *r, const ls_pickle_node *node, const char **out,
                                 lockstep_error *error) {
    uint64_t most = 4 * r->pickle->size + 65536; /* nesting may repeat a name */
    r->name_bytes += r->length + 1;
    if (r->name_bytes > most)
        return FAIL(r, node, error, LOCKSTEP_LIMIT, "found more than %" PRIu64 " bytes of names", most);
    *out = ls_arena_copy(&r->archive->arena, r->path, r->length);
    return *out != NULL ? LOCKSTEP_OK : ls_fail_memory(r->archive, error);
}

static lockstep_status add_tensor(reader *r, const ls_pickle_node *call, lockstep_error *error) {
    arguments a = {0};
    torch_type type = UNTYPED;
    uint64_t available = 0;
    ls_tensor t = {.source = r->pickle};
    LS_TRY(read_arguments(r, call, &a, error));
    LS_TRY(copy_name(r, call, &t.name, error));
    if (a.size->as.list.count > LOCKSTEP_MAX_RANK)
        return FAIL(r, call, error, LOCKSTEP_LIMIT, "tensor '%s': found %u axes, expected at most %d",
                    t.name, a.size->as.list.count, LOCKSTEP_MAX_RANK);
    t.rank = (int)a.size->as.list.count;
    for (int i = 0; i < t.rank; i++)
        if (!get_count(a.size->as.list.items[i], &t.shape[i]))
            return FAIL(r, call, error, LOCKSTEP_MALFORMED,
                        "tensor '%s': found a size that is not an integer of at least 0", t.name);
    LS_TRY(find_storage(r, &a, &type, &t.member, &available, error));
    t.dtype = types[type].dtype;
    t.file_dtype = types[type].name;
    t.swap = r->big_endian && types[type].bytes > 1;
    LS_TRY(place_view(r, &a, types[type].bytes, available, &t, error));
    LS_TRY(read_metadata(r, &a, &t, error));
    if (ls_archive_find(r->archive, t.name) != SIZE_MAX)
        return FAIL(r, call, error, LOCKSTEP_MALFORMED, "found a second tensor named '%s', expected unique names",
                    t.name);
    t.source = r->zip;
    return ls_archive_add_tensor(r->archive, &t, call->where, error);
}

/* --- metadata */

static lockstep_status add_meta(reader *r, const ls_pickle_node *node, ls_meta meta,
                                lockstep_error *error) {
    if (r->repeats_metas && ls_names_find(&r->archive->meta_names, r->path) != SIZE_MAX)
        return LOCKSTEP_OK;
    LS_TRY(copy_name(r, node, &meta.key, error));
    return ls_archive_add_meta(r->archive, &meta, r->pickle, node->where, error);
}

static lockstep_status add_text(reader *r, const ls_pickle_node *node, const char *text,
                                lockstep_error *error) {
    return add_meta(r, node, (ls_meta){.kind = LS_META_TEXT, .as.text = {text, strlen(text)}}, error);
}

static bool is_number(const ls_pickle_node *node) {
    return node->kind == LS_PICKLE_INT || node->kind == LS_PICKLE_FLOAT;
}

/* Whether a list has only numbers: then it is one array, of int64 or float64. */
static bool is_array(const ls_pickle_node *list, bool *out_is_float) {
    *out_is_float = false;
    for (uint32_t i = 0; i < list->as.list.count; i++) {
        if (!is_number(list->as.list.items[i]))
            return false;
        *out_is_float |= list->as.list.items[i]->kind == LS_PICKLE_FLOAT;
    }
    return list->as.list.count > 0;
}

static lockstep_status add_array(reader *r, const ls_pickle_node *list, bool is_float,
                                 lockstep_error *error) {
    uint32_t count = list->as.list.count;
    uint8_t *bytes = ls_arena_array(&r->archive->arena, count, 8);
    if (bytes == NULL)
        return ls_fail_memory(r->archive, error);
    r->visits += count;
    for (uint32_t i = 0; i < count; i++) {
        const ls_pickle_node *item = list->as.list.items[i];
        double number = item->kind == LS_PICKLE_FLOAT ? item->as.f : (double)item->as.i;
        if (is_float)
            memcpy(bytes + 8 * (size_t)i, &number, 8);
        else
            memcpy(bytes + 8 * (size_t)i, &item->as.i, 8);
    }
    ls_meta meta = {.kind = LS_META_ARRAY};
    meta.as.array.kind = is_float ? LS_META_FLOAT : LS_META_INT;
    meta.as.array.width = 8;
    meta.as.array.count = count;
    meta.as.array.bytes = bytes;
    return add_meta(r, list, meta, error);
}

/* --- the walk */

static lockstep_status visit(reader *r, ls_pickle_node *node, int depth, lockstep_error *error);

/* Visits a value with its key appended to the path. */
static lockstep_status visit_under(reader *r, const char *key, size_t key_length, ls_pickle_node *node,
                                   int depth, lockstep_error *error) {
    size_t before = r->length;
    if (before + 1 + key_length > MAX_NAME)
        return FAIL(r, node, error, LOCKSTEP_LIMIT, "'%s': found a name longer than %d bytes below it", r->path,
                    MAX_NAME);
    if (depth > 0)
        r->path[r->length++] = '.';
    if (key_length > 0)
        memcpy(r->path + r->length, key, key_length);
    r->length += key_length;
    r->path[r->length] = '\0';
    LS_TRY(visit(r, node, depth + 1, error));
    r->length = before;
    r->path[before] = '\0';
    return LOCKSTEP_OK;
}

static lockstep_status visit_list(reader *r, const ls_pickle_node *list, int depth,
                                  lockstep_error *error) {
    bool is_float;
    if (is_array(list, &is_float))
        return add_array(r, list, is_float, error);
    for (uint32_t i = 0; i < list->as.list.count; i++) {
        char key[16];
        int length = snprintf(key, sizeof key, "%" PRIu32, i);
        LS_TRY(visit_under(r, key, (size_t)length, list->as.list.items[i], depth, error));
    }
    return LOCKSTEP_OK;
}

static lockstep_status visit_dict(reader *r, const ls_pickle_node *dict, int depth,
                                  lockstep_error *error) {
    for (uint32_t i = 0; i + 1 < dict->as.list.count; i += 2) {
        const ls_pickle_node *key = dict->as.list.items[i];
        char number[24];
        const char *text = number;
        size_t length;
        if (key->kind == LS_PICKLE_INT) {
            length = (size_t)snprintf(number, sizeof number, "%" PRId64, key->as.i);
        } else if (key->kind == LS_PICKLE_TEXT && memchr(key->as.text.bytes, 0, key->as.text.length) == NULL) {
            text = key->as.text.bytes;
            length = key->as.text.length;
        } else if (key->kind == LS_PICKLE_NONE || key->kind == LS_PICKLE_BOOL) {
            length = (size_t)snprintf(number, sizeof number, "%s", key->kind == LS_PICKLE_NONE ? "None" : key->as.b ? "True" : "False");
        } else if (key->kind == LS_PICKLE_FLOAT) {
            length = (size_t)snprintf(number, sizeof number, "%.12g", key->as.f);
        } else if (key->kind == LS_PICKLE_TUPLE || key->kind == LS_PICKLE_GLOBAL || key->kind == LS_PICKLE_CALL) {
            length = (size_t)snprintf(number, sizeof number, "key%" PRIu32, i / 2); /* has no readable name */
        } else {
            return FAIL(r, key, error, LOCKSTEP_UNSUPPORTED,
                        "'%s': found %s as a dict's key, expected a string without NUL or an int", r->path,
                        ls_pickle_kind_text(key));
        }
        LS_TRY(visit_under(r, text, length, dict->as.list.items[i + 1], depth, error));
    }
    return LOCKSTEP_OK;
}

/* Adds torch.device('cuda', 0) as "cuda:0". */
static lockstep_status visit_device(reader *r, const ls_pickle_node *call, lockstep_error *error) {
    const ls_pickle_node *given = call->as.call.arguments;
    ls_pickle_node *const *items = given->as.list.items;
    uint32_t count = given->as.list.count;
    char text[64];
    if (count == 0 || count > 2 || items[0]->kind != LS_PICKLE_TEXT || items[0]->as.text.length > 32 ||
        (count == 2 && items[1]->kind != LS_PICKLE_INT))
        return FAIL(r, call, error, LOCKSTEP_MALFORMED, "'%s': expected a device's name and number", r->path);
    int length = snprintf(text, sizeof text, "%.*s", (int)items[0]->as.text.length, items[0]->as.text.bytes);
    if (count == 2)
        snprintf(text + length, sizeof text - (size_t)length, ":%" PRId64, items[1]->as.i);
    const char *copy = ls_arena_copy(&r->archive->arena, text, strlen(text));
    return copy != NULL ? add_text(r, call, copy, error) : ls_fail_memory(r->archive, error);
}

static lockstep_status visit_container(reader *r, ls_pickle_node *node, int depth,
                                       lockstep_error *error) {
    if (node->entered)
        return FAIL(r, node, error, LOCKSTEP_UNSUPPORTED, "'%s': found %s that contains itself", r->path,
                    ls_pickle_kind_text(node));
    if (depth >= MAX_DEPTH)
        return FAIL(r, node, error, LOCKSTEP_LIMIT, "'%s': found containers nested deeper than %d",
                    r->path, MAX_DEPTH);
    node->entered = true;
    LS_TRY(node->kind == LS_PICKLE_DICT ? visit_dict(r, node, depth, error)
                                        : visit_list(r, node, depth, error));
    node->entered = false;
    return LOCKSTEP_OK;
}

static lockstep_status add_text_of(reader *r, const ls_pickle_node *node, const ls_pickle_node *text, lockstep_error *error) {
    ls_meta meta = {.kind = LS_META_TEXT, .as.text = {"", 0}};
    if (text != NULL)
        meta.as.text.bytes = text->as.text.bytes, meta.as.text.length = text->as.text.length;
    return add_meta(r, node, meta, error);
}

static double number_of(const ls_pickle_node *node) { return node->kind == LS_PICKLE_FLOAT ? node->as.f : node->kind == LS_PICKLE_INT ? (double)node->as.i : NAN; }

/* Adds a complex number as Python writes it: "(1+2j)". */
static lockstep_status visit_complex(reader *r, const ls_pickle_node *call, lockstep_error *error) {
    const ls_pickle_node *given = call->as.call.arguments;
    if (given->as.list.count != 2)
        return FAIL(r, call, error, LOCKSTEP_MALFORMED, "'%s': expected a real and an imaginary part", r->path);
    const char *copy = ls_arena_printf(&r->archive->arena, "(%.17g%+.17gj)", number_of(given->as.list.items[0]), number_of(given->as.list.items[1]));
    return copy != NULL ? add_text(r, call, copy, error) : ls_fail_memory(r->archive, error);
}

/* A single argument stands for the group; several are visited under their numbers. */
static lockstep_status visit_arguments(reader *r, const ls_pickle_node *given, int depth, lockstep_error *error) {
    if (given->as.list.count == 1)
        return visit(r, given->as.list.items[0], depth, error);
    for (uint32_t i = 0; i < given->as.list.count; i++) {
        char key[16];
        int length = snprintf(key, sizeof key, "%" PRIu32, i);
        LS_TRY(visit_under(r, key, (size_t)length, given->as.list.items[i], depth + 1, error));
    }
    return LOCKSTEP_OK;
}

static lockstep_status visit_call(reader *r, const ls_pickle_node *call, int depth,
                                  lockstep_error *error) {
    for (;;) { /* this ends, because arguments are older than their call */
        const ls_pickle_node *given = call->as.call.arguments;
        ls_pickle_node *first = given->as.list.count > 0 ? given->as.list.items[0] : NULL;
        switch (call->as.call.function->tag) {
            case TENSOR_V2:
            case TENSOR_V3:
                return add_tensor(r, call, error);
            case DEVICE:
                return visit_device(r, call, error);
            case GROUP: /* sets and the like */
                return visit_arguments(r, given, depth, error);
            case BYTES: /* in protocol 2, _codecs.encode(u'…', 'latin1'); b'' has no arguments */
                return add_text_of(r, call, first != NULL && first->kind == LS_PICKLE_TEXT ? first : NULL, error);
            case EMPTY: /* a tensor on the device "meta" has no values */
                return add_text(r, call, call->as.call.function->name, error);
            case COMPLEX:
                return visit_complex(r, call, error);
            case SIZE:
                if (first == NULL || first->kind != LS_PICKLE_TUPLE)
                    return FAIL(r, call, error, LOCKSTEP_MALFORMED, "'%s': expected a tuple of sizes", r->path);
                return visit_container(r, first, depth, error);
            default: /* PARAMETER */
                if (first == NULL || first->kind != LS_PICKLE_CALL)
                    return FAIL(r, call, error, LOCKSTEP_MALFORMED, "'%s': expected a parameter's tensor", r->path);
                call = first;
        }
    }
}

static lockstep_status visit(reader *r, ls_pickle_node *node, int depth, lockstep_error *error) {
    uint64_t most = 4 * r->pickle->size; /* nesting shared containers can yield 2^n values */
    if (++r->visits > most)
        return FAIL(r, node, error, LOCKSTEP_LIMIT, "found more than %" PRIu64 " values, expected fewer in a pickle of this size",
                    most);
    switch ((ls_pickle_kind)node->kind) {
        case LS_PICKLE_NONE:
            return LOCKSTEP_OK;
        case LS_PICKLE_BOOL:
            return add_meta(r, node, (ls_meta){.kind = LS_META_BOOL, .as.b = node->as.b}, error);
        case LS_PICKLE_INT:
            return add_meta(r, node, (ls_meta){.kind = LS_META_INT, .as.i = node->as.i}, error);
        case LS_PICKLE_UINT:
            return add_meta(r, node, (ls_meta){.kind = LS_META_UINT, .as.u = node->as.u}, error);
        case LS_PICKLE_FLOAT:
            return add_meta(r, node, (ls_meta){.kind = LS_META_FLOAT, .as.f = node->as.f}, error);
        case LS_PICKLE_TEXT:
            return add_meta(r, node, (ls_meta){.kind = LS_META_TEXT,
                                               .as.text = {node->as.text.bytes, node->as.text.length}}, error);
        case LS_PICKLE_TUPLE:
        case LS_PICKLE_LIST:
        case LS_PICKLE_DICT:
            return visit_container(r, node, depth, error);
        case LS_PICKLE_CALL:
            return visit_call(r, node, depth, error);
        case LS_PICKLE_GLOBAL:
            return add_text(r, node, node->as.global->name, error);
        case LS_PICKLE_PERSISTENT:
            break;
    }
    return FAIL(r, node, error, LOCKSTEP_UNSUPPORTED, "'%s': found a storage that belongs to no tensor", r->path);
}

/* --- the archive */

/* Sets the path to the stem of a file name: "model" for "some/model.pt". */
static void set_stem(reader *r, const char *path) {
    const char *base = ls_path_base(path), *dot = strrchr(base, '.');
    size_t length = dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base);
    r->length = length < MAX_NAME ? length : MAX_NAME;
    memcpy(r->path, base, r->length);
    r->path[r->length] = '\0';
}

static lockstep_status index_members(reader *r, size_t count, lockstep_error *error) {
    size_t top = count > 0 ? strcspn(r->members[0].name, "/") : 0;
    for (size_t i = 0; i < count; i++) {
        const ls_zip_member *m = &r->members[i];
        if (strcspn(m->name, "/") != top || m->name[top] != '/' ||
            memcmp(m->name, r->members[0].name, top) != 0)
            return ls_fail_at(error, LOCKSTEP_MALFORMED, r->zip->name, m->record,
                              "found the member '%s', expected all members in one folder (was this written by torch.save?)",
                              m->name);
        if (ls_names_add(&r->names, m->name, i) == LS_NAMES_NO_MEMORY)
            return ls_fail_memory(r->archive, error);
    }
    r->top = ls_arena_copy(&r->archive->arena, count > 0 ? r->members[0].name : "", top);
    return r->top != NULL ? LOCKSTEP_OK : ls_fail_memory(r->archive, error);
}

static lockstep_status read_byte_order(reader *r, lockstep_error *error) {
    const ls_zip_member *m = find_member(r, "", "byteorder", 9);
    char text[8] = "";
    if (m == NULL)
        return LOCKSTEP_OK;
    if (m->size < sizeof text)
        LS_TRY(ls_zip_read(r->zip, m, text, (size_t)m->size, error));
    r->big_endian = strcmp(text, "big") == 0;
    if (!r->big_endian && strcmp(text, "little") != 0)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, r->zip->name, m->data,
                          "zip member '%s': expected 'little' or 'big'", m->name);
    return LOCKSTEP_OK;
}

/* Makes data.pkl a source of the archive, so that strings can be used in place. */
static lockstep_status open_pickle(reader *r, lockstep_error *error) {
    const ls_zip_member *m = find_member(r, "", "constants.pkl", 13);
    if (m != NULL)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, r->zip->name, m->record,
                          "found '%s', so this is TorchScript, a program: save its state_dict() with torch.save",
                          m->name);
    m = find_member(r, "", "data.pkl", 8);
    if (m == NULL)
        return ls_fail(error, LOCKSTEP_UNSUPPORTED, "%s: found a zip without '%s/data.pkl', expected a file written by torch.save",
                       r->zip->name, r->top);
    if (m->size > LS_PICKLE_LIMIT)
        return ls_fail_at(error, LOCKSTEP_LIMIT, r->zip->name, m->record,
                          "zip member '%s': found %" PRIu64 " bytes, expected at most %d", m->name, m->size,
                          LS_PICKLE_LIMIT);
    const uint8_t *bytes;
    const char *name = ls_arena_printf(&r->archive->arena, "%s(%s)", r->zip->name, m->name);
    if (name == NULL)
        return ls_fail_memory(r->archive, error);
    LS_TRY(ls_inflated_bytes(r->archive->inflated, r->zip, m, &bytes, error));
    LS_TRY(ls_source_open_memory(name, bytes, (size_t)m->size, &r->pickle, error));
    return ls_archive_add_source(r->archive, r->pickle, error);
}

static lockstep_status read_file(reader *r, size_t member_count, lockstep_error *error) {
    ls_arena arena = {0}; /* the nodes are only needed during the walk */
    ls_pickle_node *root = NULL;
    LS_TRY(index_members(r, member_count, error));
    LS_TRY(open_pickle(r, error));
    LS_TRY(read_byte_order(r, error));
    lockstep_status status = ls_pickle_read(r->pickle, globals, r->zip->size + LEAST_NODES, &arena, &root, error);
    if (status == LOCKSTEP_OK) {
        if (root->kind != LS_PICKLE_DICT && root->kind != LS_PICKLE_LIST && root->kind != LS_PICKLE_TUPLE)
            set_stem(r, r->zip->name);
        status = visit(r, root, 0, error);
    }
    ls_arena_done(&arena);
    return status;
}

static lockstep_status refuse_others(const ls_source *source, lockstep_error *error) {
    static const uint8_t legacy[] = LEGACY_MAGIC;
    uint8_t head[512] = {0};
    size_t size = source->size < sizeof head ? (size_t)source->size : sizeof head;
    LS_TRY(ls_source_read_at((ls_source *)(uintptr_t)source, 0, head, size, error));
    if (memcmp(head, "PK", 2) == 0)
        return LOCKSTEP_OK;
    const char *what = memcmp(head, legacy, sizeof legacy) == 0 ? "the format of torch.save before 1.6"
                       : memcmp(head + 257, "ustar", 5) == 0    ? "the tar format of early PyTorch versions"
                       : memcmp(head, "PYTORCH1", 8) == 0       ? "the format of early PyTorch versions"
                                                                : NULL;
    if (what != NULL)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, source->name, 0,
                          "found %s, expected a zip: load it and save it again with torch.save(torch.load(PATH), PATH)",
                          what);
    return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, source->name, 0,
                      "found %02x %02x %02x %02x, expected the zip that torch.save writes ('PK' 03 04)", head[0],
                      head[1], head[2], head[3]);
}

/* Adds the tensors of all files. The archive owns the sources. */
static lockstep_status open_files(lockstep_archive *archive, ls_source *const *sources, size_t count,
                                    lockstep_error *error) {
    ls_zip_member **members = ls_arena_array(&archive->arena, count, sizeof *members);
    size_t *counts = ls_arena_array(&archive->arena, count, sizeof *counts), total = 0;
    if (members == NULL || counts == NULL)
        return ls_fail_memory(archive, error);
    for (size_t i = 0; i < count; i++) {
        bool has_crc = false;
        LS_TRY(refuse_others(sources[i], error));
        LS_TRY(ls_zip_list(sources[i], &archive->arena, &members[i], &counts[i], error));
        for (size_t k = 0; k < counts[i]; k++) {
            members[i][k].index += total;
            has_crc |= members[i][k].crc != 0;
        }
        for (size_t k = 0; k < counts[i]; k++) /* torch.serialization.set_crc32_options(False) */
            members[i][k].crc_left_out = !has_crc;
        total += counts[i];
    }
    archive->inflated = ls_inflated_new(total);
    if (archive->inflated == NULL)
        return ls_fail_memory(archive, error);
    for (size_t i = 0; i < count; i++) {
        reader *r = calloc(1, sizeof *r);
        if (r == NULL)
            return ls_fail_memory(archive, error);
        *r = (reader){.archive = archive, .zip = sources[i], .members = members[i], .repeats_metas = i > 0};
        lockstep_status status = read_file(r, counts[i], error);
        ls_names_done(&r->names);
        free(r);
        if (status != LOCKSTEP_OK)
            return status;
    }
    return LOCKSTEP_OK;
}

/* --- one file, or a model in several */

static lockstep_status open_index(lockstep_archive *archive, ls_source *index,
                                  lockstep_error *error) {
    ls_weight_map map = {0};
    lockstep_status status = ls_weight_map_open(archive, index, &map, error);
    if (status == LOCKSTEP_OK)
        status = open_files(archive, map.sources, map.source_count, error);
    if (status == LOCKSTEP_OK)
        status = ls_weight_map_check(archive, &map, error);
    ls_weight_map_done(&map);
    return status;
}

static const char *const stems[] = {"pytorch_model", "diffusion_pytorch_model", NULL};
static const char *const adapters[] = {"adapter_model", "pytorch_lora_weights", NULL};
static const ls_model_family family = {".bin", stems, adapters, false};

static lockstep_status open_torch(lockstep_archive *archive, ls_source *source, lockstep_error *error) {
    ls_source **sources = &source;
    size_t count = 1;
    bool index = source != NULL && ls_path_has_suffix(source->name, ".bin.index.json");
    archive->is_ordered = true;
    if (source == NULL)
        LS_TRY(ls_model_folder_open(archive, &family, &sources, &count, &index, error));
    return index ? open_index(archive, sources[0], error) : open_files(archive, sources, count, error);
}

/* For a zip; the first member's name follows the 30 bytes of the local header. */
static bool begins_with_pickle(const uint8_t *head, size_t size) {
    static const char wanted[] = "/data.pkl";
    size_t name = 30, length = size >= name ? (size_t)head[26] | (size_t)head[27] << 8 : 0;
    return length > sizeof wanted - 1 && length <= size - name &&
           memcmp(head + name + length - (sizeof wanted - 1), wanted, sizeof wanted - 1) == 0;
}

static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    static const uint8_t legacy[] = LEGACY_MAGIC;
    if (is_directory)
        return ls_model_folder_has(path, &family, true);
    bool is_zip = size >= 4 && memcmp(head, "PK\3\4", 4) == 0;
    return (is_zip && (begins_with_pickle(head, size) || ls_path_has_suffix(path, ".bin"))) ||
           (size >= sizeof legacy && memcmp(head, legacy, sizeof legacy) == 0) ||
           ls_path_has_suffix(path, ".pt") || ls_path_has_suffix(path, ".pth") ||
           ls_path_has_suffix(path, ".ckpt") || ls_path_has_suffix(path, ".bin.index.json");
}

const ls_format ls_format_torch = {"torch", "files written by torch.save (.pt, .pth, .bin), single or sharded with an index", probe, open_torch};
