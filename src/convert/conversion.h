/* Tensors of any container, written into another. */
#ifndef LS_CONVERT_CONVERSION_H
#define LS_CONVERT_CONVERSION_H

#include "format/archive.h"
#include "io/sink.h"

/* One tensor of the result. */
typedef struct ls_item {
    const char *name;
    lockstep_dtype dtype; /* in the result */
    int rank;
    const uint64_t *shape;
    size_t tensor;        /* in the archive */
    uint64_t bytes;       /* in the result */
} ls_item;

typedef struct ls_conversion {
    const lockstep_archive *archive;
    ls_item *items;
    size_t count;
    const char *log; /* trace.jsonl, where a trace is converted: kept under LS_TRACE_LOG; or NULL */
    uint64_t log_size;
    size_t log_tensor; /* where the log is one of the archive's tensors: which; else SIZE_MAX */
    const ls_meta *metas; /* besides the archive's */
    size_t meta_count;
} ls_conversion;

/* One row a format that can be written. */
typedef struct ls_writer {
    const char *name;
    const char *const *suffixes; /* NULL-terminated */
    bool one;                    /* a file holds one tensor */
    /* What it can hold instead of a type: itself where it can hold that, else a wider
     * one. LOCKSTEP_OPAQUE: nothing. */
    lockstep_dtype (*holds)(lockstep_dtype dtype);
    lockstep_status (*write)(const ls_conversion *conversion, ls_sink *sink, lockstep_error *error);
    /* Why a tensor can't have this name in the format, or NULL. The member may be NULL. */
    const char *(*objection)(const ls_conversion *conversion, const char *name);
} ls_writer;

extern const ls_writer *const ls_writers[]; /* NULL-terminated */
extern const ls_writer ls_writer_npy, ls_writer_npz, ls_writer_safetensors, ls_writer_gguf, ls_writer_text, ls_writer_raw;

typedef enum ls_target { LS_TARGET_KEEP, LS_TARGET_F32, LS_TARGET_F16, LS_TARGET_BF16 } ls_target;

typedef struct ls_convert_options {
    ls_target to;
    const char *select; /* regular expression on the names, or NULL */
    const char *format; /* a writer's name, or NULL: by the file's suffix */
    /* Other names, one a tensor of the archive (NULL: leave it out), in place of a
     * trace's log; or NULL. */
    const char *const *names;
    const ls_meta *metas; /* besides the archive's, where the format holds them */
    size_t meta_count;
} ls_convert_options;

typedef struct ls_convert_result {
    size_t tensors, left_out; /* left out: what can't be decoded, or written */
    const char *first_left_out; /* the archive's */
} ls_convert_result;

/* Converts what `in` holds, all of it or nothing. Where the format holds one tensor a file, and there are
 * several, `out` is made a directory with one file each. */
lockstep_status ls_convert(const lockstep_archive *in, const char *out, const ls_convert_options *options,
                           ls_convert_result *out_result, lockstep_error *error);

/* For writers: the item's elements, row-major and little endian, in its type. */
lockstep_status ls_item_stream(const ls_conversion *conversion, const ls_item *item,
                               lockstep_status (*put)(void *context, const void *bytes, size_t size, lockstep_error *error),
                               void *context, lockstep_error *error);
lockstep_status ls_item_write(const ls_conversion *conversion, const ls_item *item, ls_sink *sink, lockstep_error *error);

#endif
