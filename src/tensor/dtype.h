/* The table of element types. A new type needs one decoder and one row. */
#ifndef LS_TENSOR_DTYPE_H
#define LS_TENSOR_DTYPE_H

#include "base/element_type.h"
#include "base/error.h"

enum { LS_MAX_BLOCK_BYTES = 512, LS_MAX_BLOCK_ELEMENTS = 256 }; /* over all rows */

typedef struct ls_dtype_row {
    const char *name;        /* "f32", "q8_0" */
    uint32_t block_elements; /* 1 for scalars */
    uint32_t block_bytes;    /* 0 for LOCKSTEP_OPAQUE: only the container knows */
    bool is_float;           /* floating point or quantized (not integer, not bool) */
    /* Decodes n elements starting at `blocks` (n may end inside the last block). Input
     * may be unaligned. NULL if float can't hold every value. */
    void (*to_f32)(const void *blocks, size_t n, float *out);
    /* NULL if to_f32 is set; use ls_decode_to_f64. */
    void (*to_f64)(const void *blocks, size_t n, double *out);
    /* Swaps the byte order in place; NULL for single bytes. */
    void (*swap)(void *blocks, size_t count);
    const char *npy;         /* NPY descr, little endian ("<f4"); NULL if NPY has no such type */
} ls_dtype_row;

const ls_dtype_row *ls_dtype(lockstep_dtype dtype);

/* Decode n elements of any type but LOCKSTEP_OPAQUE, from the start of a block. The
 * float variant rounds values that float can't hold, by way of double. */
void ls_decode_to_f32(lockstep_dtype dtype, const void *blocks, size_t n, float *out);
void ls_decode_to_f64(lockstep_dtype dtype, const void *blocks, size_t n, double *out);

#endif
