/* The recorder's side of the channel: accepts observed processes and hands out
 * their frames. Everything that arrives is checked; a process that breaks the
 * framing is cut off. */
#ifndef LS_RECORD_RECEIVER_H
#define LS_RECORD_RECEIVER_H

#include "base/error.h"
#include "wire/channel.h"

typedef struct ls_receiver ls_receiver;
typedef struct ls_inlet ls_inlet; /* one observed process */

/* One frame; valid during the call only. Data are read with ls_inlet_data. */
typedef struct ls_frame {
    const char *json; /* not NUL-terminated */
    size_t json_bytes;
    uint64_t data_bytes;
    unsigned process; /* 0 for the first that connected */
    int pid;
    ls_inlet *inlet;
} ls_frame;

typedef enum ls_ending {
    LS_ENDING_WHOLE,
    LS_ENDING_TORN,      /* within a frame, or cut off */
    LS_ENDING_CONTINUED, /* it closed the channel, but had more to record */
} ls_ending;

typedef struct ls_receiver_events {
    void *context;
    /* Called from one thread per process. False cuts the process off: its later
     * frames are not delivered. */
    bool (*frame)(void *context, const ls_frame *frame);
    /* The process is gone. Called again at ls_receiver_close for a process that turns out to have continued. */
    void (*closed)(void *context, unsigned process, ls_ending ending);
} ls_receiver_events;

/* Listens. `options` are handed to the observed processes (at most
 * LS_OPTIONS_MAX - 1 bytes). ring_bytes is a power of two. */
lockstep_status ls_receiver_open(const char *options, uint64_t ring_bytes,
                                 const ls_receiver_events *events, ls_receiver **out_receiver,
                                 lockstep_error *error);
/* The value of LOCKSTEP_CHANNEL for the observed processes. */
const char *ls_receiver_name(const ls_receiver *receiver);
/* How many of them are connected and alive. */
unsigned ls_receiver_alive(ls_receiver *receiver);
/* Stops accepting, waits until every process that is still connected is gone or
 * `grace_ms` have passed with nothing arriving, then frees. Returns how many
 * processes wanted to record but could not: no memory, another user, no way to connect. */
unsigned ls_receiver_close(ls_receiver *receiver, int grace_ms);

/* Delivers bytes as the frames of one process that has ended, without a channel, so that consumers of frames can be
 * tested. False when out of memory. */
bool ls_receiver_replay(const ls_receiver_events *events, const void *bytes, size_t count);

/* The next piece of the frame's data: a pointer to at least `at_least` contiguous
 * bytes (at most 512 KiB), and how many there are; consumed on the next call. False
 * when the process died before sending them. */
bool ls_inlet_data(ls_inlet *inlet, size_t at_least, const uint8_t **out_bytes, size_t *out_count);
/* If other processes are connected, too, waits until as much of the frame's data is in the ring as fits, or the process
 * is gone: what then reads it under a lock does not make the others wait for a process that has stopped. */
void ls_inlet_await(ls_inlet *inlet);
/* Answers a process that waits in ls_channel_ask; bytes NULL: it keeps its own values.
 * False when the bytes could not be passed on; the process then also keeps its own values. */
bool ls_inlet_answer(ls_inlet *inlet, const void *bytes, uint64_t count);

#endif
