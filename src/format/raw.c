/* Raw files: only values, row-major, little endian. Type and shape come from the user, as
 * PATH::DTYPE or PATH::DTYPE,2x3x4, or the type from the name:
 *
 *   llamacpp-MODEL.bin, pytorch-MODEL.bin     f32: logits or embeddings, as llama.cpp's
 *                                             model-conversion and llama-debug write them
 *   of these, …-tokens.bin                    i32
 *   NAME.f32, NAME.bf16, …                    the dtype
 *
 * Without a shape there is one axis. */
#include <inttypes.h>
#include <string.h>

#include "format/address.h"
#include "format/formats.h"
#include "format/paths.h"

static bool is_of_llama(const char *base) {
    return ls_path_has_suffix(base, ".bin") &&
           (strncmp(base, "llamacpp-", 9) == 0 || strncmp(base, "pytorch-", 8) == 0);
}

/* The type according to the name; LOCKSTEP_OPAQUE if it has none. */
static lockstep_dtype dtype_of_name(const char *path) {
    const char *base = ls_path_base(path), *dot = strrchr(base, '.');
    lockstep_dtype dtype = LOCKSTEP_OPAQUE;
    if (is_of_llama(base))
        return ls_path_has_suffix(base, "-tokens.bin") ? LOCKSTEP_I32 : LOCKSTEP_F32;
    return dot != NULL && ls_dtype_find(dot + 1, &dtype) ? dtype : LOCKSTEP_OPAQUE;
}

static lockstep_status open_raw(lockstep_archive *archive, ls_source *source, lockstep_error *error) {
    const char *base = ls_path_base(source->name), *dot = strrchr(base, '.');
    size_t stem = dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base);
    ls_tensor t = {.name = ls_arena_copy(&archive->arena, base, stem), .source = source};
    bool has_shape = false;
    if (t.name == NULL)
        return ls_fail_memory(archive, error);
    t.dtype = dtype_of_name(source->name);
    if (strcmp(archive->path, source->name) != 0) { /* it is an address */
        ls_address address;
        LS_TRY(ls_address_read(archive->path, &address, error));
        t.dtype = address.dtype;
        t.rank = address.rank;
        memcpy(t.shape, address.shape, sizeof t.shape);
        has_shape = address.has_shape;
    }
    if (t.dtype == LOCKSTEP_OPAQUE)
        return ls_fail(error, LOCKSTEP_UNKNOWN_FORMAT,
                       "%s: has no header of a known format; if it holds only values, say which, as in %s::f32,2x3",
                       source->name, source->name);
    const ls_dtype_row *row = ls_dtype(t.dtype);
    t.file_dtype = row->name;
    if (!has_shape) {
        t.rank = 1;
        t.shape[0] = source->size / row->block_bytes * row->block_elements;
    }
    LS_TRY(ls_tensor_measure(&t, row->block_elements, 8 * (uint64_t)row->block_bytes, 0, error));
    if (t.bytes != source->size) {
        char shape[LS_SHAPE_TEXT];
        ls_shape_text(t.rank, t.shape, shape);
        return ls_fail_at(error, t.bytes > source->size ? LOCKSTEP_TRUNCATED : LOCKSTEP_MALFORMED,
                          source->name, source->size, "found %" PRIu64 " bytes, expected %" PRIu64 " for shape %s of %s",
                          source->size, t.bytes, shape, t.file_dtype);
    }
    return ls_archive_add_tensor(archive, &t, 0, error);
}

/* The last row for files. */
static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    (void)head, (void)size;
    return !is_directory && (ls_path_has_suffix(path, ".bin") || ls_path_has_suffix(path, ".raw") ||
                             dtype_of_name(path) != LOCKSTEP_OPAQUE);
}

const ls_format ls_format_raw = {"raw", "values without a header (.bin, .raw, .f32, PATH::DTYPE,SHAPE)",
                                 probe, open_raw};
