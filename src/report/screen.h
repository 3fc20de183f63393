/* Where a report is printed. What is written with styles (report/styles.h) gets its colours and its line breaks here. */
#ifndef LS_REPORT_SCREEN_H
#define LS_REPORT_SCREEN_H

#include "base/text.h"

typedef struct ls_screen {
    int width;    /* columns; 0 for no limit */
    bool color;
    bool is_utf8; /* otherwise, characters that are not ASCII are spelled out */
} ls_screen;

/* Of files: as wide as a terminal usually is, without colours. */
extern const ls_screen ls_screen_of_files;

/* Appends the text as the page can show it: what a terminal would obey, bytes that are not UTF-8, and, if need be, characters that are not ASCII are spelled
 * out. Styles and newlines are kept. */
void ls_screen_text(const ls_screen *screen, const char *text, size_t length, ls_text *out);
/* Appends lines. Those that are too long are broken between words: the rest stands where the line says (LS_HANG), or below the text after a label, or is
 * indented. */
void ls_screen_print(const ls_screen *screen, const ls_text *lines, ls_text *out);

#endif
