#include "format/archive.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/grow.h"
#include "format/inflated_members.h"


lockstep_status ls_fail_memory(const lockstep_archive *archive, lockstep_error *error) {
    return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", archive->path);
}

/* --- building */

lockstep_status ls_archive_add_source(lockstep_archive *archive, ls_source *source,
                                      lockstep_error *error) {
    void *array = archive->sources;
    if (!ls_grow(&array, archive->source_count, &archive->source_capacity, sizeof *archive->sources)) {
        ls_source_close(source);
        return ls_fail_memory(archive, error);
    }
    archive->sources = array;
    archive->sources[archive->source_count++] = source;
    return LOCKSTEP_OK;
}

lockstep_status ls_archive_add_tensor(lockstep_archive *archive, const ls_tensor *tensor,
                                      uint64_t where, lockstep_error *error) {
    switch (ls_names_add(&archive->tensor_names, tensor->name, archive->tensor_count)) {
        case LS_NAMES_DUPLICATE:
            return ls_fail_at(error, LOCKSTEP_MALFORMED, tensor->source->name, where,
                              "found a second tensor named '%s', expected unique names", tensor->name);
        case LS_NAMES_NO_MEMORY:
            return ls_fail_memory(archive, error);
        case LS_NAMES_ADDED:
            break;
    }
    void *array = archive->tensors;
    if (!ls_grow(&array, archive->tensor_count, &archive->tensor_capacity, sizeof *archive->tensors))
        return ls_fail_memory(archive, error);
    archive->tensors = array;
    archive->tensors[archive->tensor_count++] = *tensor;
    return LOCKSTEP_OK;
}

lockstep_status ls_archive_keep_weights(lockstep_archive *archive, lockstep_error *error) {
    size_t count = archive->tensor_count;
    ls_names_done(&archive->tensor_names);
    archive->tensor_names = (ls_names){0};
    archive->tensor_count = 0;
    for (size_t i = 0; i < count; i++)
        if (archive->tensors[i].is_weight) {
            ls_tensor kept = archive->tensors[i];
            LS_TRY(ls_archive_add_tensor(archive, &kept, 0, error));
        }
    return LOCKSTEP_OK;
}

lockstep_status ls_archive_add_meta(lockstep_archive *archive, const ls_meta *meta,
                                    const ls_source *source, uint64_t where, lockstep_error *error) {
    switch (ls_names_add(&archive->meta_names, meta->key, archive->meta_count)) {
        case LS_NAMES_DUPLICATE:
            return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, where,
                              "found a second metadata key '%s', expected unique keys", meta->key);
        case LS_NAMES_NO_MEMORY:
            return ls_fail_memory(archive, error);
        case LS_NAMES_ADDED:
            break;
    }
    void *array = archive->metas;
    if (!ls_grow(&array, archive->meta_count, &archive->meta_capacity, sizeof *archive->metas))
        return ls_fail_memory(archive, error);
    archive->metas = array;
    archive->metas[archive->meta_count++] = *meta;
    return LOCKSTEP_OK;
}

lockstep_status ls_archive_add_note(lockstep_archive *archive, bool incomplete, lockstep_error *error, const char *format, ...) {
    enum { NOTES_MAX = 100 }; /* enough even for a folder of thousands of files */
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (archive->notes == NULL)
        archive->notes = ls_arena_array(&archive->arena, NOTES_MAX, sizeof *archive->notes);
    if (archive->notes == NULL)
        return ls_fail_memory(archive, error);
    if (archive->note_count == NOTES_MAX)
        return LOCKSTEP_OK;
    const char *copy = ls_arena_copy(&archive->arena, text, strlen(text));
    if (copy == NULL)
        return ls_fail_memory(archive, error);
    archive->notes[archive->note_count++] = (ls_note){copy, incomplete};
    return LOCKSTEP_OK;
}

lockstep_status ls_tensor_measure(ls_tensor *t, uint64_t block_elements, uint64_t block_bits,
                                  uint64_t where, lockstep_error *error) {
    char shape[LS_SHAPE_TEXT];
    ls_shape_text(t->rank, t->shape, shape);
    uint64_t volume = 1, bits; /* volume: without the axes of 0, which would hide an overflow */
    bool empty = false, fits = true;
    for (int i = 0; i < t->rank; i++) {
        empty |= t->shape[i] == 0;
        fits = fits && (t->shape[i] == 0 || ls_mul_u64(volume, t->shape[i], &volume));
    }
    uint64_t inner = t->rank > 0 ? t->shape[t->rank - 1] : 1;
    if (inner % block_elements != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, t->source->name, where,
                          "tensor '%s': found an innermost axis of %llu in %s, expected a multiple "
                          "of the %llu elements of a %s block", t->name, (unsigned long long)inner,
                          shape, (unsigned long long)block_elements, t->file_dtype);
    /* an innermost axis of 0 counts as 1, which is not a multiple of the block: round up */
    if (!fits || volume > INT64_MAX ||
        !ls_mul_u64(volume / block_elements + (volume % block_elements != 0), block_bits, &bits))
        return ls_fail_at(error, LOCKSTEP_LIMIT, t->source->name, where,
                          "tensor '%s': the size of shape %s of %s overflows 64 bits", t->name, shape,
                          t->file_dtype);
    if (empty)
        bits = 0;
    if (bits % 8 != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, t->source->name, where,
                          "tensor '%s': shape %s of %s has %llu bits, expected a multiple of 8",
                          t->name, shape, t->file_dtype, (unsigned long long)bits);
    t->elements = empty ? 0 : volume;
    t->bytes = bits / 8;
    ls_view view = {.rank = t->rank};
    memcpy(view.shape, t->shape, sizeof view.shape);
    ls_view_set_contiguous(&view);
    memcpy(t->strides, view.strides, sizeof t->strides);
    return LOCKSTEP_OK;
}

