/* GGUF version 3, little endian. Keeps the key-values of a GGUF source, and those of other
 * sources that are text, numbers or bools. Types that GGUF doesn't have become the next
 * wider type that it has. */
#include <string.h>

#include "convert/conversion.h"
#include "format/formats.h"
#include "format/ggml_types.h"

enum { ALIGNMENT = 32, NAME_MAX_BYTES = 63, AXES = 4 };
enum { KIND_INT8 = 1, KIND_UINT32 = 4, KIND_FLOAT64 = 12, KIND_BOOL = 7, KIND_STRING = 8, KIND_ARRAY = 9, KIND_UINT64 = 10, KIND_INT64 = 11 };

static lockstep_dtype holds(lockstep_dtype dtype) {
    if (dtype == LOCKSTEP_BOOL || dtype == LOCKSTEP_U8)
        return LOCKSTEP_I16;
    if (dtype == LOCKSTEP_U16)
        return LOCKSTEP_I32;
    if (dtype == LOCKSTEP_U32)
        return LOCKSTEP_I64;
    if (dtype == LOCKSTEP_U64)
        return LOCKSTEP_OPAQUE;
    return ls_ggml_type_id(dtype) >= 0 ? dtype : LOCKSTEP_F32;
}

static lockstep_status put(ls_sink *sink, uint64_t value, size_t size, lockstep_error *error) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
    return ls_sink_write(sink, bytes, size, error);
}

static lockstep_status put_text(ls_sink *sink, const char *text, uint64_t length, lockstep_error *error) {
    LS_TRY(put(sink, length, 8, error));
    return ls_sink_write(sink, text, (size_t)length, error);
}

/* Keys that describe the layout of the source file don't apply to this one. */
static bool is_kept(const ls_meta *m) {
    return strcmp(m->key, LS_TRACE_LOG) != 0 && strcmp(m->key, "general.alignment") != 0 && strncmp(m->key, "split.", 6) != 0;
}

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static int kind_of(ls_meta_kind kind) {
    static const int kinds[] = {[LS_META_TEXT] = KIND_STRING, [LS_META_INT] = KIND_INT64, [LS_META_UINT] = KIND_UINT64,
                                [LS_META_FLOAT] = KIND_FLOAT64, [LS_META_BOOL] = KIND_BOOL, [LS_META_ARRAY] = KIND_ARRAY};
    return kinds[kind];
}

/* Uses 32 bits where they suffice: readers expect the widths that GGUF's own keys have. */
static int narrow_kind(const ls_meta *m) {
    if (m->kind == LS_META_UINT && m->as.u <= UINT32_MAX)
        return KIND_UINT32;
    if (m->kind == LS_META_INT && m->as.i >= INT32_MIN && m->as.i <= INT32_MAX)
        return 5;
    if (m->kind == LS_META_FLOAT && (double)(float)m->as.f == m->as.f)
        return 6;
    return kind_of(m->kind);
}

static lockstep_status put_scalar(ls_sink *sink, const ls_meta *m, int kind, lockstep_error *error) {
    static const size_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint64_t value = 0;
    if (m->kind == LS_META_TEXT)
        return put_text(sink, m->as.text.bytes, m->as.text.length, error);
    if (kind == 6) {
        float narrow = (float)m->as.f;
        uint32_t bits;
        memcpy(&bits, &narrow, sizeof bits);
        value = bits;
    } else {
        value = m->kind == LS_META_FLOAT ? bits_of(m->as.f) : m->kind == LS_META_INT ? (uint64_t)m->as.i : m->kind == LS_META_BOOL ? m->as.b : m->as.u;
    }
    return put(sink, value, sizes[kind], error);
}

/* The kind with the same width as in the source. */
static int element_kind(const ls_meta *array) {
    static const int uints[] = {[1] = 0, [2] = 2, [4] = 4, [8] = 10}, ints[] = {[1] = 1, [2] = 3, [4] = 5, [8] = 11};
    int width = array->as.array.width;
    switch (array->as.array.kind) {
    case LS_META_TEXT: return KIND_STRING;
    case LS_META_BOOL: return KIND_BOOL;
    case LS_META_FLOAT: return width == 4 ? 6 : KIND_FLOAT64;
    case LS_META_INT: return ints[width];
    case LS_META_UINT:
    case LS_META_ARRAY: break; /* arrays of arrays are refused when they are read */
    }
    return uints[width];
}

