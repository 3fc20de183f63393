/* Shared by the fuzz targets of containers: opens the bytes as one format, and reads a
 * part of each tensor. */
#ifndef LS_FUZZ_ARCHIVE_H
#define LS_FUZZ_ARCHIVE_H

#include <stdlib.h>
#include <string.h>

#include "format/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_read(const lockstep_archive *archive, size_t index) {
    enum { PIECE = 64, INFLATED_LIMIT = 1 << 20 };
    const ls_tensor *t = &archive->tensors[index];
    double values[PIECE];
    lockstep_error error;
    if (t->bytes > INFLATED_LIMIT)
        return; /* takes time, and finds nothing */
    uint64_t count = t->elements < PIECE ? t->elements : PIECE;
    if (lockstep_archive_read(archive, index, 0, count, values, &error) != LOCKSTEP_OK)
        return;
    /* the last elements, where a read beyond the end would happen */
    if (lockstep_archive_read(archive, index, t->elements - count, count, values, &error) != LOCKSTEP_OK)
        abort();
    ls_archive_release(archive, index);
}

static inline void fuzz_metadata(const lockstep_archive *archive) {
    for (size_t i = 0; i < archive->meta_count; i++) {
        const ls_meta *meta = &archive->metas[i];
        ls_meta element;
        for (uint64_t k = 0, at = 0; meta->kind == LS_META_ARRAY && k < meta->as.array.count; k++)
            ls_meta_next(meta, &at, &element);
        if (ls_archive_meta(archive, meta->key) != meta)
            abort();
    }
}

/* Opens a copy of exactly `size` bytes, so that AddressSanitizer detects a read beyond the end. */
static inline void fuzz_archive(const ls_format *format, const char *name, const uint8_t *data,
                                size_t size) {
    uint8_t *copy = malloc(size + (size == 0));
    ls_source *source;
    lockstep_archive *archive;
    lockstep_error error;
    if (copy == NULL)
        return;
    if (size > 0)
        memcpy(copy, data, size);
    if (ls_source_open_memory(name, copy, size, &source, &error) == LOCKSTEP_OK) {
        if (ls_archive_open_source(source, format, &archive, &error) == LOCKSTEP_OK) {
            fuzz_metadata(archive);
            for (size_t i = 0; i < archive->tensor_count && i < 64; i++)
                fuzz_read(archive, i);
            lockstep_archive_close(archive);
        } else if (error.message[0] == '\0' || error.status == LOCKSTEP_OK) {
            abort(); /* a failure must have a message */
        }
    }
    free(copy);
}

#endif
