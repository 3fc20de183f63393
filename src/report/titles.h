/* The names of nodes as reports for people show them: escaped. */
#ifndef LS_REPORT_TITLES_H
#define LS_REPORT_TITLES_H

#include "trace/trace.h"

enum { LS_TITLE = 512 };

/* A text of a file, escaped and cut where it is too long. */
void ls_title_text(const char *text, char *out, size_t capacity);
/* NAME (OP), with the occurrence where it isn't the first. */
void ls_report_title(const ls_node *node, char *out, size_t capacity);
/* NAME, the same. */
void ls_report_reference_title(const ls_node *node, char *out, size_t capacity);

#endif