static lockstep_status put_meta(ls_sink *sink, const ls_meta *m, lockstep_error *error) {
    int kind = m->kind == LS_META_ARRAY ? KIND_ARRAY : narrow_kind(m);
    LS_TRY(put_text(sink, m->key, strlen(m->key), error));
    LS_TRY(put(sink, (uint64_t)kind, 4, error));
    if (m->kind != LS_META_ARRAY)
        return put_scalar(sink, m, kind, error);
    uint64_t position = 0;
    LS_TRY(put(sink, (uint64_t)element_kind(m), 4, error));
    LS_TRY(put(sink, m->as.array.count, 8, error));
    for (uint64_t i = 0; i < m->as.array.count; i++) {
        ls_meta element;
        ls_meta_next(m, &position, &element);
        LS_TRY(put_scalar(sink, &element, element_kind(m), error));
    }
    return LOCKSTEP_OK;
}

/* A trace has names and shapes in its log, so names that are too long can be shortened, and
 * the outer of too many axes merged. */
static lockstep_status put_item(ls_sink *sink, const ls_item *whole, bool traced, uint64_t offset, lockstep_error *error) {
    char name[LS_SHORT_NAME];
    uint64_t shape[LOCKSTEP_MAX_RANK];
    ls_item cut = *whole, *item = &cut;
    if (traced) {
        ls_short_name(whole->name, name);
        memcpy(shape, whole->shape, sizeof shape);
        cut.name = name;
        cut.shape = shape;
        for (; cut.rank > AXES; cut.rank--) {
            shape[0] *= shape[1];
            memmove(shape + 1, shape + 2, sizeof shape - 2 * sizeof *shape);
        }
    }
    if (strlen(item->name) > NAME_MAX_BYTES || item->rank > AXES)
        return ls_fail(error, LOCKSTEP_LIMIT, "tensor '%s' has a name of %zu bytes and %d axes: GGUF allows at most %d and %d", item->name,
                       strlen(item->name), item->rank, NAME_MAX_BYTES, AXES);
    LS_TRY(put_text(sink, item->name, strlen(item->name), error));
    LS_TRY(put(sink, (uint64_t)item->rank, 4, error));
    for (int i = item->rank; i-- > 0;)
        LS_TRY(put(sink, item->shape[i], 8, error));
    LS_TRY(put(sink, (uint64_t)ls_ggml_type_id(item->dtype), 4, error));
    return put(sink, offset, 8, error);
}

static lockstep_status write_gguf(const ls_conversion *c, ls_sink *sink, lockstep_error *error) {
    uint64_t metas = (c->log != NULL) + c->meta_count, offset = 0;
    for (size_t i = 0; i < c->archive->meta_count; i++)
        metas += is_kept(&c->archive->metas[i]);
    LS_TRY(ls_sink_write(sink, "GGUF\3\0\0", 8, error));
    LS_TRY(put(sink, c->count, 8, error));
    LS_TRY(put(sink, metas, 8, error));
    if (c->log != NULL)
        LS_TRY(put_meta(sink, &(ls_meta){.key = LS_TRACE_LOG, .kind = LS_META_TEXT, .as.text = {c->log, c->log_size}}, error));
    for (size_t i = 0; i < c->archive->meta_count; i++)
        if (is_kept(&c->archive->metas[i]))
            LS_TRY(put_meta(sink, &c->archive->metas[i], error));
    for (size_t i = 0; i < c->meta_count; i++)
        LS_TRY(put_meta(sink, &c->metas[i], error));
    for (size_t i = 0; i < c->count; i++) {
        LS_TRY(put_item(sink, &c->items[i], c->log != NULL, offset, error));
        offset += (c->items[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    LS_TRY(ls_sink_align(sink, ALIGNMENT, error));
    for (size_t i = 0; i < c->count; i++) {
        LS_TRY(ls_item_write(c, &c->items[i], sink, error));
        LS_TRY(ls_sink_align(sink, ALIGNMENT, error));
    }
    return LOCKSTEP_OK;
}

static const char *const suffixes[] = {".gguf", NULL};
const ls_writer ls_writer_gguf = {"gguf", suffixes, false, holds, write_gguf, NULL};
