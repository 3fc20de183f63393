/* Recording the tensors of an engine: everything that an engine needs from Lockstep.
 *
 * Link -llockstep-capture (libc is its only dependency), or open it with dlopen.
 * docs/capture-c.md shows an example.
 *
 *   1. version    2. element types    3. recording
 *
 * Thread safety: all functions may be called from any number of threads, even for the
 * same recorder.
 */
#ifndef LOCKSTEP_CAPTURE_H
#define LOCKSTEP_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default) /* the shared libraries export what is declared here */

/* --------------------------------------------------------------- 1. version */

/* The version of these headers. */
#define LOCKSTEP_VERSION_MAJOR 0
#define LOCKSTEP_VERSION_MINOR 1
#define LOCKSTEP_VERSION_PATCH 0
/* A version as one number, for comparisons: LOCKSTEP_VERSION_NUMBER >= 1002 means 0.1.2 or later. */
#define LOCKSTEP_VERSION_NUMBER \
    (LOCKSTEP_VERSION_MAJOR * 1000000 + LOCKSTEP_VERSION_MINOR * 1000 + LOCKSTEP_VERSION_PATCH)

/* The version of the loaded library: "MAJOR.MINOR.PATCH", and as one number. */
const char *lockstep_version(void);
int lockstep_version_number(void);

/* --------------------------------------------------------- 2. element types */

#define LOCKSTEP_MAX_RANK 8

/* X(name, number, text, elements per block, bytes per block). The numbers are stable: a type
 * keeps its number forever, and a new type gets the next one. The text is the type's name in
 * traces and in `lockstep ls`. */
#define LOCKSTEP_DTYPE_LIST(X) \
    X(OPAQUE, 0, "opaque", 1, 0) /* listed by name only: its elements are not decoded */  \
    X(BOOL, 1, "bool", 1, 1)                                                              \
    X(I8, 2, "i8", 1, 1)                                                                  \
    X(U8, 3, "u8", 1, 1)                                                                  \
    X(I16, 4, "i16", 1, 2)                                                                \
    X(U16, 5, "u16", 1, 2)                                                                \
    X(I32, 6, "i32", 1, 4)                                                                \
    X(U32, 7, "u32", 1, 4)                                                                \
    X(I64, 8, "i64", 1, 8)                                                                \
    X(U64, 9, "u64", 1, 8)                                                                \
    X(F16, 10, "f16", 1, 2)                                                               \
    X(BF16, 11, "bf16", 1, 2)                                                             \
    X(F32, 12, "f32", 1, 4)                                                               \
    X(F64, 13, "f64", 1, 8)                                                               \
    X(F8_E4M3, 14, "f8_e4m3", 1, 1) /* OCP: no infinities, one NaN per sign */            \
    X(F8_E5M2, 15, "f8_e5m2", 1, 1)                                                       \
    X(F8_E4M3FNUZ, 16, "f8_e4m3fnuz", 1, 1)                                               \
    X(F8_E5M2FNUZ, 17, "f8_e5m2fnuz", 1, 1)                                               \
    X(F8_E8M0, 18, "f8_e8m0", 1, 1) /* powers of two */                                   \
    X(F4, 19, "f4", 2, 1) /* E2M1, two per byte, low nibble first */                      \
    X(Q8_0, 20, "q8_0", 32, 34) /* from here on, ggml's blocks */                         \
    X(Q4_0, 21, "q4_0", 32, 18)                                                           \
    X(Q4_1, 22, "q4_1", 32, 20)                                                           \
    X(Q5_0, 23, "q5_0", 32, 22)                                                           \
    X(Q5_1, 24, "q5_1", 32, 24)                                                           \
    X(Q8_1, 25, "q8_1", 32, 36)                                                           \
    X(Q2_K, 26, "q2_K", 256, 84)                                                          \
    X(Q3_K, 27, "q3_K", 256, 110)                                                         \
    X(Q4_K, 28, "q4_K", 256, 144)                                                         \
    X(Q5_K, 29, "q5_K", 256, 176)                                                         \
    X(Q6_K, 30, "q6_K", 256, 210)                                                         \
    X(Q8_K, 31, "q8_K", 256, 292)                                                         \
    X(IQ2_XXS, 32, "iq2_xxs", 256, 66)                                                    \
    X(IQ2_XS, 33, "iq2_xs", 256, 74)                                                      \
    X(IQ2_S, 34, "iq2_s", 256, 82)                                                        \
    X(IQ3_XXS, 35, "iq3_xxs", 256, 98)                                                    \
    X(IQ3_S, 36, "iq3_s", 256, 110)                                                       \
    X(IQ1_S, 37, "iq1_s", 256, 50)                                                        \
    X(IQ1_M, 38, "iq1_m", 256, 56)                                                        \
    X(IQ4_NL, 39, "iq4_nl", 32, 18)                                                       \
    X(IQ4_XS, 40, "iq4_xs", 256, 136)                                                     \
    X(TQ1_0, 41, "tq1_0", 256, 54)                                                        \
    X(TQ2_0, 42, "tq2_0", 256, 66)                                                        \
    X(MXFP4, 43, "mxfp4", 32, 17)                                                         \
    X(NVFP4, 44, "nvfp4", 64, 36)                                                         \
    X(Q1_0, 45, "q1_0", 128, 18)                                                          \
    X(Q2_0, 46, "q2_0", 64, 18)                                                           \
    /* codes with scales in tensors beside them (docs/quantized.md), only read from checkpoints */ \
    X(SCALED_E4M3, 47, "scaled_e4m3", 2, 0) \
    X(SCALED_E5M2, 48, "scaled_e5m2", 2, 0) \
    X(SCALED_I8, 49, "scaled_i8", 2, 0) \
    X(SCALED_I6, 50, "scaled_i6", 2, 0) \
    X(SCALED_I5, 51, "scaled_i5", 2, 0) \
    X(SCALED_I4, 52, "scaled_i4", 2, 0) \
    X(SCALED_I3, 53, "scaled_i3", 2, 0) \
    X(SCALED_I2, 54, "scaled_i2", 2, 0) \
    X(SCALED_F4, 55, "scaled_f4", 2, 0) \
    X(SCALED_NF4, 56, "scaled_nf4", 2, 0)

