/* What is new since an earlier result. */
#ifndef LS_CLI_BASELINE_H
#define LS_CLI_BASELINE_H

#include "result/result.h"

/* Appends what changed since the result that was kept at this path. Returns the exit status that this makes of the comparison's. */
int baseline_compare(const char *command, const ls_result *result, const char *path, int status, ls_text *out);

#endif
