/* Names and block sizes of the element types, for code that needs only libc and no decoders.
 * The decoders are in tensor/dtype.h. */
#ifndef LS_BASE_ELEMENT_TYPE_H
#define LS_BASE_ELEMENT_TYPE_H

#include <lockstep/capture.h>

/* Constants for each type: LS_BLOCK_ELEMENTS_F32, LS_BLOCK_BYTES_F32, … */
enum {
#define X(name, number, text, elements, bytes) LS_BLOCK_ELEMENTS_##name = elements, LS_BLOCK_BYTES_##name = bytes,
    LOCKSTEP_DTYPE_LIST(X)
#undef X
};

typedef struct ls_element_type {
    const char *name;        /* "f32", "q8_0" */
    uint32_t block_elements; /* 1 for scalars */
    uint32_t block_bytes;    /* 0 for LOCKSTEP_OPAQUE: only the container knows */
} ls_element_type;

/* NULL for a number that is not a type. */
const ls_element_type *ls_element_type_of(lockstep_dtype dtype);
/* Finds a type by its name; false if there is none, or if it has no bytes of its own (scaled_…). */
bool ls_dtype_find(const char *name, lockstep_dtype *out_dtype);
/* Bytes of `elements` elements of a row-major tensor whose innermost axis has
 * `inner` elements (1 for a scalar). False on overflow, if inner is not a multiple
 * of the block size, or for LOCKSTEP_OPAQUE. */
bool ls_dtype_bytes(lockstep_dtype dtype, uint64_t elements, uint64_t inner, uint64_t *out_bytes);

#endif
