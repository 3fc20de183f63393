/* A pull parser for JSON: builds no tree, so that a hostile header of 100 MB costs no
 * memory, and gives every error its byte offset.
 *
 *     const char *key;
 *     LS_TRY(ls_json_begin(&j, '{', "header", error));
 *     while (ls_json_key(&j, &key, NULL, error) == LOCKSTEP_OK && key != NULL) { value }
 */
#ifndef LS_BASE_JSON_READER_H
#define LS_BASE_JSON_READER_H

#include "base/arena.h"
#include "base/error.h"

enum { LS_JSON_PYTHON_DEPTH = 990 }; /* sys.getrecursionlimit() minus a caller's frames */

typedef struct ls_json {
    const char *text;
    uint64_t size, at;
    uint64_t origin;  /* file offset of text[0] */
    const char *file; /* for messages */
    ls_arena *arena;  /* owns the strings */
    bool first;       /* the next element is the first, so no comma comes before it */
    bool python;      /* accepts what Python's json module accepts, see ls_json_open_python */
    uint64_t length;  /* of the last string or key */
} ls_json;

/* Call this for the JSON files that come with weights. Python writes and reads them, and its
 * json module accepts more than the standard: a byte order mark, NaN, Infinity, -Infinity,
 * lone surrogates (encoded in three bytes each, as UTF-8 would), NUL in strings, and nesting
 * up to Python's own limit. */
void ls_json_open_python(ls_json *j);

static inline uint64_t ls_json_offset(const ls_json *j) { return j->origin + j->at; }

/* Skips white space; returns the first byte of the next token, or '\0' at the end. */
char ls_json_peek(ls_json *j);
/* Reads '{' or '['. */
lockstep_status ls_json_begin(ls_json *j, char open, const char *what, lockstep_error *error);
/* Reads the comma before the next element and sets *out_more, or reads `close` and clears it. */
lockstep_status ls_json_more(ls_json *j, char close, bool *out_more, lockstep_error *error);
/* Reads a string and NUL-terminates it. Rejects invalid UTF-8 and, unless `python`, lone
 * surrogates and NUL; with `python`, use `length`. */
lockstep_status ls_json_string(ls_json *j, const char *what, const char **out,
                               lockstep_error *error);
/* Reads the next key of an object and its ':', or '}', and then *out is NULL. out_at, unless
 * NULL, gets the key's offset. */
lockstep_status ls_json_key(ls_json *j, const char **out, uint64_t *out_at, lockstep_error *error);
/* Reads an unsigned decimal integer; a sign, fraction or exponent is an error. */
lockstep_status ls_json_u64(ls_json *j, const char *what, uint64_t *out, lockstep_error *error);
/* Skips any value, nested at most 64 deep, or with `python` as deep as Python allows. */
lockstep_status ls_json_skip(ls_json *j, lockstep_error *error);
/* Skips a number, integer or not, and returns its text. */
lockstep_status ls_json_take_number(ls_json *j, const char **out_text, size_t *out_length, lockstep_error *error);
/* Reads true, false or null, or with `python` NaN, Infinity or -Infinity. Returns NULL if
 * there is none at the current position. */
const char *ls_json_word(ls_json *j);
/* Fails if anything but white space is left. */
lockstep_status ls_json_end(ls_json *j, lockstep_error *error);
/* Fails with "found" the text at the current position, and "expected". */
lockstep_status ls_json_fail(ls_json *j, const char *expected, lockstep_error *error);

#endif
