/* Lockstep: numerical parity of two implementations of one neural network.
 *
 * The one public header. It runs from simple to advanced:
 *   1. errors                2. element types
 *   3. reading containers    4. comparing checkpoints
 *   5. recording tensors from an engine
 *
 * Thread safety: an opened archive, or a comparison, is immutable and may be read from
 * any number of threads. A recorder may be called from any number of threads.
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
    LOCKSTEP_F8_E4M3, /* OCP: no infinities; one NaN of each sign */
    LOCKSTEP_F8_E5M2,
    LOCKSTEP_F8_E4M3FNUZ,
    LOCKSTEP_F8_E5M2FNUZ,
    LOCKSTEP_F8_E8M0, /* powers of two */
    LOCKSTEP_F4,      /* E2M1, two a byte, the low nibble first */
    LOCKSTEP_Q8_0, /* from here on: ggml's blocks */
    LOCKSTEP_Q4_0,
    LOCKSTEP_Q4_1,
    LOCKSTEP_Q5_0,
    LOCKSTEP_Q5_1,
    LOCKSTEP_Q8_1,
    LOCKSTEP_Q2_K,
    LOCKSTEP_Q3_K,
    LOCKSTEP_Q4_K,
    LOCKSTEP_Q5_K,
    LOCKSTEP_Q6_K,
    LOCKSTEP_Q8_K,
    LOCKSTEP_IQ2_XXS,
    LOCKSTEP_IQ2_XS,
    LOCKSTEP_IQ2_S,
    LOCKSTEP_IQ3_XXS,
    LOCKSTEP_IQ3_S,
    LOCKSTEP_IQ1_S,
    LOCKSTEP_IQ1_M,
    LOCKSTEP_IQ4_NL,
    LOCKSTEP_IQ4_XS,
    LOCKSTEP_TQ1_0,
    LOCKSTEP_TQ2_0,
    LOCKSTEP_MXFP4,
    LOCKSTEP_NVFP4,
    LOCKSTEP_Q1_0,
    LOCKSTEP_Q2_0,
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

/* -------------------------------------- 5. recording tensors from an engine */

/* One recorder a model (or context); several may live in one process and be
 * called from any number of threads. Nothing here fails, prints or changes what
 * the engine does: without `lockstep capture`, or once that is gone, each function
 * is one branch. A forked child records as a process of its own, through the
 * recorder that it inherited. */
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
 * there is none, or no memory. The strings are copied; version may be NULL. */
lockstep_recorder *lockstep_capture_open(const char *engine, const char *version);
/* Begins a pass, and ends the one before. rows may be NULL. */
void lockstep_capture_pass_begin(lockstep_recorder *recorder, const lockstep_rows *rows);
/* Records one tensor. shape is in elements, outermost axis first. strides are in
 * bytes and may be zero or negative, NULL when contiguous row-major; of a
 * quantized type, the innermost is that of a block and must be the block's size.
 * layer is -1 outside of blocks. data is element [0, …, 0], and is copied before
 * this returns. Outside of a pass, one begins. Counts as chosen by hand: it is kept
 * whatever --observe says. */
void lockstep_capture_tensor(lockstep_recorder *recorder, const char *name, int layer,
                             lockstep_dtype dtype, int rank, const uint64_t *shape,
                             const int64_t *strides, const void *data);
void lockstep_capture_pass_end(lockstep_recorder *recorder);
/* Ends an open pass and frees. NULL is allowed. */
void lockstep_capture_close(lockstep_recorder *recorder);

/* The same with all that a trace can tell, for engines that have a graph. */
typedef enum lockstep_role {
    LOCKSTEP_ROLE_COMPUTED,
    LOCKSTEP_ROLE_INPUT,  /* of the graph: ids, positions, masks */
    LOCKSTEP_ROLE_WEIGHT, /* belongs to no pass */
    LOCKSTEP_ROLE_STATE,  /* a KV cache */
    LOCKSTEP_ROLE_VIEW,   /* the values of a source, seen otherwise */
    LOCKSTEP_ROLE_WRITE   /* values written into a state */
} lockstep_role;

typedef struct lockstep_node {
    const char *name, *op; /* op: NULL is "" */
    int layer;             /* -1 outside of blocks */
    lockstep_role role;
    lockstep_dtype dtype;
    const char *dtype_name; /* as the engine calls it; NULL: dtype's name */
    int rank;
    const uint64_t *shape;
    const int64_t *strides;
    const void *data;        /* NULL: a line without values */
    const uint64_t *sources; /* what lockstep_capture_node returned for its inputs */
    size_t source_count;
    const char *backend; /* the buffer or device; may be NULL */
    bool output;         /* of a layer or the network: --observe outputs keeps it */
    bool writable;       /* data is writable, and `lockstep check --resync` may overwrite it
                          * with the reference's values before this returns */
} lockstep_node;

/* The user wants this node's values: an engine may save itself the way to them.
 * Looks at name, op, layer, role and output. */
bool lockstep_capture_wants(lockstep_recorder *recorder, const lockstep_node *node);
/* Records the node, with its values when they are there and wanted. Returns its
 * number for later nodes' sources; 0 (which sources may hold) when not recorded. */
uint64_t lockstep_capture_node(lockstep_recorder *recorder, const lockstep_node *node);
/* Rows of the open pass that were learned after it began; as many as it began with, if any. */
void lockstep_capture_rows(lockstep_recorder *recorder, const lockstep_rows *rows);
/* A line of text for the user, such as what could not be recorded. */
void lockstep_capture_note(lockstep_recorder *recorder, const char *text);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
