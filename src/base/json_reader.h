/* A reader that walks JSON text without building anything, so that a hostile
 * header of 100 MB costs no memory, and every error has its byte offset.
 *
 *     const char *key;
 *     LS_TRY(ls_json_begin(&j, '{', "header", error));
 *     while (ls_json_key(&j, &key, NULL, error) == LOCKSTEP_OK && key != NULL) { value }
 */
#ifndef LS_BASE_JSON_READER_H
#define LS_BASE_JSON_READER_H

#include "base/arena.h"
#include "base/error.h"

enum { LS_JSON_PYTHON_DEPTH = 990 }; /* sys.getrecursionlimit(), less the frames of a caller */

typedef struct ls_json {
    const char *text;
    uint64_t size, at;
    uint64_t origin;  /* file offset of text[0] */
    const char *file; /* for messages */
    ls_arena *arena;  /* of the strings */
    bool first;       /* no comma is due before the next element */
    bool python;      /* reads what Python's json module reads, see ls_json_open_python */
    uint64_t length;  /* of the last string or key */
} ls_json;

/* The files beside weights are written and read by Python, whose json module takes more
 * than the standard: a byte order mark, NaN, Infinity, -Infinity, lone surrogates (which
 * become three bytes each, as UTF-8 would have them), NUL in strings, and values nested
 * up to its own limit. Only the reader of such a file calls this. */
void ls_json_open_python(ls_json *j);

static inline uint64_t ls_json_offset(const ls_json *j) { return j->origin + j->at; }

/* The first byte of the next token, '\0' at the end. */
char ls_json_peek(ls_json *j);
/* Takes '{' or '['. */
lockstep_status ls_json_begin(ls_json *j, char open, const char *what, lockstep_error *error);
/* Takes the comma before another element (*out_more is then true), or `close`. */
lockstep_status ls_json_more(ls_json *j, char close, bool *out_more, lockstep_error *error);
/* NUL-terminated; one that isn't UTF-8 is refused, and so is a NUL in it, except by Python's
 * rules: then `length` counts. */
lockstep_status ls_json_string(ls_json *j, const char *what, const char **out,
                               lockstep_error *error);
/* The next key of an object, and ':'; or '}', and *out is NULL. out_at, unless NULL, gets
 * the key's offset. */
lockstep_status ls_json_key(ls_json *j, const char **out, uint64_t *out_at, lockstep_error *error);
/* Digits alone: no sign, no fraction, no exponent. */
lockstep_status ls_json_u64(ls_json *j, const char *what, uint64_t *out, lockstep_error *error);
/* Any value, nested at most 64 deep, or as deep as Python reads. */
lockstep_status ls_json_skip(ls_json *j, lockstep_error *error);
/* Passes over a number, whole or not, and gives its text. */
lockstep_status ls_json_take_number(ls_json *j, const char **out_text, size_t *out_length, lockstep_error *error);
/* Passes over a word (true, false, null, and NaN, Infinity, -Infinity by Python's rules);
 * NULL where none stands here. */
const char *ls_json_word(ls_json *j);
/* Nothing but white space may be left. */
lockstep_status ls_json_end(ls_json *j, lockstep_error *error);
/* Fails with what stands at the current position, and what was expected. */
lockstep_status ls_json_fail(ls_json *j, const char *expected, lockstep_error *error);

#endif
