/* Runs a command, observed, and records it: what `lockstep capture` does. */
#ifndef LS_TRACE_OBSERVE_H
#define LS_TRACE_OBSERVE_H

#include "trace/recorder.h"

typedef struct ls_observe_options {
    const char *directory;
    const char *tensors, *ops;    /* POSIX extended regular expressions; may be NULL */
    const char *layers, *passes;  /* "0-3,7"; may be NULL */
    const char *what;             /* "all", "named", "outputs"; NULL is "all" */
    bool stats_only;
} ls_observe_options;

/* The command's own exit status is *out_exit, as a shell would say it (128 + n for
 * a signal, 127 when it was not found). An error is trouble of ours before the
 * command was started. command NULL: listens until standard input ends, after
 * printing the channel's name and the hook's path, a line each. */
lockstep_status ls_observe(const ls_observe_options *options, char **command, int *out_exit,
                           ls_recorder_totals *out_totals, bool *out_whole, lockstep_error *error);

#endif