void lockstep_archive_close(lockstep_archive *archive) {
    if (archive == NULL)
        return;
    ls_inflated_free(archive->inflated);
    for (size_t i = 0; i < archive->source_count; i++)
        ls_source_close(archive->sources[i]);
    free(archive->sources);
    free(archive->tensors);
    free(archive->metas);
    ls_names_done(&archive->tensor_names);
    ls_names_done(&archive->meta_names);
    ls_arena_done(&archive->arena);
    free(archive);
}

/* --- reading */

const char *lockstep_archive_format(const lockstep_archive *archive) { return archive->format; }

size_t lockstep_archive_tensor_count(const lockstep_archive *archive) {
    return archive->tensor_count;
}

lockstep_status lockstep_archive_tensor(const lockstep_archive *archive, size_t index,
                                        lockstep_tensor_info *out_info) {
    if (index >= archive->tensor_count)
        return LOCKSTEP_INVALID_ARGUMENT;
    const ls_tensor *t = &archive->tensors[index];
    *out_info = (lockstep_tensor_info){t->name,  t->file_dtype, t->dtype, t->rank,
                                       t->shape, t->elements,   t->bytes};
    return LOCKSTEP_OK;
}

size_t ls_archive_find(const lockstep_archive *archive, const char *name) {
    return ls_names_find(&archive->tensor_names, name);
}

const ls_meta *ls_archive_meta(const lockstep_archive *archive, const char *key) {
    size_t index = ls_names_find(&archive->meta_names, key);
    return index == SIZE_MAX ? NULL : &archive->metas[index];
}

static lockstep_status view_codes(const ls_tensor *t, ls_view *out_view) {
    ls_view view = {.codes = t->codes, .dtype = t->dtype, .rank = t->rank};
    memcpy(view.shape, t->shape, sizeof view.shape);
    memcpy(view.strides, t->strides, sizeof view.strides);
    *out_view = view;
    return LOCKSTEP_OK;
}

lockstep_status ls_archive_view(const lockstep_archive *archive, size_t index, ls_view *out_view,
                                lockstep_error *error) {
    if (index >= archive->tensor_count)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: found no tensor %zu among its %zu",
                       archive->path, index, archive->tensor_count);
    const ls_tensor *t = &archive->tensors[index];
    if (t->dtype == LOCKSTEP_OPAQUE)
        return ls_fail(error, LOCKSTEP_UNSUPPORTED,
                       "%s: tensor '%s' has elements of type %s, which can't be decoded",
                       t->source->name, t->name, t->file_dtype);
    if (t->trouble != NULL)
        return ls_fail(error, LOCKSTEP_UNSUPPORTED, "%s: %s", t->source->name, t->trouble);
    if (t->codes != NULL)
        return view_codes(t, out_view);
    const uint8_t *bytes;
    if (t->member != NULL)
        LS_TRY(ls_inflated_bytes(archive->inflated, t->source, t->member, &bytes, error));
    else
        LS_TRY(ls_source_bytes(t->source, &bytes, error));
    ls_view view = {.data = bytes + t->offset, .dtype = t->dtype, .swap = t->swap, .factor = t->factor, .rank = t->rank};
    view.mapped = (t->member == NULL || !t->member->deflated) && ls_source_maps_file(t->source);
    memcpy(view.shape, t->shape, sizeof view.shape);
    memcpy(view.strides, t->strides, sizeof view.strides);
    *out_view = view;
    return LOCKSTEP_OK;
}

void ls_archive_release(const lockstep_archive *archive, size_t index) {
    const ls_tensor *t = &archive->tensors[index];
    if (t->codes != NULL)
        return; /* its parts are read again and again */
    if (t->member != NULL)
        ls_inflated_release(archive->inflated, t->member);
    else
        ls_source_release(t->source);
}

lockstep_status lockstep_archive_read(const lockstep_archive *archive, size_t index,
                                      uint64_t first, uint64_t count, double *out_values,
                                      lockstep_error *error) {
    ls_view view;
    LS_TRY(ls_archive_view(archive, index, &view, error));
    uint64_t elements = archive->tensors[index].elements;
    if (first > elements || count > elements - first)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT,
                       "%s: tensor '%s': found a read at element %llu of %llu elements, expected a range within its %llu", archive->path,
                       archive->tensors[index].name, (unsigned long long)first,
                       (unsigned long long)count, (unsigned long long)elements);
    ls_view_read_f64(&view, first, (size_t)count, out_values);
    return LOCKSTEP_OK;
}
