/* Element types: one row each. A new type is one decoder and one row. */
#ifndef LS_TENSOR_DTYPE_H
#define LS_TENSOR_DTYPE_H

#include "base/error.h"

typedef struct ls_dtype_row {
    const char *name;        /* "f32", "q8_0" */
    uint32_t block_elements; /* 1 for scalars */
    uint32_t block_bytes;
    bool is_float;           /* floating point or quantized (not integer, not bool) */
    /* Decode n elements starting at `block` (whole blocks; n may end inside the
     * last). Input may be unaligned. NULL where float can't hold every value. */
    void (*to_f32)(const void *blocks, size_t n, float *out);
    /* NULL where to_f32 is there; use ls_decode_f64. */
    void (*to_f64)(const void *blocks, size_t n, double *out);
    const char *npy;         /* NPY descr, little endian ("<f4"); NULL when NPY has none */
} ls_dtype_row;

const ls_dtype_row *ls_dtype(lockstep_dtype dtype);

/* Finds a type by its name in the table; false when there is none. */
bool ls_dtype_find(const char *name, lockstep_dtype *out_dtype);

/* Bytes of `elements` elements of a row-major tensor whose innermost axis has
 * `inner` elements (1 for a scalar). False on overflow, or when inner is not a
 * multiple of the block. */
bool ls_dtype_bytes(lockstep_dtype dtype, uint64_t elements, uint64_t inner, uint64_t *out_bytes);

#endif