typedef enum lockstep_dtype {
#define X(name, number, text, block_elements, block_bytes) LOCKSTEP_##name = number,
    LOCKSTEP_DTYPE_LIST(X)
#undef X
    LOCKSTEP_DTYPE_COUNT /* of this version of the headers */
} lockstep_dtype;

/* "f32", "q8_0", …; "unknown" for a number that this version doesn't have; never NULL. */
const char *lockstep_dtype_name(lockstep_dtype dtype);

/* ------------------------------------------------------------- 3. recording */

/* One recorder per model (or context); a process may have several. No function here fails,
 * prints, or changes what the engine does: without `lockstep capture`, or once that is gone,
 * each call costs one branch. A forked child records as a separate process, through the
 * recorder that it inherited. */
typedef struct lockstep_recorder lockstep_recorder;

/* The token of a row whose embedding the program computed elsewhere, for example from a picture. */
enum { LOCKSTEP_NO_TOKEN = -1 };

/* The rows of a forward pass: each is a (sequence, position, token). Arrays that the engine
 * doesn't know may be NULL. */
typedef struct lockstep_rows {
    size_t count;
    const int32_t *tokens;
    const int32_t *positions;
    const int32_t *sequences;
} lockstep_rows;

/* Opens the channel that `lockstep capture` has put in the environment. NULL if there is
 * none, or if out of memory. The strings are copied; version may be NULL. */
lockstep_recorder *lockstep_capture_open(const char *engine, const char *version);
/* Begins a pass, and ends the previous one. rows may be NULL. */
void lockstep_capture_pass_begin(lockstep_recorder *recorder, const lockstep_rows *rows);
/* Records one tensor. shape is in elements, outermost axis first. strides are in bytes and
 * may be zero or negative, or NULL for contiguous row-major data; for a quantized type, the
 * innermost is that of a block and must be the block's size. layer is -1 outside blocks.
 * data points to element [0, …, 0] and is copied before this returns. Begins a pass if none
 * is open. The tensor counts as selected explicitly: it is kept for any --observe. */
void lockstep_capture_tensor(lockstep_recorder *recorder, const char *name, int layer,
                             lockstep_dtype dtype, int rank, const uint64_t *shape,
                             const int64_t *strides, const void *data);
void lockstep_capture_pass_end(lockstep_recorder *recorder);
/* Ends an open pass and frees the recorder. NULL is allowed. */
void lockstep_capture_close(lockstep_recorder *recorder);

