/* Lockstep: numerical parity of two implementations of one neural network.
 *
 * All of the public interface. It runs from simple to advanced:
 *   1. recording tensors from an engine (capture.h, with the element types and the version)
 *   2. errors    3. reading containers    4. comparing checkpoints
 *
 * Thread safety: an opened archive, or a comparison, is immutable and may be read from
 * any number of threads.
 */
#ifndef LOCKSTEP_LOCKSTEP_H
#define LOCKSTEP_LOCKSTEP_H

#include <lockstep/capture.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default) /* the shared library exports what is declared here */

/* ---------------------------------------------------------------- 2. errors */

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

/* Opens a file or a directory of any readable container. "PATH::f32,2x3" is a file
 * of values alone, when no file has that name. On failure *out_archive is untouched
 * and `error` (may be NULL) is filled. */
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

/* ---------------------------------------------- 4. comparing checkpoints */

/* What `lockstep diff` finds in two checkpoints (docs/checkpoints.md). */
typedef struct lockstep_comparison lockstep_comparison;

/* A weight of the candidate (or a part of one) and the reference's that answers to it.
 * Strings belong to the comparison. */
typedef struct lockstep_weight {
    const char *reference, *candidate; /* names, as in the files */
    const char *verdict;               /* "identical", "match", "worse", "differs", … */
    bool fails;                        /* neither identical nor match */
    double nmse;                       /* sum d^2 / sum reference^2; NaN where it wasn't compared */
    double allowed_nmse;               /* what the two types may give */
    const char *layout;                /* the converter's changes that were made; "" */
    const char *cause;                 /* why it fails, as far as a trial showed it; or NULL */
} lockstep_weight;

/* Compares configuration, vocabulary and weights. On failure *out_comparison is
 * untouched and `error` (may be NULL) is filled. */
lockstep_status lockstep_checkpoints_compare(const char *reference, const char *candidate,
                                             lockstep_comparison **out_comparison, lockstep_error *error);
/* NULL is allowed. */
void lockstep_comparison_close(lockstep_comparison *comparison);
/* No finding fails, and something was compared. */
bool lockstep_comparison_matches(const lockstep_comparison *comparison);
/* Lines of text in the order of suspicion, escaped for a terminal. NULL when index is
 * out of range. */
size_t lockstep_comparison_finding_count(const lockstep_comparison *comparison);
const char *lockstep_comparison_finding(const lockstep_comparison *comparison, size_t index, bool *out_fails);
/* Pairs, in the order of the candidate's file. */
size_t lockstep_comparison_weight_count(const lockstep_comparison *comparison);
lockstep_status lockstep_comparison_weight(const lockstep_comparison *comparison, size_t index,
                                           lockstep_weight *out_weight);
/* The first pair of the candidate's tensor that an engine calls `name`: SIZE_MAX when
 * there is none. */
size_t lockstep_comparison_find(const lockstep_comparison *comparison, const char *name);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
