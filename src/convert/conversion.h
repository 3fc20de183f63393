/* Writes the tensors of any container into another. */
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
    const char *log; /* trace.jsonl if the source is a trace, stored under LS_TRACE_LOG; or NULL */
    uint64_t log_size;
    size_t log_tensor; /* which of the archive's tensors is the log; SIZE_MAX if none is */
    const ls_meta *metas; /* in addition to the archive's */
    size_t meta_count;
} ls_conversion;

/* A row of the table of formats that can be written. */
typedef struct ls_writer {
    const char *name;
    const char *const *suffixes; /* NULL-terminated */
    bool one;                    /* a file holds one tensor */
    /* The type in which values of a type are stored: the same if the format has it, else
     * a wider one, or LOCKSTEP_OPAQUE if there is none. */
    lockstep_dtype (*holds)(lockstep_dtype dtype);
    lockstep_status (*write)(const ls_conversion *conversion, ls_sink *sink, lockstep_error *error);
    /* Why a tensor can't have this name in the format, or NULL. The member may be NULL. */
    const char *(*objection)(const ls_conversion *conversion, const char *name);
} ls_writer;

extern const ls_writer ls_writer_npy, ls_writer_npz, ls_writer_safetensors, ls_writer_gguf, ls_writer_text, ls_writer_raw;

typedef enum ls_target { LS_TARGET_KEEP, LS_TARGET_F32, LS_TARGET_F16, LS_TARGET_BF16 } ls_target;

typedef struct ls_convert_options {
    ls_target to;
    const char *select; /* regular expression for the names, or NULL */
    const char *format; /* a writer's name; NULL to go by the file's suffix */
    /* NULL, or new names, one for each of the archive's tensors (NULL omits the tensor); a
     * trace's log is then not written. */
    const char *const *names;
    const ls_meta *metas; /* in addition to the archive's, if the format has metadata */
    size_t meta_count;
} ls_convert_options;

typedef struct ls_convert_result {
    size_t tensors, left_out; /* left out: tensors that can't be decoded or written */
    const char *first_left_out; /* owned by the archive */
} ls_convert_result;

/* Converts the contents of `in`, completely or not at all. If a file of the format has only one tensor and there are
 * several, `out` becomes a directory with a file for each. */
lockstep_status ls_convert(const lockstep_archive *in, const char *out, const ls_convert_options *options,
                           ls_convert_result *out_result, lockstep_error *error);

/* For writers: pass on or write the item's elements in its type, row-major and little endian. */
lockstep_status ls_item_stream(const ls_conversion *conversion, const ls_item *item,
                               lockstep_status (*put)(void *context, const void *bytes, size_t size, lockstep_error *error),
                               void *context, lockstep_error *error);
lockstep_status ls_item_write(const ls_conversion *conversion, const ls_item *item, ls_sink *sink, lockstep_error *error);

#endif
