/* Writes everything that an observed process sends: only here are events turned into frames.
 * docs/trace-format.md describes them. The channel must be open (ls_channel_open); once the
 * recorder is gone, nothing is sent. Thread-safe. */
#ifndef LS_WIRE_FRAME_WRITER_H
#define LS_WIRE_FRAME_WRITER_H

#include <lockstep/capture.h>

#include "wire/strided.h"

enum { LS_NO_PASS = -1, LS_NO_CONTEXT = -1 };

/* A new id for a tensor of this process, from 1. A forked child continues its parent's count,
 * so that an id from before the fork never refers to another tensor. */
uint64_t ls_frame_next_id(void);

/* Which engine is recorded. Strings may be NULL. */
typedef struct ls_start_event {
    const char *engine, *version, *model, *device;
    const char *framework; /* the library that the engine computes with, and its version: "torch 2.13.0" */
    int context;
} ls_start_event;

void ls_frame_start(const ls_start_event *event);

typedef struct ls_pass_event {
    long pass;
    int context;
    int nodes;                 /* number of nodes of the computed graph; 0 if unknown */
    const lockstep_rows *rows; /* may be NULL */
    bool rows_follow;          /* positions will be sent later */
    const long *like;          /* an earlier pass with the same graph, whose lines are not sent again; or NULL */
} ls_pass_event;

void ls_frame_pass_begin(const ls_pass_event *event);
/* Sends rows that became known after the pass began. */
void ls_frame_pass_rows(const ls_pass_event *event);
void ls_frame_pass_end(const ls_pass_event *event);

/* Sends a tensor: all members of the node except strides, data, output and writable. If `values` is NULL,
 * only the line is sent. A dtype_name that is not one of our element types is sent as given. False if out of
 * memory, or if the recorder is gone. */
bool ls_frame_node(const lockstep_node *node, uint64_t id, long pass, const ls_strided *values);
/* The same for a weight whose values are not sent, with the hash of a sample of its bytes (base/sampled.h); NULL: unknown. */
bool ls_frame_weight(const lockstep_node *node, uint64_t id, const uint64_t *sample, const ls_strided *values);

/* A file with weights that the process has opened, by its absolute path. */
void ls_frame_model_file(const char *path);

/* Sends a message for the user. */
void ls_frame_note(const char *text);
/* The same for a note about compiled regions: `compiled` is how they ran ("eager"), or NULL. */
void ls_frame_note_compiled(const char *text, const char *compiled);
/* The process has nothing more to record. */
void ls_frame_end(void);
/* Asks for the values with which the tensor of this id, of `count` bytes, should continue, and waits. Returns
 * bytes that the caller must unmap (munmap), or NULL if the tensor keeps its own. */
void *ls_frame_resync(uint64_t id, size_t count);

#endif
