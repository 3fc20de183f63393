/* The JSON of one frame. What is accepted must have the properties that the reader guarantees:
 * members are within the text and in order, the product of the shape is the number of elements,
 * and the size of the data matches type and shape. The input's first byte chooses how many bytes
 * of data the frame has: none, 8, or as many as an accepted tensor. */
#include <stdlib.h>
#include <string.h>

#include "wire/frame_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds) {
    if (!holds)
        abort();
}

static void check_tensor(const ls_frame_tensor *t, uint64_t data_bytes) {
    uint64_t elements = 1;
    expect(t->name != NULL && t->op != NULL && t->dtype_name != NULL);
    expect(t->rank >= 0 && t->rank <= LOCKSTEP_MAX_RANK && t->axes >= (size_t)t->rank);
    for (int i = 0; i < t->rank; i++)
        expect(t->shape[i] <= INT64_MAX && !__builtin_mul_overflow(elements, t->shape[i], &elements));
    expect(elements == t->elements && (unsigned)t->dtype < LOCKSTEP_DTYPE_COUNT);
    expect(t->dtype == LOCKSTEP_OPAQUE || data_bytes == 0 || data_bytes == t->bytes);
}

static bool check(const char *json, size_t size, uint64_t data_bytes, uint64_t *out_bytes) {
    ls_arena arena = {0};
    ls_frame_content c;
    lockstep_error error = {0};
    lockstep_status status = ls_frame_read(json, size, data_bytes, &arena, &c, &error);
    if (status != LOCKSTEP_OK) {
        expect(error.status == status && error.message[0] != '\0');
        expect(error.offset == LOCKSTEP_NO_OFFSET || error.offset <= size);
    } else {
        size_t at = 0;
        expect(c.member_count > 0 && c.member_count <= LS_FRAME_KEYS_MAX && c.pass >= -1 && c.id >= 0);
        for (size_t i = 0; i < c.member_count; i++) {
            expect(c.members[i].begin >= at && c.members[i].end > c.members[i].begin && c.members[i].end < size);
            at = c.members[i].end;
        }
        if (c.event == LS_EVENT_TENSOR)
            check_tensor(&c.tensor, data_bytes);
        *out_bytes = c.event == LS_EVENT_TENSOR ? c.tensor.bytes : 0;
    }
    ls_arena_done(&arena);
    return status == LOCKSTEP_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t bytes = 0, again;
    if (size == 0)
        return 0;
    const char *json = (const char *)data + 1;
    bool accepted = check(json, size - 1, data[0] % 2 * 8, &bytes);
    if (accepted && bytes > 0)
        expect(check(json, size - 1, bytes, &again) && again == bytes);
    return 0;
}
