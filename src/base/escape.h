/* Makes text from files safe to print on a terminal: control characters, escape
 * sequences, bidirectional overrides and bytes that are not UTF-8 become \xNN or
 * \u{NNNN}; a backslash is doubled. */
#ifndef LS_BASE_ESCAPE_H
#define LS_BASE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include <stdint.h>

/* No byte becomes more than so many. */
enum { LS_LONGEST_ESCAPE = 4 };

/* Writes at most `capacity` bytes including the NUL, and never cuts an escape or a
 * character in two. Returns the number of bytes written, not counting the NUL. */
size_t ls_escape(const char *text, size_t length, char *out, size_t capacity);
/* A character that a terminal would obey, or not show. */
bool ls_is_unsafe(uint32_t code);

/* Appends the whole text. */
void ls_text_escaped(ls_text *out, const char *text);

#endif
