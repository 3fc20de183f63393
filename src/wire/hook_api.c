/* The channel for hooks in other languages, which write their frames themselves (the
 * Python hook does: see transport.py). */
#include <string.h>
#include <sys/mman.h>

#include "wire/channel.h"
#include "wire/frame_writer.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int lockstep_hook_open(void);
EXPORT int lockstep_hook_option(const char *key, char *out, size_t capacity);
EXPORT uint64_t lockstep_hook_next_id(void);
EXPORT uint64_t lockstep_hook_next_pass(void);
EXPORT int lockstep_hook_send(const char *json, size_t json_bytes, const void *data, uint64_t data_bytes);
EXPORT int lockstep_hook_resync(uint64_t id, void *data, uint64_t data_bytes);
EXPORT void lockstep_hook_close(void);

/* 1 when there is a recorder. */
int lockstep_hook_open(void) { return ls_channel_open(); }

/* Ends the connection: a process may record for one recorder after another. */
void lockstep_hook_close(void) { ls_channel_close(); }

/* 1 when the recorder set this option. */
int lockstep_hook_option(const char *key, char *out, size_t capacity) {
    return ls_channel_option(key, out, capacity);
}

/* Numbers for tensors and passes, shared with the C capture API of this process. */
uint64_t lockstep_hook_next_id(void) { return ls_frame_next_id(); }
uint64_t lockstep_hook_next_pass(void) { return (uint64_t)ls_channel_next_pass(); }

/* Copies the frame; 0 once the recorder is gone. */
int lockstep_hook_send(const char *json, size_t json_bytes, const void *data, uint64_t data_bytes) {
    return ls_channel_send(json, json_bytes, data, data_bytes);
}

/* 1 when the recorder answered with other values, which `data` then holds. */
int lockstep_hook_resync(uint64_t id, void *data, uint64_t data_bytes) {
    void *bytes = ls_frame_resync(id, (size_t)data_bytes);
    if (bytes == NULL)
        return 0;
    memcpy(data, bytes, (size_t)data_bytes);
    munmap(bytes, (size_t)data_bytes);
    return 1;
}
