/* Reading tensors from files: NPY, NPZ, safetensors, GGUF, PyTorch, text dumps, raw values, traces.
 *
 * An opened archive is immutable: any number of threads may read it. Opening maps the file and reads its
 * header; values are decoded when they are read.
 */
#ifndef LOCKSTEP_READ_H
#define LOCKSTEP_READ_H

#include <lockstep/capture.h>
#include <lockstep/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default) /* the shared library exports what is declared here */

typedef struct lockstep_archive lockstep_archive;

/* A tensor in its file. Strings and arrays belong to the archive. */
typedef struct lockstep_tensor_info {
    const char *name;  /* UTF-8 as in the file; escape it before printing */
    const char *dtype; /* the file's own name of the type, e.g. "BF16", "q4_K" */
    lockstep_dtype type;
    int rank;                               /* 0 for a scalar */
    const uint64_t *shape;                  /* outermost axis first, elements */
    uint64_t elements;                      /* product of shape */
    uint64_t bytes;                         /* of the elements, after any inflation */
} lockstep_tensor_info;

/* Opens a file or directory in any readable format. If no file has that name,
 * "PATH::f32,2x3" means a file of raw values. On failure, *out_archive is untouched
 * and `error` (may be NULL) is filled. */
lockstep_status lockstep_archive_open(const char *path, lockstep_archive **out_archive,
                                      lockstep_error *error);
/* Frees the archive and everything borrowed from it. NULL is allowed. */
void lockstep_archive_close(lockstep_archive *archive);
/* The format's name: "npy", "gguf", … */
const char *lockstep_archive_format(const lockstep_archive *archive);
size_t lockstep_archive_tensor_count(const lockstep_archive *archive);
/* LOCKSTEP_INVALID_ARGUMENT if index is out of range. */
lockstep_status lockstep_archive_tensor(const lockstep_archive *archive, size_t index,
                                        lockstep_tensor_info *out_info);
/* Decodes elements [first, first + count) in row-major order to double, which is exact
 * for all types except 64-bit integers beyond 2^53. */
lockstep_status lockstep_archive_read(const lockstep_archive *archive, size_t index,
                                      uint64_t first, uint64_t count, double *out_values,
                                      lockstep_error *error);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
