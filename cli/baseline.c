#include "baseline.h"

#include <stdio.h>

#include "base/error.h"
#include "options.h"

bool baseline_open(const char *command, const char *path, ls_result *out) {
    lockstep_error error;
    const bool ok = ls_result_open(path, out, &error) == LOCKSTEP_OK;
    if (!ok)
        fprintf(stderr, "lockstep %s: --baseline: %s\n", command, error.message);
    return ok;
}

int baseline_compare(const char *command, const ls_result *r, const ls_result *baseline, int status, ls_text *out) {
    ls_changes changes;
    lockstep_error error;
    bool ok = r != NULL;
    if (!ok)
        ls_fail(&error, LOCKSTEP_NO_MEMORY, "out of memory");
    ok = ok && ls_result_compare(r, baseline, &changes, out, &error) == LOCKSTEP_OK;
    if (!ok)
        fprintf(stderr, "lockstep %s: --baseline: %s\n", command, error.message);
    return !ok ? EXIT_TROUBLE : changes.is_worse ? EXIT_DIVERGED : status == EXIT_TROUBLE ? EXIT_TROUBLE : EXIT_MATCH;
}
