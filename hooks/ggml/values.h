/* A tensor's values, read where they lie and sent in row-major order. */
#ifndef LS_HOOKS_VALUES_H
#define LS_HOOKS_VALUES_H

#include "ggml_abi.h"

/* Bytes that values_send will send; 0 when the values can't be read. */
uint64_t values_bytes(const ggml_api *api, const struct ggml_tensor *tensor);
/* One frame: the JSON, then the values. False once the recorder is gone. */
bool values_send(const ggml_api *api, const struct ggml_tensor *tensor, const char *json, size_t json_bytes);
/* The first `count` elements of an i32 tensor; false when it can't be read. */
bool values_read_i32(const ggml_api *api, const struct ggml_tensor *tensor, size_t count, int32_t *out);
/* Writes values_bytes contiguous bytes over the tensor's, where its memory can be written so. */
void values_write(const ggml_api *api, const struct ggml_tensor *tensor, const void *bytes);

#endif
