/* What an operation is, whatever an engine calls it: one row of op_table.h each. */
#ifndef LS_OP_OP_H
#define LS_OP_OP_H

#include <stdbool.h>
#include <stddef.h>

/* What an operation does with its operands. */
typedef enum ls_op_role {
    LS_OP_ROLE_OTHER,
    LS_OP_ROLE_LEAF,        /* is given, not computed: a weight, an input, a cache */
    LS_OP_ROLE_VIEW,        /* shows the same memory with another shape or other strides */
    LS_OP_ROLE_COPY,        /* the same values in memory of their own, perhaps in another element type */
    LS_OP_ROLE_WRITE,       /* stores its operand into a part of a tensor that exists already */
    LS_OP_ROLE_SELECTION,   /* picks or repeats elements and computes none */
    LS_OP_ROLE_JOIN,        /* lays tensors side by side */
    LS_OP_ROLE_SUM,         /* a + b, a - b */
    LS_OP_ROLE_FACTOR,      /* a * b, a / b, s * a */
    LS_OP_ROLE_PRODUCT,     /* sums of products: a matrix product */
    LS_OP_ROLE_CONVOLUTION,
    LS_OP_ROLE_NORM,
    LS_OP_ROLE_ACTIVATION,  /* a function of each element alone */
    LS_OP_ROLE_GATE,        /* activation(a) * b */
    LS_OP_ROLE_ROTATION,    /* rotary position embedding */
    LS_OP_ROLE_SOFTMAX,
    LS_OP_ROLE_ATTENTION,   /* fused: softmax(q * k) * v */
    LS_OP_ROLE_MASKING,     /* replaces blocked elements by a constant */
    LS_OP_ROLE_REDUCTION,
    LS_OP_ROLE_ORDER,       /* ranks of elements: argsort, top-k */
    LS_OP_ROLE_CONSTANT,    /* made from nothing but its parameters */
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
    LS_OP_MULTIPLIES = 1, /* multiplies its computed operands: none of them can hide an error of another */
    LS_OP_ANGULAR = 2,    /* a sine or cosine of an angle that grows with the position, and with it the angle's rounding */
} ls_op_trait;

/* The operations of op_table.h: LS_OP_ADD and so on. */
#define LS_OP_ROW(id, ...) LS_OP_##id,
typedef enum ls_op_id {
#include "op/op_table.h"
    LS_OP_COUNT
} ls_op_id;
#undef LS_OP_ROW

typedef enum ls_op_type { LS_OP_I32, LS_OP_F32, LS_OP_U64 } ls_op_type;

/* A parameter, and where ggml keeps it: in `op_params`, counted in words of 32 bits. */
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
    const char *ggml;  /* spellings, separated by spaces; "" where the engine has no such operation */
    const char *torch; /* ATen's and torch.nn.functional's, without the underscore of in-place variants */
    ls_op_parameter parameters[LS_OP_PARAMETERS_MAX + 1];
} ls_op;

/* The row of an operation as any engine spells it: ggml's and PyTorch's spellings exactly, canonical
 * names and ggml's in any case. Never NULL: what is unknown, or "", is the row LS_OP_UNKNOWN. */
const ls_op *ls_op_find(const char *spelling);
/* Is this how ggml spells it, upper case included? */
bool ls_op_is_of_ggml(const ls_op *op, const char *spelling);
/* Every row, from 0 to LS_OP_COUNT - 1. */
const ls_op *ls_op_at(ls_op_id id);

/* Picks, repeats or copies elements and changes none. */
static inline bool ls_op_only_moves(const ls_op *op) { return op->role == LS_OP_ROLE_VIEW || op->role == LS_OP_ROLE_COPY || op->role == LS_OP_ROLE_SELECTION; }

/* How ggml spells a tensor that no operation computed. */
#define LS_OP_LEAF_SPELLING "NONE"

#endif
