/* A trace on disk, written as it is recorded: trace.jsonl, and the values in segments (segment_writer.h). */
#ifndef LS_RECORD_TRACE_WRITER_H
#define LS_RECORD_TRACE_WRITER_H

#include "base/error.h"
#include "record/recording.h"

/* Creates the directory, or writes beside an older trace in it, which is replaced when the
 * recording is closed and has tensors. Refuses any other directory that isn't empty, and one
 * into which another recording is being written. Files that belong to no trace are never touched. */
lockstep_status ls_trace_writer_open(const char *directory, ls_recording *out_recording, lockstep_error *error);
/* The directory holds a trace that a recorder wrote. */
bool ls_trace_is_one(const char *directory);
/* Removes a trace: its log, the files that the log names, and the directories if they are
 * then empty. */
lockstep_status ls_trace_remove(const char *directory, lockstep_error *error);

#endif
