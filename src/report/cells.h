/* Text in columns. The texts have already been escaped, and are what the page can show (ls_screen_text). */
#ifndef LS_REPORT_CELLS_H
#define LS_REPORT_CELLS_H

#include "report/screen.h"

/* At most `width` columns: what is too long loses its middle. Returns the columns that it takes. */
int ls_put_cut(const ls_screen *screen, const char *text, int width, ls_text *out);
/* The same, but it loses its end. */
void ls_put_beginning(const ls_screen *screen, const char *text, int width, ls_text *out);
/* Exactly `width` columns, filled with spaces behind the text, or before it. */
void ls_put_cell(const ls_screen *screen, const char *text, int width, bool to_the_right, ls_text *out);

#endif
