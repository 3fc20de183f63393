/* Reads and checks the frames that observed processes send. Frames are hostile input, and
 * nothing in them is trusted unless it is checked here. docs/trace-format.md describes them. */
#ifndef LS_WIRE_FRAME_READER_H
#define LS_WIRE_FRAME_READER_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json_reader.h"
#include "base/text.h"
#include "wire/channel.h"

/* Whether the first bytes of a frame are a header with an acceptable JSON size. */
static inline bool ls_frame_header_is_valid(const ls_frame_header *header) {
    return header->magic == LS_FRAME_MAGIC && header->json_bytes <= LS_FRAME_JSON_MAX;
}

typedef enum ls_event {
    LS_EVENT_OTHER, /* from a later version: ignored */
    LS_EVENT_START,
    LS_EVENT_PASS,
    LS_EVENT_ROWS,
    LS_EVENT_PASS_END,
    LS_EVENT_TENSOR,
    LS_EVENT_RESYNC,
    LS_EVENT_NOTE,
    LS_EVENT_MODEL_FILE,
    LS_EVENT_END,
} ls_event;

/* A key of the frame's object, and its value's JSON: text[begin] to text[end - 1]. */
typedef struct ls_frame_member {
    const char *key;
    size_t begin, end;
} ls_frame_member;

/* What a tensor's frame says about its values. */
typedef struct ls_frame_tensor {
    const char *name, *op; /* op is "" if there is none */
    const char *dtype_name;
    lockstep_dtype dtype; /* LOCKSTEP_OPAQUE if dtype_name is not a type that can be decoded */
    int rank;
    size_t axes; /* as sent; more than LOCKSTEP_MAX_RANK of them are folded into axis 0 of shape */
    uint64_t shape[LOCKSTEP_MAX_RANK];
    uint64_t elements;
    uint64_t bytes; /* of the values in dtype; 0 for LOCKSTEP_OPAQUE */
} ls_frame_tensor;

/* Strings and arrays belong to the arena that ls_frame_read was given; the text belongs to the caller. */
typedef struct ls_frame_content {
    const char *text; /* the JSON */
    ls_event event;
    ls_frame_member *members;
    size_t member_count;
    int64_t id;   /* of the tensor, also for a resync */
    int64_t pass; /* -1 if none */
    ls_frame_tensor tensor;
} ls_frame_content;

/* Reads the JSON of a frame with data_bytes of data. LOCKSTEP_MALFORMED if it is not a JSON
 * object with an event, has a key twice (even in a nested object), lacks a key that its event
 * needs (a tensor that is not a weight needs its pass), has a known key with a value of the
 * wrong type, has a shape that overflows or a number that neither int64_t nor double can hold, or
 * if the size of the data doesn't match its shape and type; LOCKSTEP_LIMIT for more than
 * LS_FRAME_KEYS_MAX keys in an object or LS_FRAME_DEPTH_MAX nested values; LOCKSTEP_NO_MEMORY.
 * The error's offset is relative to the JSON. On failure *out_content is untouched. */
lockstep_status ls_frame_read(const char *json, size_t json_bytes, uint64_t data_bytes, ls_arena *arena,
                              ls_frame_content *out_content, lockstep_error *error);

/* The functions below need content that ls_frame_read has accepted. */

/* NULL if the frame has no such key. */
const ls_frame_member *ls_frame_find(const ls_frame_content *content, const char *key);
/* The string value of a key, in the arena; NULL if there is none, or if out of memory. */
const char *ls_frame_string(const ls_frame_content *content, const char *key, ls_arena *arena);

/* The integer value of a key; false if it has none. */
bool ls_frame_integer(const ls_frame_content *content, const char *key, int64_t *out_number);

/* Iterates over the list that is a key's value; a value of any other kind has no elements. */
typedef struct ls_frame_list {
    ls_json json;
    bool left;
} ls_frame_list;
ls_frame_list ls_frame_list_of(const ls_frame_content *content, const char *key);
/* False at the end. *out_whole says whether the element is an integer, which is then *out_number. */
bool ls_frame_list_next(ls_frame_list *list, bool *out_whole, int64_t *out_number);

/* Appends a member's value to a line, without the white space between its tokens. */
void ls_frame_put_value(ls_text *line, const ls_frame_content *content, const ls_frame_member *member);
/* The same after a comma and the key. */
void ls_frame_put_member(ls_text *line, const ls_frame_content *content, const ls_frame_member *member);

#endif
