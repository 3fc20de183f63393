/* A growable string. After a failed allocation `failed` is set, the content is lost,
 * and further calls do nothing, so callers need to check only once, at the end. */
#ifndef LS_BASE_TEXT_H
#define LS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ls_text {
    char *data; /* NULL until something is added, then NUL-terminated */
    size_t length, capacity;
    bool failed;
} ls_text;

void ls_text_append(ls_text *text, const char *bytes, size_t length);
void ls_text_printf(ls_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends an integer in decimal, several times faster than printf. */
void ls_text_integer(ls_text *text, int64_t value);
/* Appends a JSON string literal with its quotes; bytes that are not UTF-8 become U+FFFD. */
void ls_text_json(ls_text *text, const char *bytes, size_t length);
/* Appends a regular expression (POSIX, extended) that matches just these bytes. */
void ls_text_regex(ls_text *text, const char *bytes);
/* Empties the text and keeps its memory; a failure is forgotten. */
void ls_text_clear(ls_text *text);
void ls_text_done(ls_text *text);

#endif
