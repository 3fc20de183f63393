/* A tensor's values, read and overwritten where they lie. */
#ifndef LS_HOOKS_VALUES_H
#define LS_HOOKS_VALUES_H

#include "ggml_abi.h"
#include "wire/strided.h"

/* The values as they lie in the host's memory, or in a copy of a device's memory that the
 * caller frees (*out_copy, or NULL). False when they can't be read. */
bool values_read(const ggml_api *api, const struct ggml_tensor *tensor, ls_strided *out_values, void **out_copy);
/* The first `count` elements of an i32 tensor; false when it can't be read. */
bool values_read_i32(const ggml_api *api, const struct ggml_tensor *tensor, size_t count, int32_t *out);
/* Overwrites the tensor with the recorder's values for it, if the recorder has other ones
 * and its memory can be written. */
void values_resync(const ggml_api *api, const struct ggml_tensor *tensor, uint64_t id);

#endif
