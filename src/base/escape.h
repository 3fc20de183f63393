/* Text from files, made safe for a terminal: control characters, escape
 * sequences, bidirectional overrides and bytes that are not UTF-8 are shown as
 * \xNN or \u{NNNN}; a backslash is doubled. */
#ifndef LS_BASE_ESCAPE_H
#define LS_BASE_ESCAPE_H

#include <stddef.h>

/* Writes at most `capacity` bytes including the NUL; never cuts an escape or a
 * character in two. Returns the number of bytes written without the NUL. */
size_t ls_escape(const char *text, size_t length, char *out, size_t capacity);

#endif
