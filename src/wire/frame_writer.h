/* Everything that an observed process sends: each event becomes a frame here, and
 * nowhere else in C. docs/trace-format.md describes the frames. The channel must be open
 * (ls_channel_open); once the recorder is gone, nothing is sent. Thread-safe. */
#ifndef LS_WIRE_FRAME_WRITER_H
#define LS_WIRE_FRAME_WRITER_H

#include <lockstep/capture.h>

#include "wire/strided.h"

enum { LS_NO_PASS = -1, LS_NO_CONTEXT = -1 };

/* A number for a tensor of this process, from 1. A forked child continues its parent's
 * count, so that a number from before the fork never names another tensor. */
uint64_t ls_frame_next_id(void);

/* Which engine is recorded. Strings may be NULL. */
typedef struct ls_start_event {
    const char *engine, *version, *model, *device;
    const char *framework; /* that the engine computes with, and its version: "torch 2.13.0" */
    int context;
} ls_start_event;

void ls_frame_start(const ls_start_event *event);

typedef struct ls_pass_event {
    long pass;
    int context;
    int nodes;                 /* of the graph that is computed; 0: not known */
    const lockstep_rows *rows; /* may be NULL */
    bool rows_follow;          /* positions will be sent later */
} ls_pass_event;

void ls_frame_pass_begin(const ls_pass_event *event);
/* Rows that were learned after the pass began. */
void ls_frame_pass_rows(const ls_pass_event *event);
void ls_frame_pass_end(const ls_pass_event *event);

/* One tensor, described by every member of the node but strides, data, output and
 * writable; `values` NULL sends its line alone. A node of a dtype_name that is no type of
 * ours is sent as it is. False when out of memory, or when the recorder is gone. */
bool ls_frame_node(const lockstep_node *node, uint64_t id, long pass, const ls_strided *values);

/* Something that the user should know. */
void ls_frame_note(const char *text);
/* The same, where it says how compiled regions ran ("eager"); NULL where it does not. */
void ls_frame_note_compiled(const char *text, const char *compiled);
/* The process has nothing more to record. */
void ls_frame_end(void);
/* Asks which values the tensor of this id, of `count` bytes, is to continue with, and
 * waits: NULL for its own values; else bytes that the caller unmaps (munmap). */
void *ls_frame_resync(uint64_t id, size_t count);

#endif
