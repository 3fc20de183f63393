/* An opened container: its tensors and its metadata, whatever the format. */
#ifndef LS_FORMAT_ARCHIVE_H
#define LS_FORMAT_ARCHIVE_H

#include "base/arena.h"
#include "io/source.h"
#include "tensor/tensor.h"

typedef struct ls_tensor {
    const char *name;       /* as in the file, NUL-terminated */
    const char *file_dtype; /* the file's own spelling, e.g. "BF16", "<f4", "q4_K" */
    lockstep_dtype dtype;
    bool swap;
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK];
    int64_t strides[LOCKSTEP_MAX_RANK]; /* elements */
    uint64_t elements;
    uint64_t bytes;   /* decoded from the container's compression, if any */
    ls_source *source;
    uint64_t offset;  /* of element 0 in source (of the member, when compressed) */
    uint64_t packed;  /* compressed bytes at offset; 0 when stored */
} ls_tensor;

typedef enum ls_meta_kind { LS_META_TEXT, LS_META_INT, LS_META_UINT, LS_META_FLOAT, LS_META_BOOL, LS_META_ARRAY } ls_meta_kind;

typedef struct ls_meta {
    const char *key;
    ls_meta_kind kind;
    union {
        struct { const char *bytes; uint64_t length; } text; /* not NUL-terminated */
        int64_t i;
        uint64_t u;
        double f;
        bool b;
        struct {
            ls_meta_kind kind;     /* of the elements */
            int width;             /* bytes of a number in the file; 0 for text */
            uint64_t count;
            const uint8_t *bytes;  /* as in the file: see ls_meta_element */
            bool swap;
        } array;
    } as;
} ls_meta;

typedef struct lockstep_archive {
    const char *path;
    const char *format;   /* name of the row that opened it */
    ls_tensor *tensors;   /* in file order */
    size_t tensor_count;
    ls_meta *metas;
    size_t meta_count;
    ls_source **sources;  /* closed with the archive */
    size_t source_count;
    struct ls_inflated *inflated; /* members unpacked so far, freed with the archive */
    ls_arena arena;
} lockstep_archive;

/* One row a format. `probe` looks at the path and the first bytes (up to 512). */
typedef struct ls_format {
    const char *name;
    const char *description;
    bool (*probe)(const char *path, bool is_directory, const uint8_t *head, size_t size);
    lockstep_status (*open)(lockstep_archive *archive, lockstep_error *error);
} ls_format;

extern const ls_format *const ls_formats[]; /* NULL-terminated, in order of probing */

/* Index of a name, or SIZE_MAX. */
size_t ls_archive_find(const lockstep_archive *archive, const char *name);
const ls_meta *ls_archive_meta(const lockstep_archive *archive, const char *key);

/* The tensor's elements in memory; inflates a compressed member on first use
 * (into an unlinked temporary file when it is large). Thread-safe. Fails with
 * LOCKSTEP_UNSUPPORTED, naming the type, when it is LOCKSTEP_OPAQUE. */
lockstep_status ls_archive_view(const lockstep_archive *archive, size_t index, ls_view *out_view,
                                lockstep_error *error);

#endif
