/* Text in columns. The texts have already been escaped. */
#ifndef LS_REPORT_CELLS_H
#define LS_REPORT_CELLS_H

#include "base/text.h"

int ls_columns_of(const char *text);
/* Exactly `width` columns; a name that is too long loses its beginning, which it has in
 * common with its neighbors. */
void ls_put_cell(ls_text *out, const char *text, int width);
/* Breaks at spaces so that lines fit `width` columns (0: never); the first line begins in
 * column `indent`, and the others are indented to it. */
void ls_put_wrapped(ls_text *out, const char *text, int indent, int width);

#endif
