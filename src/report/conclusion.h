/* The last lines of a comparison, where the eye lands: the verdict, the first divergence, its cause, and how to see more. */
#ifndef LS_REPORT_CONCLUSION_H
#define LS_REPORT_CONCLUSION_H

#include "report/report.h"

void ls_put_conclusion(const ls_comparison *comparison, ls_text *out);
/* The tensors without a partner. */
void ls_put_unpaired(const ls_diff *diff, ls_text *out);
/* What this comparison can't show, a line each. */
void ls_put_hints(const ls_diff *diff, ls_text *out);

#endif
