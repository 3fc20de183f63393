#include "launch/own_trace.h"

#include <stdlib.h>

#include "record/trace_writer.h"
#include "wire/channel.h"

enum { RING_BYTES = 4 << 20, GRACE_MS = 3000 };

static void discard(ls_own_trace *t) {
    ls_recorder_totals totals;
    if (t->receiver != NULL)
        ls_receiver_close(t->receiver, 0);
    ls_recorder_close(t->recorder, false, 0, &totals);
}

lockstep_status ls_own_trace_open(const char *directory, char *const *argv, const char *engine, ls_own_trace *out, lockstep_error *error) {
    ls_own_trace t = {0};
    ls_recording recording;
    LS_TRY(ls_trace_writer_open(directory, &recording, error));
    LS_TRY(ls_recorder_open(&recording, &(ls_recorder_options){.argv = argv}, &t.recorder, error));
    const ls_receiver_events events = {t.recorder, ls_recorder_frame, ls_recorder_closed};
    lockstep_status status = ls_receiver_open("", RING_BYTES, &events, &t.receiver, error);
    if (status == LOCKSTEP_OK) {
        setenv(LS_CHANNEL_ENV, ls_receiver_name(t.receiver), 1);
        t.engine = lockstep_capture_open(engine, lockstep_version());
        unsetenv(LS_CHANNEL_ENV);
        status = t.engine != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_DISCONNECTED, "%s: this process can't record itself: no memory is left, or no socket", directory);
    }
    if (status == LOCKSTEP_OK)
        *out = t;
    else
        discard(&t);
    return status;
}

lockstep_status ls_own_trace_close(ls_own_trace *t, const char *directory, lockstep_error *error) {
    ls_recorder_totals totals;
    lockstep_capture_close(t->engine);
    ls_channel_close();
    ls_receiver_close(t->receiver, GRACE_MS);
    ls_recorder_close(t->recorder, true, 0, &totals);
    if (totals.lost_lines > 0 || totals.dropped > 0 || totals.torn || totals.not_placed[0] != '\0')
        return ls_fail(error, LOCKSTEP_IO, "%s: the trace could not be written: %s", directory, totals.reason[0] != '\0' ? totals.reason : totals.not_placed);
    return LOCKSTEP_OK;
}
