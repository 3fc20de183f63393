/* NPY, NumPy's format for one array: writes headers, and reads them from any source. */
#ifndef LS_FORMAT_NPY_H
#define LS_FORMAT_NPY_H

#include "format/archive.h"

/* The largest header of any tensor that this library can describe, and the alignment of its length. */
enum { LS_NPY_HEADER_MAX = 512, LS_NPY_ALIGNMENT = 64 };

/* Writes the version 1.0 header of a row-major array, byte for byte as NumPy
 * does, and returns its length (a multiple of 64); the little-endian elements follow.
 * Returns 0 if NPY has no such type (bf16, quantized: store float32 instead), or if
 * `capacity` is too small. */
size_t ls_npy_header(lockstep_dtype dtype, int rank, const uint64_t *shape, char *out,
                     size_t capacity);

/* PREAMBLE is how much of a file ls_npy_header_end needs; LIMIT is the longest header that
 * is read (NumPy's own limit for untrusted files is 10,000). */
enum {
    LS_NPY_PREAMBLE = 12,
    LS_NPY_FIRST_READ = 512, /* holds most headers */
    LS_NPY_HEADER_LIMIT = 16 * 1024
};

/* Where an array's bytes come from, and its name in messages. */
typedef struct ls_npy_place {
    ls_source *source;
    const char *file; /* the path, or PATH(MEMBER) */
    uint64_t origin;  /* offset of the magic in `file` */
    uint64_t size;    /* bytes from the magic to the end */
} ls_npy_place;

/* Finds from the first bytes (LS_NPY_PREAMBLE, or all of a shorter file) how many bytes
 * magic and header take together; at most LS_NPY_HEADER_LIMIT. */
lockstep_status ls_npy_header_end(const uint8_t *head, size_t size, const ls_npy_place *place,
                                  size_t *out_end, lockstep_error *error);
/* Reads a complete header into *out_tensor, whose name must be set; the offset is relative
 * to the magic. Strings are allocated in the arena. */
lockstep_status ls_npy_parse(const uint8_t *header, size_t end, const ls_npy_place *place,
                             ls_arena *arena, ls_tensor *out_tensor, lockstep_error *error);
/* Both steps for an array of `bytes` bytes at offset `at` of a source, of which only a few hundred
 * are read. The tensor's offset is relative to the source. */
lockstep_status ls_npy_read_at(ls_source *source, uint64_t at, uint64_t bytes, const char *name, ls_arena *arena,
                               ls_tensor *out_tensor, lockstep_error *error);
/* The same for a source that consists of one .npy. */
lockstep_status ls_npy_read(ls_source *source, const char *name, ls_arena *arena,
                            ls_tensor *out_tensor, lockstep_error *error);

#endif
