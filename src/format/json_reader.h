/* A reader that walks JSON text without building anything, so that a hostile
 * header of 100 MB costs no memory, and every error has its byte offset.
 *
 *     const char *key;
 *     LS_TRY(ls_json_begin(&j, '{', "header", error));
 *     while (ls_json_key(&j, &key, NULL, error) == LOCKSTEP_OK && key != NULL) { value }
 */
#ifndef LS_FORMAT_JSON_READER_H
#define LS_FORMAT_JSON_READER_H

#include "base/arena.h"
#include "base/error.h"

typedef struct ls_json {
    const char *text;
    uint64_t size, at;
    uint64_t origin;  /* file offset of text[0] */
    const char *file; /* for messages */
    ls_arena *arena;  /* of the strings */
    bool first;       /* no comma is due before the next element */
} ls_json;

static inline uint64_t ls_json_offset(const ls_json *j) { return j->origin + j->at; }

/* The first byte of the next token, '\0' at the end. */
char ls_json_peek(ls_json *j);
/* Takes '{' or '['. */
lockstep_status ls_json_begin(ls_json *j, char open, const char *what, lockstep_error *error);
/* Takes the comma before another element (*out_more is then true), or `close`. */
lockstep_status ls_json_more(ls_json *j, char close, bool *out_more, lockstep_error *error);
/* NUL-terminated; a string with a NUL in it, or that isn't UTF-8, is refused. */
lockstep_status ls_json_string(ls_json *j, const char *what, const char **out,
                               lockstep_error *error);
/* The next key of an object, and ':'; or '}', and *out is NULL. out_at, unless NULL, gets
 * the key's offset. */
lockstep_status ls_json_key(ls_json *j, const char **out, uint64_t *out_at, lockstep_error *error);
/* Digits alone: no sign, no fraction, no exponent. */
lockstep_status ls_json_u64(ls_json *j, const char *what, uint64_t *out, lockstep_error *error);
/* Any value, nested at most 64 deep. */
lockstep_status ls_json_skip(ls_json *j, lockstep_error *error);
/* Nothing but white space may be left. */
lockstep_status ls_json_end(ls_json *j, lockstep_error *error);
/* Fails with what stands at the current position, and what was expected. */
lockstep_status ls_json_fail(ls_json *j, const char *expected, lockstep_error *error);

#endif
