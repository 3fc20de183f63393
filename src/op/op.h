/* Operations, independent of how engines spell them. Each is a row of op_table.h. */
#ifndef LS_OP_OP_H
#define LS_OP_OP_H

#include <stdbool.h>
#include <stddef.h>

/* What an operation does with its operands. */
typedef enum ls_op_role {
    LS_OP_ROLE_OTHER,
    LS_OP_ROLE_LEAF,        /* is given, not computed: a weight, an input, a cache */
    LS_OP_ROLE_VIEW,        /* the same memory with another shape or other strides */
    LS_OP_ROLE_COPY,        /* the same values in other memory, perhaps in another element type */
    LS_OP_ROLE_WRITE,       /* stores its operand in a part of an existing tensor */
    LS_OP_ROLE_SELECTION,   /* picks or repeats elements and computes none */
    LS_OP_ROLE_JOIN,        /* concatenates tensors */
    LS_OP_ROLE_SUM,         /* a + b, a - b */
    LS_OP_ROLE_FACTOR,      /* a * b, a / b, s * a */
    LS_OP_ROLE_PRODUCT,     /* sums of products: a matrix product */
    LS_OP_ROLE_CONVOLUTION,
    LS_OP_ROLE_NORM,
    LS_OP_ROLE_ACTIVATION,  /* an elementwise function */
    LS_OP_ROLE_GATE,        /* activation(a) * b */
    LS_OP_ROLE_ROTATION,    /* rotary position embedding */
    LS_OP_ROLE_SOFTMAX,
    LS_OP_ROLE_ATTENTION,   /* fused: softmax(q * k) * v */
    LS_OP_ROLE_MASKING,     /* replaces masked elements by a constant */
    LS_OP_ROLE_REDUCTION,
    LS_OP_ROLE_ORDER,       /* ranks of elements: argsort, top-k */
    LS_OP_ROLE_CONSTANT,    /* depends only on its parameters */
    LS_OP_ROLE_RECURRENCE,  /* carries a state from token to token */
} ls_op_role;

/* What an operation does to the precision of its operands. */
typedef enum ls_op_precision {
    LS_OP_EXACT,     /* changes no value */
    LS_OP_ROUNDED,   /* rounds to the type in which it computes */
    LS_OP_F16_TABLE, /* the same, but ggml's CPU kernels look the function up in a table of f16 values */
} ls_op_precision;

/* Bits. */
typedef enum ls_op_trait {
    LS_OP_MULTIPLIES = 1, /* multiplies its computed operands, so none of them can hide an error of another */
    LS_OP_ANGULAR = 2,    /* sine or cosine of an angle that grows with the position, and so does its rounding error */
} ls_op_trait;

/* The operations of op_table.h: LS_OP_ADD and so on. */
#define LS_OP_ROW(id, ...) LS_OP_##id,
typedef enum ls_op_id {
#include "op/op_table.h"
    LS_OP_COUNT
} ls_op_id;
#undef LS_OP_ROW

typedef enum ls_op_type { LS_OP_I32, LS_OP_F32, LS_OP_U64 } ls_op_type;

/* A parameter, and where it is in ggml's `op_params`, counted in 32-bit words. */
typedef struct ls_op_parameter {
    const char *name; /* NULL ends the list */
    ls_op_type type;
    unsigned char word;
} ls_op_parameter;

enum { LS_OP_PARAMETERS_MAX = 16 };

typedef struct ls_op {
    ls_op_id id;
    const char *name;  /* canonical */
    ls_op_role role;
    ls_op_precision precision;
    unsigned traits;   /* of ls_op_trait */
    const char *ggml;  /* spellings, separated by spaces; "" if the engine has no such operation */
    const char *torch; /* ATen's and torch.nn.functional's, without the underscore of in-place variants */
    ls_op_parameter parameters[LS_OP_PARAMETERS_MAX + 1];
} ls_op;

/* The row of an operation by the spelling of any engine: PyTorch's must match exactly, canonical names and
 * ggml's in any case. Never NULL: an unknown spelling, or "", gives the row LS_OP_UNKNOWN. */
const ls_op *ls_op_find(const char *spelling);
/* Whether this is exactly ggml's spelling, including upper case. */
bool ls_op_is_of_ggml(const ls_op *op, const char *spelling);
/* Whether this is PyTorch's: ATen's, perhaps in place, or the name of one of its layers. */
bool ls_op_is_of_torch(const ls_op *op, const char *spelling);
/* Every row, from 0 to LS_OP_COUNT - 1. */
const ls_op *ls_op_at(ls_op_id id);

/* Whether an operation only picks, repeats or copies elements and changes none. */
static inline bool ls_op_only_moves(const ls_op *op) { return op->role == LS_OP_ROLE_VIEW || op->role == LS_OP_ROLE_COPY || op->role == LS_OP_ROLE_SELECTION; }

/* ggml's spelling for a tensor that is not computed by an operation. */
#define LS_OP_LEAF_SPELLING "NONE"

#endif
