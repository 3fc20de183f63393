/* Turns the frames of observed processes into the lines and values of a trace. */
#ifndef LS_RECORD_RECORDER_H
#define LS_RECORD_RECORDER_H

#include "record/receiver.h"
#include "record/recording.h"

typedef struct ls_recorder ls_recorder;

typedef struct ls_recorder_totals {
    uint64_t tensors; /* tensor lines, weights not counted */
    uint64_t files, passes, bytes, dropped;
    unsigned processes;
    unsigned ended;     /* processes that sent the event "end" */
    uint64_t lost_lines; /* lines that could not be written: the recording is incomplete */
    bool torn;          /* a process ended within a frame or a pass, was cut off, or closed the channel and continued */
    char engine[160];   /* "llama.cpp v0.5.0", of the first process; may be empty */
    char reason[200];   /* for the first lost values or line; empty when none were lost */
    char not_placed[80]; /* the reason why the trace could not replace an older one; else empty */
    uint64_t notes;
    char note[200];     /* the first of them */
} ls_recorder_totals;

typedef struct ls_recorder_options {
    bool stats_only;   /* no values are kept */
    bool graph_only;   /* only the inputs' values are sent */
    const char *only;  /* the filter under which it is recorded (selection.h), or NULL */
    char *const *argv; /* of the command; may be NULL */
} ls_recorder_options;

/* Takes ownership of the recording, also on failure, and closes it at the end. Zeroed options: everything. */
lockstep_status ls_recorder_open(const ls_recording *recording, const ls_recorder_options *options, ls_recorder **out_recorder, lockstep_error *error);
/* The callbacks for ls_receiver_events; the context is the recorder. */
bool ls_recorder_frame(void *recorder, const ls_frame *frame);
void ls_recorder_closed(void *recorder, unsigned process, ls_ending ending);
/* Whether every process that recorded has sent the event "end". */
bool ls_recorder_has_ended(ls_recorder *recorder);
/* Writes a note about the recording itself. */
void ls_recorder_note(ls_recorder *recorder, const char *text);
/* Writes the last line if the recording is complete (`whole`, and nothing was lost or torn); frees. */
void ls_recorder_close(ls_recorder *recorder, bool whole, int exit_status,
                       ls_recorder_totals *out_totals);

#endif
