/* How many columns of a terminal text takes. */
#ifndef LS_BASE_COLUMNS_H
#define LS_BASE_COLUMNS_H

#include <stddef.h>

/* One character as it is drawn: a base with the marks that are drawn onto it. Returns its length in bytes, at least 1 if `left` > 0. Bytes that
 * are not UTF-8 count as one column each, control characters as none. */
size_t ls_character(const char *text, size_t left, int *out_columns);
int ls_columns_of_bytes(const char *text, size_t length);
int ls_columns_of(const char *text);

/* The beginning of a text that takes at most so many columns, in bytes. */
size_t ls_beginning(const char *text, size_t length, int columns);

#endif
