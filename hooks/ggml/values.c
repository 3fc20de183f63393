#include "values.h"

#include <stdlib.h>
#include <string.h>

#include "wire/channel.h"

static void *buffer_of(const struct ggml_tensor *t) {
    return t->buffer != NULL ? t->buffer : t->view_src != NULL ? t->view_src->buffer : NULL;
}

uint64_t values_bytes(const ggml_api *api, const struct ggml_tensor *t) {
    uint64_t elements = 1, block = (uint64_t)api->blck_size(t->type);
    for (int i = 0; i < 4; i++) {
        if (t->ne[i] < 0 || __builtin_mul_overflow(elements, (uint64_t)t->ne[i], &elements))
            return 0;
    }
    if (t->data == NULL || block == 0 || t->ne[0] % (int64_t)block != 0)
        return 0;
    /* blocks of a row lie together, or the type has no blocks */
    if (block > 1 && t->nb[0] != api->type_size(t->type))
        return 0;
    return elements / block * api->type_size(t->type);
}

/* The bytes from the tensor's first element to its last, in the host's memory:
 * in place, or fetched into *out_copy, which the caller frees. */
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

static void send_row(const struct ggml_tensor *t, const uint8_t *row, size_t row_bytes, size_t size) {
    if (t->nb[0] == size) {
        ls_channel_data(row, row_bytes);
        return;
    }
    uint8_t gathered[4096];
    size_t room = sizeof gathered / size, used = 0;
    for (int64_t i = 0; i < t->ne[0]; i++) {
        memcpy(gathered + used++ * size, row + (size_t)i * t->nb[0], size);
        if (used == room || i + 1 == t->ne[0]) {
            ls_channel_data(gathered, used * size);
            used = 0;
        }
    }
}

static bool is_contiguous(const ggml_api *api, const struct ggml_tensor *t) {
    size_t row_bytes = (size_t)(t->ne[0] / api->blck_size(t->type)) * api->type_size(t->type);
    return t->nb[0] == api->type_size(t->type) && t->nb[1] == row_bytes && t->nb[2] == row_bytes * (size_t)t->ne[1] &&
           t->nb[3] == t->nb[2] * (size_t)t->ne[2];
}

static void send_rows(const ggml_api *api, const struct ggml_tensor *t, const uint8_t *bytes, uint64_t total) {
    size_t size = api->type_size(t->type), block = (size_t)api->blck_size(t->type);
    size_t row_bytes = (size_t)t->ne[0] / block * size;
    if (is_contiguous(api, t)) {
        ls_channel_data(bytes, (size_t)total);
        return;
    }
    for (int64_t i3 = 0; i3 < t->ne[3]; i3++)
        for (int64_t i2 = 0; i2 < t->ne[2]; i2++)
            for (int64_t i1 = 0; i1 < t->ne[1]; i1++)
                send_row(t, bytes + (size_t)i3 * t->nb[3] + (size_t)i2 * t->nb[2] + (size_t)i1 * t->nb[1],
                         row_bytes, size);
}

bool values_send(const ggml_api *api, const struct ggml_tensor *t, const char *json, size_t json_bytes) {
    void *copy = NULL;
    uint64_t total = values_bytes(api, t);
    const uint8_t *bytes = total > 0 ? on_host(api, t, &copy) : NULL;
    if (bytes == NULL)
        return ls_channel_send(json, json_bytes, NULL, 0);
    bool sent = ls_channel_begin(json, json_bytes, total);
    if (sent)
        send_rows(api, t, bytes, total);
    ls_channel_end();
    free(copy);
    return sent;
}

bool values_read_i32(const ggml_api *api, const struct ggml_tensor *t, size_t count, int32_t *out) {
    void *copy = NULL;
    if (t->nb[0] != sizeof *out || (uint64_t)count * sizeof *out > values_bytes(api, t))
        return false;
    const uint8_t *bytes = on_host(api, t, &copy);
    if (bytes != NULL)
        memcpy(out, bytes, count * sizeof *out);
    free(copy);
    return bytes != NULL;
}

void values_write(const ggml_api *api, const struct ggml_tensor *t, const void *bytes) {
    void *buffer = buffer_of(t);
    bool host = buffer == NULL || api->backend_buffer_is_host(buffer);
    if (is_contiguous(api, t)) {
        if (host)
            memcpy(t->data, bytes, values_bytes(api, t));
        else if (api->backend_tensor_set != NULL)
            api->backend_tensor_set((struct ggml_tensor *)(uintptr_t)t, bytes, 0, values_bytes(api, t));
        return;
    }
    size_t size = api->type_size(t->type);
    const uint8_t *from = bytes;
    for (int64_t i3 = 0; host && i3 < t->ne[3]; i3++)
        for (int64_t i2 = 0; i2 < t->ne[2]; i2++)
            for (int64_t i1 = 0; i1 < t->ne[1]; i1++)
                for (int64_t i0 = 0; i0 < t->ne[0] / api->blck_size(t->type); i0++, from += size)
                    memcpy((uint8_t *)t->data + (size_t)i3 * t->nb[3] + (size_t)i2 * t->nb[2] + (size_t)i1 * t->nb[1] + (size_t)i0 * t->nb[0],
                           from, size);
}
