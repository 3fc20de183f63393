/* The input is what an observed process sends: the bytes of its ring. Each frame, and each
 * piece of its data, must be within them, in order, and delivered once. This runs in memory and
 * without a recorder (see fuzz_recorder.c), so it is fast. */
#include <stdlib.h>
#include <string.h>

#include "record/receiver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *data;
    size_t size, at;
    bool ended;
} input;

static void expect(bool holds) {
    if (!holds)
        abort();
}

/* Reads the data in pieces whose size the frame's first byte chooses. */
static bool frame(void *context, const ls_frame *f) {
    input *in = context;
    const uint8_t *bytes;
    size_t count, least = f->json_bytes > 0 ? (uint8_t)f->json[0] % 9 : 1;
    ls_frame_header header;
    expect(!in->ended && in->size - in->at >= sizeof header);
    memcpy(&header, in->data + in->at, sizeof header);
    in->at += sizeof header;
    expect(header.magic == LS_FRAME_MAGIC && header.json_bytes == f->json_bytes && header.data_bytes == f->data_bytes);
    expect(in->size - in->at >= f->json_bytes && (f->json_bytes == 0 || memcmp(f->json, in->data + in->at, f->json_bytes) == 0));
    in->at += f->json_bytes;
    size_t begin = in->at;
    while (least != 8 && ls_inlet_data(f->inlet, least, &bytes, &count)) {
        expect(count >= least && count <= in->size - in->at && memcmp(bytes, in->data + in->at, count) == 0);
        in->at += count;
    }
    expect(in->at - begin <= f->data_bytes);
    uint64_t left = f->data_bytes - (in->at - begin); /* skipped, as far as it is there */
    in->at = left < in->size - in->at ? in->at + (size_t)left : in->size;
    return true;
}

static void closed(void *context, unsigned process, ls_ending ending) {
    input *in = context;
    expect(!in->ended && process == 0 && (ending != LS_ENDING_WHOLE || in->at == in->size));
    in->ended = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {.data = data, .size = size};
    expect(ls_receiver_replay(&(ls_receiver_events){&in, frame, closed}, data, size) && in.ended);
    return 0;
}
