#include "baseline.h"

#include <stdio.h>

#include "options.h"

int baseline_compare(const char *command, const ls_result *r, const char *path, int status, ls_text *out) {
    ls_result baseline;
    ls_changes changes;
    lockstep_error error;
    if (ls_result_open(path, &baseline, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep %s: --baseline: %s\n", command, error.message);
        return EXIT_TROUBLE;
    }
    const bool ok = ls_result_compare(r, &baseline, &changes, out, &error) == LOCKSTEP_OK;
    if (!ok)
        fprintf(stderr, "lockstep %s: --baseline: %s\n", command, error.message);
    ls_result_done(&baseline);
    return !ok ? EXIT_TROUBLE : changes.is_worse ? EXIT_DIVERGED : status == EXIT_TROUBLE ? EXIT_TROUBLE : EXIT_MATCH;
}
