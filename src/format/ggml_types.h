/* The element types of ggml by their ids, which GGUF and the files before it have. */
#ifndef LS_FORMAT_GGML_TYPES_H
#define LS_FORMAT_GGML_TYPES_H

#include "format/archive.h"

/* Gives a tensor with a name, a source and a shape its type, and measures it. Fails with
 * LOCKSTEP_UNSUPPORTED for an id that ggml doesn't know or has removed. The offsets are for
 * messages. */
lockstep_status ls_ggml_type_set(ls_tensor *tensor, uint32_t id, uint64_t type_at, uint64_t shape_at,
                                 lockstep_error *error);
/* The id of a type; -1 if ggml doesn't have it. */
int ls_ggml_type_id(lockstep_dtype dtype);

#endif
