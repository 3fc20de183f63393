/* An opened container of any format: its tensors and metadata. */
#ifndef LS_FORMAT_ARCHIVE_H
#define LS_FORMAT_ARCHIVE_H

#include "base/arena.h"
#include "format/names.h"
#include "io/source.h"
#include "tensor/tensor.h"

typedef struct ls_tensor {
    const char *name;       /* as in the file, NUL-terminated */
    const char *file_dtype; /* the file's own spelling, e.g. "BF16", "<f4", "q4_K" */
    lockstep_dtype dtype;
    bool swap;
    float factor; /* as in a view: multiplies the values; 0 if none */
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK];
    int64_t strides[LOCKSTEP_MAX_RANK]; /* elements */
    uint64_t elements;
    uint64_t bytes;   /* of the elements, after any inflation */
    ls_source *source;
    uint64_t offset;  /* of element 0 in source, or in the inflated member if it is deflated */
    const struct ls_zip_member *member; /* the zip member that holds it, or NULL */
    const ls_codes *codes;  /* as in a view; then `source` is that of the codes */
    const char *trouble;    /* why its values can't be read, although its type has a decoder; or NULL */
    bool is_weight;   /* in a trace: a weight that the engine had loaded */
} ls_tensor;

typedef enum ls_meta_kind {
    LS_META_TEXT,
    LS_META_INT,
    LS_META_UINT,
    LS_META_FLOAT,
    LS_META_BOOL,
    LS_META_ARRAY
} ls_meta_kind;

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
            bool swap;             /* the file is big endian */
        } array;
    } as;
} ls_meta;

/* A remark about the archive for its readers. */
typedef struct ls_note {
    const char *text;
    bool incomplete; /* a part of the model is missing */
} ls_note;

typedef struct lockstep_archive {
    const char *path;
    const char *format;   /* name of the row that opened it */
    ls_tensor *tensors;   /* in file order, names unique */
    bool is_adapter;      /* holds changes to a model's weights, as saved by PEFT */
    bool is_ordered;      /* file order is the order of writing, not of names */
    size_t tensor_count, tensor_capacity;
    ls_meta *metas;
    size_t meta_count, meta_capacity;
    ls_note *notes;       /* in the arena */
    size_t note_count;
    ls_source **sources;  /* closed with the archive */
    size_t source_count, source_capacity;
    ls_names tensor_names, meta_names;
    struct ls_inflated *inflated; /* members unpacked so far, freed with the archive */
    ls_arena arena;
} lockstep_archive;

/* A row of the table of formats. `probe` looks at the path and the first bytes (up to
 * 512; none for a directory). `open` fills the archive from the source, which the archive
 * already owns (NULL for a directory: use archive->path); if it fails, the caller frees
 * what it has added. */
typedef struct ls_format {
    const char *name;
    const char *description;
    bool (*probe)(const char *path, bool is_directory, const uint8_t *head, size_t size);
    lockstep_status (*open)(lockstep_archive *archive, ls_source *source, lockstep_error *error);
} ls_format;

extern const ls_format *const ls_formats[]; /* NULL-terminated, in order of probing */

/* Opens a source as `format`, or if that is NULL, as the format that its name and first
 * bytes indicate. The archive takes over the source, which is closed on failure. */
lockstep_status ls_archive_open_source(ls_source *source, const ls_format *format,
                                       lockstep_archive **out_archive, lockstep_error *error);

/* --- functions with which formats build an archive; `where` is an offset for messages */

/* Takes over the source, and closes it on failure. */
lockstep_status ls_archive_add_source(lockstep_archive *archive, ls_source *source,
                                      lockstep_error *error);
/* Copies *tensor. Fails if the name exists already. */
lockstep_status ls_archive_add_tensor(lockstep_archive *archive, const ls_tensor *tensor,
                                      uint64_t where, lockstep_error *error);
lockstep_status ls_archive_add_meta(lockstep_archive *archive, const ls_meta *meta,
                                    const ls_source *source, uint64_t where, lockstep_error *error);
lockstep_status ls_archive_add_note(lockstep_archive *archive, bool incomplete, lockstep_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Sets elements, bytes and row-major strides from rank and shape; name and source must be
 * set. Fails if the size overflows (even without the axes of 0), if the innermost axis is
 * not a multiple of the block, or if the size is not a multiple of 8 bits. */
lockstep_status ls_tensor_measure(ls_tensor *tensor, uint64_t block_elements, uint64_t block_bits,
                                  uint64_t where, lockstep_error *error);
/* Removes all tensors of a trace but its weights. */
lockstep_status ls_archive_keep_weights(lockstep_archive *archive, lockstep_error *error);
lockstep_status ls_fail_memory(const lockstep_archive *archive, lockstep_error *error);

/* --- functions for readers */

/* Index of a name, or SIZE_MAX. */
size_t ls_archive_find(const lockstep_archive *archive, const char *name);
const ls_meta *ls_archive_meta(const lockstep_archive *archive, const char *key);
/* Element `index` of an array (kind and value; no key); false if there is none. For text it
 * walks over all elements before it: use ls_meta_next to read many. */
bool ls_meta_element(const ls_meta *array, uint64_t index, ls_meta *out_element);
/* Reads the element at *position (in bytes from the array's start, 0 at first) and advances
 * it. Call this at most as.array.count times. */
void ls_meta_next(const ls_meta *array, uint64_t *position, ls_meta *out_element);

/* The tensor's elements in memory; inflates a compressed member on first use
 * (into an unlinked temporary file if it is large). Thread-safe. Fails with
 * LOCKSTEP_UNSUPPORTED, naming the type, if that is LOCKSTEP_OPAQUE. */
lockstep_status ls_archive_view(const lockstep_archive *archive, size_t index, ls_view *out_view,
                                lockstep_error *error);
/* Frees the memory behind a tensor's view if it can be read again, which bounds memory use
 * for traces of many small files. No view of any tensor in the same file may be in use, and
 * no other thread may call ls_archive_view for that tensor at the same time. */
void ls_archive_release(const lockstep_archive *archive, size_t index);

#endif