/* The same with everything that a trace can have, for engines with a graph. */
typedef enum lockstep_role {
    LOCKSTEP_ROLE_COMPUTED = 0,
    LOCKSTEP_ROLE_INPUT = 1,  /* input of the graph: ids, positions, masks */
    LOCKSTEP_ROLE_WEIGHT = 2, /* belongs to no pass */
    LOCKSTEP_ROLE_STATE = 3,  /* a KV cache */
    LOCKSTEP_ROLE_VIEW = 4,   /* a source's values in another shape or order */
    LOCKSTEP_ROLE_WRITE = 5   /* values written to a state */
} lockstep_role;

/* Which member of a parameter's value is set. */
typedef enum lockstep_parameter_type {
    LOCKSTEP_PARAMETER_INTEGER = 0,
    LOCKSTEP_PARAMETER_REAL = 1,
    LOCKSTEP_PARAMETER_BOOLEAN = 2,
    LOCKSTEP_PARAMETER_TEXT = 3,
    LOCKSTEP_PARAMETER_INTEGERS = 4, /* `count` of them */
    LOCKSTEP_PARAMETER_REALS = 5,
    LOCKSTEP_PARAMETER_LIST = 6 /* parameters of any type, whose names are ignored */
} lockstep_parameter_type;

/* A parameter of an operation, such as "eps" of a norm. docs/capture-c.md lists the
 * operations and parameters that comparisons understand; others are just kept in the trace. */
typedef struct lockstep_parameter {
    const char *name;
    lockstep_parameter_type type;
    uint32_t count; /* of a list */
    union {
        int64_t integer;
        double real;
        bool boolean;
        const char *text;
        const int64_t *integers;
        const double *reals;
        const struct lockstep_parameter *list;
    } value;
} lockstep_parameter;

/* Where a tensor lies in the memory of another node. */
typedef struct lockstep_view {
    uint64_t of;            /* the number of that node */
    uint64_t offset;        /* bytes from its first element to this one's */
    const int64_t *strides; /* bytes between neighbours along each axis, outermost first; 0 and negative ones are
                             * allowed. NULL if the elements are contiguous */
} lockstep_view;

/* Members that are zero are unknown, or don't apply. */
typedef struct lockstep_node {
    size_t size;           /* sizeof(lockstep_node): later versions may append members */
    const char *name, *op; /* op may be NULL, which means "" */
    int layer;             /* -1 outside blocks */
    lockstep_role role;
    lockstep_dtype dtype;
    const char *dtype_name; /* the engine's name of the type, if dtype is LOCKSTEP_OPAQUE; or NULL */
    int rank;
    const uint64_t *shape;
    const int64_t *strides;
    const void *data;        /* NULL for a line without values */
    const uint64_t *sources; /* numbers that lockstep_capture_node returned for its inputs */
    size_t source_count;
    uint64_t alias; /* the number of the node that has the same value, under another name or in
                     * another shape. Give data only if that node was recorded without data, or
                     * if the shape differs */
    const lockstep_parameter *parameters; /* of the operation */
    size_t parameter_count;
    const char *where;   /* "file.c:120", the code that computes it */
    const char *backend; /* the buffer or device */
    bool output;         /* output of a layer or the network: --observe outputs keeps it */
    bool writable;       /* data is writable, and `lockstep check --resync` may overwrite it
                          * with the reference's values before this returns */
    /* The operation's operands slot by slot, with 0 for an empty slot (a mask that is not given, say). NULL if these
     * are the sources, in order. Sources may have more: what is read through memory, such as the last write to a cache. */
    const uint64_t *operands;
    size_t operand_count;
    const lockstep_view *view; /* NULL for a tensor with memory of its own */
} lockstep_node;

/* Whether the user wants this node's values; if not, an engine needn't fetch them.
 * Uses size, name, op, layer, role and output. */
bool lockstep_capture_wants(lockstep_recorder *recorder, const lockstep_node *node);
/* Records the node, with its values if they are given and wanted. Returns its number, for
 * the sources and alias of later nodes, or 0 (which is allowed there) if it was not recorded.
 * A node that can't be recorded, such as one with nine axes, becomes a note in the trace. */
uint64_t lockstep_capture_node(lockstep_recorder *recorder, const lockstep_node *node);
/* Gives the rows of the open pass after it has begun; their number must not change, if it was given. */
void lockstep_capture_rows(lockstep_recorder *recorder, const lockstep_rows *rows);
/* Adds a line of text for the user, for example about what could not be recorded. */
void lockstep_capture_note(lockstep_recorder *recorder, const char *text);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
