/* Lockstep: numerical parity of two implementations of one neural network.
 *
 * The one public header. It runs from simple to advanced:
 *   1. errors                2. element types
 *   3. reading containers    4. recording tensors from an engine
 *
 * Thread safety: an opened archive is immutable and may be read from any number
 * of threads. A recorder may be called from any number of threads.
 */
#ifndef LOCKSTEP_LOCKSTEP_H
#define LOCKSTEP_LOCKSTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default) /* the shared library exports what is declared here */

/* ---------------------------------------------------------------- 1. errors */

/* Pinned: a value never changes its meaning. */
#define LOCKSTEP_STATUS_LIST(X)                                         \
    X(OK, 0, "ok")                                                      \
    X(INVALID_ARGUMENT, 1, "invalid argument")                          \
    X(NOT_FOUND, 2, "not found")                                        \
    X(IO, 3, "input/output error")                                      \
    X(TRUNCATED, 4, "truncated: ends before what it declares")          \
    X(MALFORMED, 5, "malformed: breaks its format's rules")             \
    X(UNSUPPORTED, 6, "unsupported")                                    \
    X(LIMIT, 7, "beyond a limit, or a size that overflows")             \
    X(NO_MEMORY, 8, "out of memory")                                    \
    X(UNKNOWN_FORMAT, 9, "no known format")                             \
    X(INCOMPARABLE, 10, "nothing that could be compared")               \
    X(DISCONNECTED, 11, "the other side is gone")                       \
    X(INTERNAL, 12, "internal error")

typedef enum lockstep_status {
#define X(name, value, text) LOCKSTEP_##name = value,
    LOCKSTEP_STATUS_LIST(X)
#undef X
} lockstep_status;

#define LOCKSTEP_NO_OFFSET UINT64_MAX

/* Owned by the caller, filled on failure only. `message` is one line, UTF-8,
 * already escaped for a terminal, and names the file, the offset where there is
 * one, what was found and what was expected. */
typedef struct lockstep_error {
    lockstep_status status;
    uint64_t offset; /* byte offset in the file, or LOCKSTEP_NO_OFFSET */
    char message[500];
} lockstep_error;

/* A short English text for a status; never NULL. */
const char *lockstep_status_text(lockstep_status status);

/* The library's version, "MAJOR.MINOR.PATCH". */
const char *lockstep_version(void);

/* --------------------------------------------------------- 2. element types */

#define LOCKSTEP_MAX_RANK 8

/* Names are those of `lockstep ls`; sizes and decoders are in tensor/dtype.c. */
typedef enum lockstep_dtype {
    LOCKSTEP_BOOL,
    LOCKSTEP_I8,
    LOCKSTEP_U8,
    LOCKSTEP_I16,
    LOCKSTEP_U16,
    LOCKSTEP_I32,
    LOCKSTEP_U32,
    LOCKSTEP_I64,
    LOCKSTEP_U64,
    LOCKSTEP_F16,
    LOCKSTEP_BF16,
    LOCKSTEP_F32,
    LOCKSTEP_F64,
    LOCKSTEP_Q8_0,
    LOCKSTEP_Q4_0,
    LOCKSTEP_OPAQUE, /* an element type that is listed but can't be decoded */
    LOCKSTEP_DTYPE_COUNT
} lockstep_dtype;

/* "f32", "q8_0", …; never NULL. */
const char *lockstep_dtype_name(lockstep_dtype dtype);

/* ---------------------------------------------------- 3. reading containers */

typedef struct lockstep_archive lockstep_archive;

/* A tensor as it lies in its file. Strings and arrays belong to the archive. */
typedef struct lockstep_tensor_info {
    const char *name;  /* UTF-8 as in the file; escape it before printing */
    const char *dtype; /* the file's own name of the type, e.g. "BF16", "q4_K" */
    lockstep_dtype type;
    int rank;                               /* 0 is a scalar */
    const uint64_t *shape;                  /* outermost axis first, elements */
    uint64_t elements;                      /* product of shape */
    uint64_t bytes;                         /* of the elements, after any inflation */
} lockstep_tensor_info;

/* Opens a file or a directory of any readable container. On failure *out_archive
 * is untouched and `error` (may be NULL) is filled. */
lockstep_status lockstep_archive_open(const char *path, lockstep_archive **out_archive,
                                      lockstep_error *error);
/* Frees the archive and everything borrowed from it. NULL is allowed. */
void lockstep_archive_close(lockstep_archive *archive);
/* "npy", "gguf", …: the row of the format table that read it. */
const char *lockstep_archive_format(const lockstep_archive *archive);
size_t lockstep_archive_tensor_count(const lockstep_archive *archive);
/* LOCKSTEP_INVALID_ARGUMENT when index is out of range. */
lockstep_status lockstep_archive_tensor(const lockstep_archive *archive, size_t index,
                                        lockstep_tensor_info *out_info);
/* Decodes elements [first, first + count) in row-major order to double (exact for
 * every type but 64-bit integers beyond 2^53). */
lockstep_status lockstep_archive_read(const lockstep_archive *archive, size_t index,
                                      uint64_t first, uint64_t count, double *out_values,
                                      lockstep_error *error);

/* -------------------------------------- 4. recording tensors from an engine */

typedef struct lockstep_recorder lockstep_recorder;

/* The rows of a forward pass: one (sequence, position, token) each. Any array
 * may be NULL where the engine doesn't know it. */
typedef struct lockstep_rows {
    size_t count;
    const int32_t *tokens;
    const int32_t *positions;
    const int32_t *sequences;
} lockstep_rows;

/* Opens the channel that `lockstep capture` put in the environment. NULL when
 * there is none: every function below then returns at once. */
lockstep_recorder *lockstep_capture_open(const char *engine, const char *version);
void lockstep_capture_pass_begin(lockstep_recorder *recorder, const lockstep_rows *rows);
/* Records one tensor; strides are in bytes, NULL when contiguous row-major.
 * layer is -1 outside of blocks. The data is copied before this returns. */
void lockstep_capture_tensor(lockstep_recorder *recorder, const char *name, int layer,
                             lockstep_dtype dtype, int rank, const uint64_t *shape,
                             const int64_t *strides, const void *data);
void lockstep_capture_pass_end(lockstep_recorder *recorder);
void lockstep_capture_close(lockstep_recorder *recorder);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
