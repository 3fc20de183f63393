#include "values.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sampled.h"
#include "wire/frame_writer.h"

static void *buffer_of(const struct ggml_tensor *t) {
    return t->buffer != NULL ? t->buffer : t->view_src != NULL ? t->view_src->buffer : NULL;
}

/* Sets everything but the address of the values. False if they can't be read. */
static bool measure(const ggml_api *api, const struct ggml_tensor *t, ls_strided *out) {
    uint64_t elements = 1, block = (uint64_t)api->blck_size(t->type), size = api->type_size(t->type);
    for (int i = 0; i < 4; i++)
        if (t->ne[i] < 0 || __builtin_mul_overflow(elements, (uint64_t)t->ne[i], &elements))
            return false;
    if (t->data == NULL || elements == 0 || block == 0 || size == 0 || t->ne[0] % (int64_t)block != 0)
        return false;
    /* blocks of a row are contiguous, or the type has no blocks */
    if (block > 1 && t->nb[0] != size)
        return false;
    *out = (ls_strided){.rank = 4, .size = size};
    for (int i = 0; i < 4; i++) {
        out->count[3 - i] = i == 0 ? (uint64_t)t->ne[0] / block : (uint64_t)t->ne[i];
        out->strides[3 - i] = (int64_t)t->nb[i];
    }
    return !__builtin_mul_overflow(elements / block, size, &out->bytes);
}

/* The bytes from the tensor's first element to its last in host memory: in place, or copied
 * to *out_copy, which the caller frees. */
static const uint8_t *on_host(const ggml_api *api, const struct ggml_tensor *t, void **out_copy) {
    void *buffer = buffer_of(t);
    *out_copy = NULL;
    if (buffer == NULL || api->backend_buffer_is_host(buffer))
        return t->data;
    size_t size = api->nbytes(t);
    void *copy = malloc(size > 0 ? size : 1);
    if (copy != NULL)
        api->backend_tensor_get(t, copy, 0, size);
    *out_copy = copy;
    return copy;
}

bool values_read(const ggml_api *api, const struct ggml_tensor *t, ls_strided *out_values, void **out_copy) {
    ls_strided values;
    *out_copy = NULL;
    if (!measure(api, t, &values))
        return false;
    values.data = on_host(api, t, out_copy);
    if (values.data == NULL)
        return false;
    *out_values = values;
    return true;
}

bool values_read_i32(const ggml_api *api, const struct ggml_tensor *t, size_t count, int32_t *out) {
    void *copy;
    ls_strided values;
    if (t->nb[0] != sizeof *out || !values_read(api, t, &values, &copy))
        return false;
    bool enough = (uint64_t)count * sizeof *out <= values.bytes;
    if (enough)
        memcpy(out, values.data, count * sizeof *out);
    free(copy);
    return enough;
}

static bool is_contiguous(const ls_strided *s) {
    int64_t next = (int64_t)s->size;
    for (int i = s->rank - 1; i >= 0; i--) {
        if (s->count[i] != 1 && s->strides[i] != next)
            return false;
        next *= (int64_t)s->count[i];
    }
    return true;
}

typedef struct sampled {
    const ggml_api *api;
    const struct ggml_tensor *tensor;
    bool is_host;
    uint8_t copy[64 * 1024]; /* as much as a sample's pieces have */
} sampled;

static const void *piece_of(void *context, uint64_t at, size_t count) {
    sampled *s = context;
    if (s->is_host)
        return (const uint8_t *)s->tensor->data + at;
    if (count > sizeof s->copy)
        return NULL;
    s->api->backend_tensor_get(s->tensor, s->copy, (size_t)at, count);
    return s->copy;
}

bool values_sample(const ggml_api *api, const struct ggml_tensor *t, uint64_t *out_hash) {
    ls_strided values;
    void *buffer = buffer_of(t);
    sampled *s = measure(api, t, &values) && is_contiguous(&values) ? malloc(sizeof *s) : NULL;
    if (s == NULL)
        return false;
    s->api = api;
    s->tensor = t;
    s->is_host = buffer == NULL || api->backend_buffer_is_host(buffer);
    const bool hashed = ls_sample_hash(values.bytes, piece_of, s, out_hash);
    free(s);
    return hashed;
}

void values_resync(const ggml_api *api, const struct ggml_tensor *t, uint64_t id) {
    ls_strided values;
    void *buffer = buffer_of(t), *bytes = measure(api, t, &values) ? ls_frame_resync(id, (size_t)values.bytes) : NULL;
    if (bytes == NULL)
        return;
    values.data = t->data;
    if (buffer == NULL || api->backend_buffer_is_host(buffer))
        ls_strided_overwrite(&values, bytes);
    else if (is_contiguous(&values) && api->backend_tensor_set != NULL)
        api->backend_tensor_set((struct ggml_tensor *)(uintptr_t)t, bytes, 0, (size_t)values.bytes);
    munmap(bytes, (size_t)values.bytes);
}
