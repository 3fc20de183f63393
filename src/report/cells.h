/* Text in columns. Texts are escaped already. */
#ifndef LS_REPORT_CELLS_H
#define LS_REPORT_CELLS_H

#include "base/text.h"

int ls_columns_of(const char *text);
/* Exactly `width` columns; a name that is too long loses its beginning, which its
 * neighbours share. */
void ls_put_cell(ls_text *out, const char *text, int width);
/* Breaks at blanks so that lines keep within `width` columns (0: never); the first line
 * begins in column `indent`, where the others are moved to. */
void ls_put_wrapped(ls_text *out, const char *text, int indent, int width);

#endif
