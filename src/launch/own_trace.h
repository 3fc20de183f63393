/* Records what this process itself computes, through the same channel as any engine. */
#ifndef LS_LAUNCH_OWN_TRACE_H
#define LS_LAUNCH_OWN_TRACE_H

#include "record/recorder.h"

typedef struct ls_own_trace {
    lockstep_recorder *engine; /* for lockstep_capture_node and the like */
    ls_recorder *recorder;
    ls_receiver *receiver;
} ls_own_trace;

/* `directory`: as for `lockstep capture`. One at a time. */
lockstep_status ls_own_trace_open(const char *directory, char *const *argv, const char *engine, ls_own_trace *out_trace, lockstep_error *error);
/* Writes the rest. Fails where the trace is not whole. */
lockstep_status ls_own_trace_close(ls_own_trace *trace, const char *directory, lockstep_error *error);

#endif
