/* The channel: how an observed process hands tensors to its recorder.
 *
 * `lockstep capture` listens on a Unix socket named by LOCKSTEP_CHANNEL. A process
 * that has something to record connects and gets a ring in shared memory. It writes
 * frames, and the recorder reads them. Each process has its own ring, even a forked child.
 * A full ring blocks the writer until the recorder has read. If the recorder is gone,
 * recording ends, but the process continues. Needs only libc.
 *
 * A frame is a 16-byte header { u32 magic, u32 json bytes, u64 data bytes }, a JSON
 * object, then the raw data. frame_writer.h writes the objects, frame_reader.h reads them.
 */
#ifndef LS_WIRE_CHANNEL_H
#define LS_WIRE_CHANNEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>

#define LS_CHANNEL_ENV "LOCKSTEP_CHANNEL"
#define LS_FRAME_MAGIC 0x4b54534cu /* "LSTK" */

typedef struct ls_frame_header {
    uint32_t magic;
    uint32_t json_bytes;
    uint64_t data_bytes;
} ls_frame_header;

enum { LS_RING_PAGE = 4096, LS_OPTIONS_MAX = 3072 };
/* Limits: bytes of a frame's JSON, keys of an object, depth of nested values, characters of a number. */
enum { LS_FRAME_JSON_MAX = 64 << 20, LS_FRAME_KEYS_MAX = 256, LS_FRAME_DEPTH_MAX = 64, LS_FRAME_NUMBER_MAX = 400 };

/* Wakes the other side. Ringing a bell that no one waits for costs no system call. */
typedef struct ls_bell {
    _Atomic uint32_t count, sleepers;
} ls_bell;

/* The first page of the shared memory; the ring's bytes follow. Positions only grow: the
 * byte at position p is at p % size. */
typedef struct ls_ring {
    uint64_t size;                 /* of the ring, a power of two */
    _Alignas(64) _Atomic uint64_t written; /* by the observed process */
    ls_bell written_bell;
    _Alignas(64) _Atomic uint64_t read; /* by the recorder */
    ls_bell read_bell;
    _Atomic uint32_t closed; /* the recorder has stopped reading */
    _Atomic uint32_t lost;   /* the observed process had more to send after that */
    _Alignas(64) char options[LS_OPTIONS_MAX]; /* "key=value\n"…, set by the recorder */
} ls_ring;

/* ------------------------------------------- the observed process's side */

/* Connects this process (again after a fork). False if there is no recorder: then later
 * calls cost one branch. Thread-safe. */
bool ls_channel_open(void);
/* Ends the connection; the next ls_channel_open connects to what LOCKSTEP_CHANNEL then
 * names. No other thread may be recording. */
void ls_channel_close(void);
/* Copies the value of a key in the recorder's options; false if the key is not there. */
bool ls_channel_option(const char *key, char *out, size_t capacity);
/* The number of this connection, from 1. A forked child and a second recording of the same process have a
 * different one, whose recorder doesn't know the earlier ones. */
unsigned ls_channel_connection(void);
/* The next pass number. Each connection counts from 0. */
long ls_channel_next_pass(void);
/* Send a frame in pieces. `begin` takes a lock that `end` releases; exactly data_bytes bytes must be written in
 * between. False once the recorder is gone: the calls then do nothing, but `end` must still follow `begin`. */
bool ls_channel_begin(const char *json, size_t json_bytes, uint64_t data_bytes);
bool ls_channel_data(const void *bytes, size_t count);
void ls_channel_end(void);
bool ls_channel_send(const char *json, size_t json_bytes, const void *data, uint64_t data_bytes);
/* Sends a question and waits for the answer. Returns bytes that the caller must unmap (munmap), or NULL if
 * there is no answer or its size is not answer_bytes. */
void *ls_channel_ask(const char *json, size_t json_bytes, size_t answer_bytes);

/* A thread must not be cancelled (pthread_cancel) while it holds one of our locks. `hold` defers cancellation
 * until `release`. Pairs nest. */
static inline int ls_cancel_hold(void) {
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}
static inline void ls_cancel_release(int before) { pthread_setcancelstate(before, &before); }

/* The name of a memfd of the recorder, which each process that could not connect extends by one byte. The
 * channel's name is @lockstep-PID-MISSED-…, with the recorder's process id and its descriptor of the memfd. */
#define LS_MISSED_NAME "lockstep-missed"

/* Sends a message of one byte over a socket, with a descriptor or -1. Never waits. */
bool ls_socket_send(int socket, char byte, int descriptor);

/* ------------------------------------------- both sides */

/* Maps a ring's descriptor: the header page, then the bytes twice in a row, so
 * that any `size` of them are contiguous. NULL on failure. */
ls_ring *ls_ring_map(int descriptor, uint64_t size);
static inline uint8_t *ls_ring_bytes(ls_ring *ring) { return (uint8_t *)ring + LS_RING_PAGE; }

/* Sleeps until the bell's count differs from `seen`, or until about `milliseconds` have passed. */
void ls_bell_wait(ls_bell *bell, uint32_t seen, int milliseconds);
void ls_bell_ring(ls_bell *bell);

#endif
