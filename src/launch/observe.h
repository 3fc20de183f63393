/* Runs a command, observed, and records it: what `lockstep capture` does. */
#ifndef LS_LAUNCH_OBSERVE_H
#define LS_LAUNCH_OBSERVE_H

#include "launch/facts.h"
#include "record/recorder.h"

typedef struct ls_observe_options {
    const char *directory;         /* of the trace to write; or else */
    const ls_recording *recording; /* where it goes instead; taken over */
    const char *tensors, *ops;    /* POSIX extended regular expressions; may be NULL */
    const char *layers, *passes;  /* "0-3,7"; may be NULL */
    const char *what;             /* "all", "named", "outputs", "last"; NULL is "all" */
    const char *log;              /* the command's output goes there; NULL: where ours goes */
    const char *const *environment; /* "NAME=value" for the command, NULL-terminated; may be NULL */
    const char *resync; /* "layer", or a regular expression: may be NULL */
    const char *sources; /* a number: levels; may be NULL */
    bool stats_only, weights, caches;
    bool compiled; /* torch.compile's regions run as compiled, and are not entered */
} ls_observe_options;

typedef struct ls_observed {
    int exit;          /* as a shell would say it: 128 + n for a signal, 127 not found */
    int not_started;   /* errno of why the command could not be; 0 */
    bool whole;        /* the trace has its last line */
    ls_recorder_totals totals;
    char facts[LS_FACTS_BYTES]; /* what the processes told about themselves */
} ls_observed;

/* An error is trouble of ours before the command was started. Signals that another
 * process sends to this one while the command runs are passed on to it. command
 * NULL: listens until standard input ends, after printing the channel's name and
 * the hook's path, a line each. */
lockstep_status ls_observe(const ls_observe_options *options, char **command, ls_observed *out_observed,
                           lockstep_error *error);

#endif
