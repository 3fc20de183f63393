/* What tensors are called in reports: escaped. */
#ifndef LS_REPORT_TITLES_H
#define LS_REPORT_TITLES_H

#include "trace/trace.h"

enum { LS_TITLE = 512 };

/* "NAME (OP)", or "NAME (OP #2)" where a name has several occurrences. */
void ls_report_title(const ls_node *node, char *out, size_t capacity);
/* "NAME", or "NAME #2". */
void ls_report_reference_title(const ls_node *node, char *out, size_t capacity);

#endif
