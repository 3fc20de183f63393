/* Reads and overwrites a tensor's values in place. */
#ifndef LS_HOOKS_VALUES_H
#define LS_HOOKS_VALUES_H

#include "ggml_abi.h"
#include "wire/strided.h"

/* Gets the values in host memory, or in a copy of device memory (*out_copy, or NULL), which
 * the caller frees. False if they can't be read. */
bool values_read(const ggml_api *api, const struct ggml_tensor *tensor, ls_strided *out_values, void **out_copy);
/* Reads the first `count` elements of an i32 tensor; false if it can't be read. */
bool values_read_i32(const ggml_api *api, const struct ggml_tensor *tensor, size_t count, int32_t *out);
/* Hashes a sample of the tensor's bytes (base/sampled.h), which must be contiguous; false if they can't be read. */
bool values_sample(const ggml_api *api, const struct ggml_tensor *tensor, uint64_t *out_hash);
/* Overwrites the tensor with the recorder's values, if the recorder has other values for it
 * and its memory is writable. */
void values_resync(const ggml_api *api, const struct ggml_tensor *tensor, uint64_t id);

#endif
