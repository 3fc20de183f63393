/* A trace on disk, written as it is recorded: trace.jsonl, and the values in segments (segment_writer.h). */
#ifndef LS_RECORD_TRACE_WRITER_H
#define LS_RECORD_TRACE_WRITER_H

#include "base/error.h"
#include "record/recording.h"

/* Makes the directory, or writes beside an older trace in it, which is replaced when the
 * recording is closed and there is something to replace it with. Refuses any other
 * directory that holds something, and one that another recording is being written to.
 * What is not of a trace is never touched. */
lockstep_status ls_trace_writer_open(const char *directory, ls_recording *out_recording, lockstep_error *error);
/* The directory holds a trace that a recorder wrote. */
bool ls_trace_is_one(const char *directory);
/* Removes a trace: its log, the files that this names, and the directories when nothing
 * else is in them. */
lockstep_status ls_trace_remove(const char *directory, lockstep_error *error);

#endif
