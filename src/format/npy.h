/* NPY, NumPy's file of one array: its header written, and read from any source. */
#ifndef LS_FORMAT_NPY_H
#define LS_FORMAT_NPY_H

#include "format/archive.h"

/* Room for the header of any tensor that this library can describe. */
enum { LS_NPY_HEADER_MAX = 512 };

/* Writes the version 1.0 header of a row-major array, byte for byte as NumPy
 * does, and returns its length (a multiple of 64): the elements follow, little
 * endian. 0 when NPY has no such type (bf16, quantized: store float32), or when
 * `capacity` is too small. */
size_t ls_npy_header(lockstep_dtype dtype, int rank, const uint64_t *shape, char *out,
                     size_t capacity);

#endif
