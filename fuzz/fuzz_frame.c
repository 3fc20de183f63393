/* What an observed process sends: the bytes are its ring's, from the first frame
 * on; a real receiver and recorder take them. The trace must then open, and the same
 * bytes compare with it as they come. */
#include <dirent.h>
#include <stdio.h>

#include "../tests/unit/raw_channel.h"
#include "align/live.h"
#include "trace/trace.h"
#include "trace/trace_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/lockstep-fuzz-XXXXXX";

static void clean(void) {
    char path[512];
    snprintf(path, sizeof path, "%s/tensors", folder);
    DIR *entries = opendir(path);
    for (struct dirent *e; entries != NULL && (e = readdir(entries)) != NULL;)
        unlinkat(dirfd(entries), e->d_name, 0);
    if (entries != NULL)
        closedir(entries);
    rmdir(path);
    snprintf(path, sizeof path, "%s/trace.jsonl", folder);
    unlink(path);
    rmdir(folder);
}

static void prepare(void) {
    static bool done;
    if (!done && (mkdtemp(folder) == NULL || atexit(clean) != 0))
        abort();
    done = true;
}

/* Takes the bytes as a process's frames. */
static void receive(const ls_recording *recording, const uint8_t *data, size_t size, ls_recorder_totals *totals) {
    enum { RING = 64 << 10 };
    ls_recorder *recorder;
    ls_receiver *receiver;
    lockstep_error error;
    raw_channel raw;
    if (ls_recorder_open(recording, false, NULL, &recorder, &error) != LOCKSTEP_OK)
        abort();
    ls_receiver_events events = {recorder, ls_recorder_frame, ls_recorder_closed};
    if (ls_receiver_open("", RING, &events, &receiver, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "%s\n", error.message);
        abort();
    }
    if (!raw_open(ls_receiver_name(receiver), &raw)) {
        perror("raw_open");
        abort();
    }
    raw_write(&raw, data, size);
    raw_close(&raw);
    ls_receiver_close(receiver, 10000);
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
    if (ls_live_open(folder, &options, &live, &recording, &error) != LOCKSTEP_OK)
        return; /* a mask that can't be read, say */
    receive(&recording, data, size, &totals);
    if (ls_live_finish(live, &diff, &error) != LOCKSTEP_OK && error.message[0] == '\0')
        abort(); /* a failure says why */
    ls_live_close(live);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ls_recorder_totals totals;
    lockstep_error error;
    ls_trace *trace;
    ls_recording recording;
    prepare();
    if (ls_trace_writer_open(folder, &recording, &error) != LOCKSTEP_OK)
        abort();
    receive(&recording, data, size, &totals);
    if (ls_trace_open(folder, &trace, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "%s\n", error.message);
        abort(); /* whatever was sent, the trace is one */
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
    return 0;
}
