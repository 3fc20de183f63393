/* Reads and checks the frames that observed processes send. Frames are hostile input:
 * nothing is believed that was not checked here. docs/trace-format.md describes them. */
#ifndef LS_WIRE_FRAME_READER_H
#define LS_WIRE_FRAME_READER_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json_reader.h"
#include "base/text.h"
#include "wire/channel.h"

/* The most bytes of a frame's JSON, keys of an object, nested values, and characters of a number. */
enum { LS_FRAME_JSON_MAX = 64 << 20, LS_FRAME_KEYS_MAX = 256, LS_FRAME_DEPTH_MAX = 64, LS_FRAME_NUMBER_MAX = 400 };

/* Whether the bytes that begin a frame are a header, and its JSON is of a bearable size. */
static inline bool ls_frame_header_is_valid(const ls_frame_header *header) {
    return header->magic == LS_FRAME_MAGIC && header->json_bytes <= LS_FRAME_JSON_MAX;
}

typedef enum ls_event {
    LS_EVENT_OTHER, /* of a later version: to be ignored */
    LS_EVENT_START,
    LS_EVENT_PASS,
    LS_EVENT_ROWS,
    LS_EVENT_PASS_END,
    LS_EVENT_TENSOR,
    LS_EVENT_RESYNC,
    LS_EVENT_NOTE,
    LS_EVENT_END,
} ls_event;

/* A key of the frame's object, and its value's JSON: text[begin] to text[end - 1]. */
typedef struct ls_frame_member {
    const char *key;
    size_t begin, end;
} ls_frame_member;

/* What a tensor's frame says about its values. */
typedef struct ls_frame_tensor {
    const char *name, *op; /* op is "" where none is given */
    const char *dtype_name;
    lockstep_dtype dtype; /* LOCKSTEP_OPAQUE where dtype_name is no type that can be decoded */
    int rank;
    size_t axes; /* as sent; more than LOCKSTEP_MAX_RANK of them are folded into axis 0 of shape */
    uint64_t shape[LOCKSTEP_MAX_RANK];
    uint64_t elements;
    uint64_t bytes; /* of the values in dtype; 0 for LOCKSTEP_OPAQUE */
} ls_frame_tensor;

/* Strings and arrays belong to the arena that ls_frame_read was given; the text is the caller's. */
typedef struct ls_frame_content {
    const char *text; /* the JSON */
    ls_event event;
    ls_frame_member *members;
    size_t member_count;
    int64_t id;   /* of a tensor, or of the tensor that is to be resynced */
    int64_t pass; /* -1: none */
    ls_frame_tensor tensor;
} ls_frame_content;

/* Reads the JSON of a frame that carries data_bytes of data. LOCKSTEP_MALFORMED when it is
 * not a JSON object with an event, names a key twice (in a nested object, too), lacks a key
 * that its event needs, has a shape that overflows or a number that neither int64_t nor double
 * can hold, or carries data of another size than its shape and type have; LOCKSTEP_LIMIT beyond
 * LS_FRAME_KEYS_MAX keys of an object or LS_FRAME_DEPTH_MAX nested values; LOCKSTEP_NO_MEMORY.
 * The error's offset is that in the JSON. On failure *out_content is untouched. */
lockstep_status ls_frame_read(const char *json, size_t json_bytes, uint64_t data_bytes, ls_arena *arena,
                              ls_frame_content *out_content, lockstep_error *error);

/* The functions below take what ls_frame_read accepted. */

/* NULL when the frame has no such key. */
const ls_frame_member *ls_frame_find(const ls_frame_content *content, const char *key);
/* The string that is a key's value, in the arena; NULL when there is none, or no memory. */
const char *ls_frame_string(const ls_frame_content *content, const char *key, ls_arena *arena);

/* The elements of the list that is a key's value; of any other value there are none. */
typedef struct ls_frame_list {
    ls_json json;
    bool left;
} ls_frame_list;
ls_frame_list ls_frame_list_of(const ls_frame_content *content, const char *key);
/* False at the end. *out_whole: the element is an integer, *out_number. */
bool ls_frame_list_next(ls_frame_list *list, bool *out_whole, int64_t *out_number);

/* Appends a member's value to a line, without the white space between its tokens. */
void ls_frame_put_value(ls_text *line, const ls_frame_content *content, const ls_frame_member *member);
/* The same behind a comma and the key. */
void ls_frame_put_member(ls_text *line, const ls_frame_content *content, const ls_frame_member *member);

#endif
