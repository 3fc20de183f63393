/* The destination of a recorder's lines and values: a directory (trace_writer.h), or a live
 * comparison (diff/live.h). Calls never overlap. Each returns 0 or an errno; ECANCELED: the
 * recording needs nothing more, and the observed processes are no longer recorded. */
#ifndef LS_RECORD_RECORDING_H
#define LS_RECORD_RECORDING_H

#include "tensor/dtype.h"

typedef struct ls_stored_values {
    uint64_t i;        /* of the line that will follow */
    const char *name;
    lockstep_dtype dtype; /* as stored */
    int rank;
    const uint64_t *shape;
    uint64_t elements, bytes;
} ls_stored_values;

/* The location of stored values, as their tensor line gives it. */
enum { LS_FILE_NAME = 32, LS_MEMBER_NAME = 96 };
typedef struct ls_place {
    char file[LS_FILE_NAME];
    uint64_t at, bytes; /* of the NPY in the file; `bytes` 0: the file has no others, and no members */
    char member[LS_MEMBER_NAME];
} ls_place;

typedef struct ls_recording {
    void *context;
    /* One JSON object, with its newline. */
    int (*line)(void *context, const char *text, size_t length);
    /* The values of the next tensor line, in pieces. After a failure, put does nothing and end returns
     * the errno. `whole` is false when the process died meanwhile: the values are dropped. */
    void (*begin)(void *context, const ls_stored_values *values);
    void (*put)(void *context, const void *bytes, size_t count);
    int (*end)(void *context, bool whole, ls_place *out_place);
    /* Replacement values for the tensor of line i, contiguous, in the engine's element type: the process
     * continues with them. Returns NULL to keep its own. May be NULL. */
    const void *(*replace)(void *context, uint64_t i, uint64_t *out_bytes);
    /* The replacement for this line did not reach the process. May be NULL. */
    void (*not_replaced)(void *context, uint64_t i);
    /* No values follow. An errno means that a zip directory is missing: values can be read only by way of their lines.
     * May be NULL. */
    int (*finish)(void *context);
    /* `recorded`: there were tensors. If there were none, an older trace in the directory stays. */
    int (*close)(void *context, bool recorded);
} ls_recording;

#endif
