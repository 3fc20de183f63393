/* A trace on disk, written as it is recorded: trace.jsonl, and a .npy per tensor. */
#ifndef LS_TRACE_TRACE_WRITER_H
#define LS_TRACE_TRACE_WRITER_H

#include "base/error.h"
#include "trace/recording.h"

/* Makes the directory, or empties it when it is an older trace; refuses any other
 * directory that holds something. */
lockstep_status ls_trace_writer_open(const char *directory, ls_recording *out_recording, lockstep_error *error);
/* Removes a trace: its log, its .npy files, and the directories when nothing else is in them. */
lockstep_status ls_trace_remove(const char *directory, lockstep_error *error);

#endif
