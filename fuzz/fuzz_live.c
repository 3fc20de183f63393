/* The input is what an observed process sends. It is written as a trace, which must then open,
 * and compared live with that trace. (fuzz_recorder.c is similar, but faster without files.) */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "diff/live.h"
#include "record/recorder.h"
#include "trace/trace.h"
#include "record/trace_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/lockstep-fuzz-XXXXXX", path[sizeof folder + 2];

static void clean(void) { rmdir(folder); }

static void prepare(void) {
    static bool done;
    if (!done && (mkdtemp(folder) == NULL || atexit(clean) != 0))
        abort();
    snprintf(path, sizeof path, "%s/t", folder);
    done = true;
}

/* Receives the bytes as a process's frames. */
static void receive(const ls_recording *recording, const uint8_t *data, size_t size, ls_recorder_totals *totals) {
    ls_recorder *recorder;
    lockstep_error error;
    if (ls_recorder_open(recording, &(ls_recorder_options){0}, &recorder, &error) != LOCKSTEP_OK)
        abort();
    if (!ls_receiver_replay(&(ls_receiver_events){recorder, ls_recorder_frame, ls_recorder_closed}, data, size))
        abort();
    ls_recorder_close(recorder, true, 0, totals);
}

static void check_live(const uint8_t *data, size_t size) {
    ls_live *live;
    ls_recording recording;
    ls_recorder_totals totals;
    ls_diff *diff;
    lockstep_error error = {0};
    ls_live_options options = {.name = "fuzz", .memory_bytes = 1 << 16, .stop_first = size % 2 == 1,
                               .diff = {.profile = ls_profile_find("auto"), .min_coverage = 0.5}};
    if (ls_live_open(path, &options, &live, &recording, &error) != LOCKSTEP_OK)
        return; /* for example, a mask that can't be read */
    receive(&recording, data, size, &totals);
    if (ls_live_finish(live, &diff, &error) != LOCKSTEP_OK && error.message[0] == '\0')
        abort(); /* a failure must have a message */
    ls_live_close(live);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ls_recorder_totals totals;
    lockstep_error error;
    ls_trace *trace;
    ls_recording recording;
    prepare();
    if (ls_trace_writer_open(path, &recording, &error) != LOCKSTEP_OK)
        abort();
    receive(&recording, data, size, &totals);
    if (!ls_trace_is_one(path))
        return 0; /* without lines, no trace is kept */
    if (ls_trace_open(path, &trace, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "%s\n", error.message);
        abort(); /* whatever was sent, the trace must be valid */
    }
    if (trace->complete && totals.torn)
        abort();
    ls_hold hold;
    for (size_t i = 0; i < trace->node_count && i < 16; i++)
        if (ls_node_has_values(&trace->nodes[i])) {
            if (ls_trace_hold(trace, i, &hold, &error) != LOCKSTEP_OK)
                abort();
            ls_hold_release(&hold);
        }
    ls_trace_close(trace);
    check_live(data, size);
    if (ls_trace_remove(path, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "%s\n", error.message);
        abort(); /* every file must belong to a line */
    }
    return 0;
}
