/* Where a recorder's lines and values go: a directory (trace_writer.h), or a
 * comparison that looks on (align/live.h). Calls never overlap. Each returns 0, or
 * the errno of why it failed; ECANCELED: the recording has what it wanted, and the
 * observed processes are left alone from here on. */
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

/* Where values were put, as their line says it. */
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
    /* The values of the next tensor line, in pieces. After a failure, put does
     * nothing; end says why. Not `whole`: the process died meanwhile, drop them. */
    void (*begin)(void *context, const ls_stored_values *values);
    void (*put)(void *context, const void *bytes, size_t count);
    int (*end)(void *context, bool whole, ls_place *out_place);
    /* Other values for the tensor of a line, as the engine's own element type has them,
     * contiguous: what the process is to go on with. NULL for its own. May be NULL. */
    const void *(*replace)(void *context, uint64_t i, uint64_t *out_bytes);
    /* What replace gave for this line did not reach the process. May be NULL. */
    void (*not_replaced)(void *context, uint64_t i);
    /* No values follow. 0, or why those that are there can be read with their lines alone. May be NULL. */
    int (*finish)(void *context);
    /* `recorded`: there were tensors. Without them, what a directory held before stays. */
    int (*close)(void *context, bool recorded);
} ls_recording;

#endif
