/* The element types of ggml by their GGUF ids. */
#ifndef LS_FORMAT_GGML_TYPES_H
#define LS_FORMAT_GGML_TYPES_H

#include "tensor/dtype.h"

typedef struct ls_ggml_type {
    const char *name; /* NULL for an id that ggml has removed */
    uint32_t block_elements, block_bytes;
    lockstep_dtype dtype; /* LOCKSTEP_OPAQUE if there is no decoder */
} ls_ggml_type;

/* NULL for an id that ggml doesn't know or has removed. */
const ls_ggml_type *ls_ggml_type_of(uint32_t id);
/* The id of a type; -1 if ggml doesn't have it. */
int ls_ggml_type_id(lockstep_dtype dtype);

#endif
