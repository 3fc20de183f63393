/* The first lines of a comparison: what was compared, how it was paired, and how much of it agrees. */
#ifndef LS_REPORT_HEAD_H
#define LS_REPORT_HEAD_H

#include "report/report.h"

/* Appends one line a fact. `all`: the limits of detection of all kinds of operations. */
void ls_put_head(const ls_screen *screen, const ls_comparison *comparison, bool all, ls_text *out);

#endif
