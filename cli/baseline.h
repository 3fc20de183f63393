/* What is new since an earlier result. */
#ifndef LS_CLI_BASELINE_H
#define LS_CLI_BASELINE_H

#include "result/result.h"

/* Reads the result that was kept at this path; false, with a message. */
bool baseline_open(const char *command, const char *path, ls_result *out_baseline);
/* Appends what changed since then. The result is NULL when out of memory. Returns the exit status that this makes of the comparison's. */
int baseline_compare(const char *command, const ls_result *result, const ls_result *baseline, int status, ls_text *out);

#endif
