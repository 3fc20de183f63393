/* Passes frames (fuzz_frame.c) to a recorder: whatever was sent, the lines that it writes must
 * be a valid trace. Everything is in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record/recorder.h"
#include "trace/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct memory {
    ls_trace_feed *feed;
    uint64_t expected, put;
    uint64_t number;
} memory;

static int put_line(void *context, const char *text, size_t length) {
    memory *m = context;
    lockstep_error error;
    if (length == 0 || text[length - 1] != '\n' || memchr(text, '\n', length - 1) != NULL)
        abort();
    if (ls_trace_feed_line(m->feed, text, length - 1, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "%s\n", error.message);
        abort();
    }
    return 0;
}

static void begin_values(void *context, const ls_stored_values *values) {
    memory *m = context;
    m->expected = values->bytes;
    m->put = 0;
    m->number = values->i;
}

static void put_values(void *context, const void *bytes, size_t count) {
    memory *m = context;
    (void)bytes;
    m->put += count;
}

static int end_values(void *context, bool whole, ls_place *out_place) {
    memory *m = context;
    if (m->put > m->expected || (whole && m->put != m->expected))
        abort();
    *out_place = (ls_place){.file = "tensors/0000.npz", .member = "x.npy", .at = m->number << 20, .bytes = 1};
    return 0;
}

static int leave(void *context, bool recorded) {
    (void)context, (void)recorded;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    memory m = {0};
    ls_trace *trace;
    ls_recorder *recorder;
    ls_recorder_totals totals;
    lockstep_error error;
    if (ls_trace_feed_open("fuzz", &m.feed, &trace, &error) != LOCKSTEP_OK)
        abort();
    const ls_recording recording = {&m, put_line, begin_values, put_values, end_values, NULL, NULL, NULL, leave};
    if (ls_recorder_open(&recording, &(ls_recorder_options){0}, &recorder, &error) != LOCKSTEP_OK)
        abort();
    if (!ls_receiver_replay(&(ls_receiver_events){recorder, ls_recorder_frame, ls_recorder_closed}, data, size))
        abort();
    ls_recorder_close(recorder, true, 0, &totals);
    if (trace->complete && totals.torn)
        abort();
    ls_trace_feed_close(m.feed);
    ls_trace_close(trace);
    return 0;
}
