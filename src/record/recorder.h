/* Turns the frames of observed processes into the lines and values of a trace. */
#ifndef LS_RECORD_RECORDER_H
#define LS_RECORD_RECORDER_H

#include "record/receiver.h"
#include "record/recording.h"

typedef struct ls_recorder ls_recorder;

typedef struct ls_recorder_totals {
    uint64_t tensors; /* lines of values that were computed or given */
    uint64_t files, passes, bytes, dropped;
    unsigned processes;
    unsigned ended;     /* of them, that said that they had nothing more to record */
    uint64_t lost_lines; /* that could not be written: the recording is not whole */
    bool torn;          /* a process ended within a frame or a pass, was cut off, or closed the channel and went on */
    char engine[160];   /* "llama.cpp v0.5.0", of the first process; may be empty */
    char trouble[200];  /* why values or lines were lost; empty when none were */
    char not_placed[80]; /* why the trace is not where it should be; empty when it is */
    uint64_t notes;
    char note[200];     /* the first of them */
} ls_recorder_totals;

/* Takes the recording over, and closes it at the end. `only`: what a filter keeps (selection.h),
 * or NULL. argv may be NULL. */
lockstep_status ls_recorder_open(const ls_recording *recording, bool stats_only, const char *only, char *const *argv,
                                 ls_recorder **out_recorder, lockstep_error *error);
/* For ls_receiver_events, with the recorder as the context. */
bool ls_recorder_frame(void *recorder, const ls_frame *frame);
void ls_recorder_closed(void *recorder, unsigned process, ls_ending ending);
/* Every process that recorded said that it had nothing more to record. */
bool ls_recorder_has_ended(ls_recorder *recorder);
/* A line that says something about the recording itself. */
void ls_recorder_note(ls_recorder *recorder, const char *text);
/* Writes the last line, unless the recording is not whole; frees. */
void ls_recorder_close(ls_recorder *recorder, bool whole, int exit_status,
                       ls_recorder_totals *out_totals);

#endif
