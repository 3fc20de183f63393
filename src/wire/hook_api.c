/* The frame writer and the channel for hooks in other languages: exported functions with
 * plain arguments, for ctypes and the like. The Python package calls them (transport.py). */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/pattern.h"
#include "base/ranges.h"
#include "base/sampled.h"
#include "wire/channel.h"
#include "wire/frame_writer.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int lockstep_hook_open(void);
EXPORT void lockstep_hook_close(void);
EXPORT int lockstep_hook_option(const char *key, char *out, size_t capacity);
EXPORT void *lockstep_hook_pattern(const char *text);
EXPORT int lockstep_hook_matches(const void *pattern, const char *text);
EXPORT int lockstep_hook_in_ranges(const char *ranges, int64_t value);
EXPORT uint64_t lockstep_hook_next_id(void);
EXPORT int64_t lockstep_hook_next_pass(void);
EXPORT void lockstep_hook_start(const char *engine, const char *version, const char *model, const char *device, const char *framework);
EXPORT void lockstep_hook_pass_begin(int64_t pass, const lockstep_rows *rows, int rows_follow);
EXPORT void lockstep_hook_pass_rows(int64_t pass, const lockstep_rows *rows);
EXPORT void lockstep_hook_pass_end(int64_t pass, const lockstep_rows *rows);
EXPORT int lockstep_hook_line(const lockstep_node *node, uint64_t id, int64_t pass, uint64_t alias, const uint64_t *numbers, int rank,
                              size_t source_count, size_t operand_count, int is_view, const void *data, uint64_t data_bytes);
EXPORT int lockstep_hook_weight(const lockstep_node *node, uint64_t id, const uint64_t *shape, int rank, const void *data, uint64_t data_bytes, int keeps);
EXPORT void lockstep_hook_model_file(const char *path);
EXPORT void lockstep_hook_note(const char *text, const char *compiled);
EXPORT void lockstep_hook_end(void);
EXPORT int lockstep_hook_resync(uint64_t id, void *data, uint64_t data_bytes);

/* 1 if there is a recorder. */
int lockstep_hook_open(void) { return ls_channel_open(); }

/* Ends the connection: a process may record for one recorder after another. */
void lockstep_hook_close(void) { ls_channel_close(); }

/* 1 if the recorder has set this option. */
int lockstep_hook_option(const char *key, char *out, size_t capacity) {
    return ls_channel_option(key, out, capacity);
}

/* For a hook that applies the options itself: a regular expression, compiled (NULL for none, or when out of memory; it is
 * never freed), whether a text matches it, and whether a list such as "0-3,7" holds a number. */
void *lockstep_hook_pattern(const char *text) {
    regex_t *pattern = malloc(sizeof *pattern);
    if (pattern != NULL && ls_pattern_compile(text, pattern))
        return pattern;
    free(pattern);
    return NULL;
}

int lockstep_hook_matches(const void *pattern, const char *text) { return regexec(pattern, text, 0, NULL, 0) == 0; }
int lockstep_hook_in_ranges(const char *ranges, int64_t value) { return ls_ranges_hold(ranges, (long)value); }

/* Numbers for tensors and passes, shared with the C capture API of this process. */
uint64_t lockstep_hook_next_id(void) { return ls_frame_next_id(); }
int64_t lockstep_hook_next_pass(void) { return ls_channel_next_pass(); }

void lockstep_hook_start(const char *engine, const char *version, const char *model, const char *device, const char *framework) {
    ls_frame_start(&(ls_start_event){engine, version, model, device, framework, LS_NO_CONTEXT});
}

static ls_pass_event event_of(int64_t pass, const lockstep_rows *rows) {
    return (ls_pass_event){.pass = (long)pass, .context = LS_NO_CONTEXT, .rows = rows};
}

void lockstep_hook_pass_begin(int64_t pass, const lockstep_rows *rows, int rows_follow) {
    ls_pass_event event = event_of(pass, rows);
    event.rows_follow = rows_follow != 0;
    ls_frame_pass_begin(&event);
}

void lockstep_hook_pass_rows(int64_t pass, const lockstep_rows *rows) {
    ls_pass_event event = event_of(pass, rows);
    ls_frame_pass_rows(&event);
}

void lockstep_hook_pass_end(int64_t pass, const lockstep_rows *rows) {
    ls_pass_event event = event_of(pass, rows);
    ls_frame_pass_end(&event);
}

/* Sends a tensor with data_bytes of contiguous values, or only its line if that is 0; pass is -1 if it belongs to none.
 * The other arguments replace the node's shape, sources, operands, place and alias, so that a caller can reuse one node for
 * tensors that differ only in these. `numbers` has `rank` axes, source_count ids of sources, and operand_count ids of
 * operands (0 of them: the sources are the operands); for a view, then the id of the tensor in whose memory it lies, the
 * offset and `rank` strides, both in bytes. Copies the data. Returns 0 once the recorder is gone. */
int lockstep_hook_line(const lockstep_node *node, uint64_t id, int64_t pass, uint64_t alias, const uint64_t *numbers, int rank,
                       size_t source_count, size_t operand_count, int is_view, const void *data, uint64_t data_bytes) {
    lockstep_node own = *node;
    const uint64_t *place = numbers + rank + source_count + operand_count;
    const lockstep_view view = is_view ? (lockstep_view){place[0], place[1], (const int64_t *)place + 2} : (lockstep_view){0};
    own.rank = rank;
    own.shape = numbers;
    own.sources = numbers + rank;
    own.source_count = source_count;
    own.alias = alias;
    own.operands = operand_count > 0 ? numbers + rank + source_count : NULL;
    own.operand_count = operand_count;
    own.view = is_view ? &view : NULL;
    const ls_strided values = {.data = data, .size = data_bytes, .bytes = data_bytes};
    return ls_frame_node(&own, id, (long)pass, data_bytes > 0 ? &values : NULL);
}

static const void *piece_of(void *context, uint64_t at, size_t count) {
    (void)count;
    return (const char *)context + at;
}

/* Sends a weight with the hash of a sample of its contiguous values, and with the values themselves if they are to be kept. */
int lockstep_hook_weight(const lockstep_node *node, uint64_t id, const uint64_t *shape, int rank, const void *data, uint64_t data_bytes, int keeps) {
    lockstep_node own = *node;
    uint64_t sample;
    own.rank = rank;
    own.shape = shape;
    own.source_count = own.operand_count = 0;
    own.view = NULL;
    const bool sampled = data_bytes > 0 && ls_sample_hash(data_bytes, piece_of, (void *)(uintptr_t)data, &sample);
    const ls_strided values = {.data = data, .size = data_bytes, .bytes = data_bytes};
    return ls_frame_weight(&own, id, sampled ? &sample : NULL, keeps && data_bytes > 0 ? &values : NULL);
}

/* A file with weights that the process has opened: an absolute path. */
void lockstep_hook_model_file(const char *path) { ls_frame_model_file(path); }

void lockstep_hook_note(const char *text, const char *compiled) { ls_frame_note_compiled(text, compiled); }
void lockstep_hook_end(void) { ls_frame_end(); }

/* 1 if the recorder has answered with other values, which are then in `data`. */
int lockstep_hook_resync(uint64_t id, void *data, uint64_t data_bytes) {
    void *bytes = ls_frame_resync(id, (size_t)data_bytes);
    if (bytes == NULL)
        return 0;
    memcpy(data, bytes, (size_t)data_bytes);
    munmap(bytes, (size_t)data_bytes);
    return 1;
}
