/* Runs a command and records it, as `lockstep capture` does. */
#ifndef LS_LAUNCH_OBSERVE_H
#define LS_LAUNCH_OBSERVE_H

#include "launch/facts.h"
#include "record/recorder.h"

typedef struct ls_observe_options {
    const char *directory;         /* of the trace to write, if recording is NULL */
    const ls_recording *recording; /* where to record instead; taken over */
    const char *tensors, *ops;    /* POSIX extended regular expressions; may be NULL */
    const char *layers, *passes;  /* "0-3,7"; may be NULL */
    const char *what;             /* "all", "named", "outputs", "last"; NULL is "all" */
    const char *log;              /* a file for the command's output; NULL to inherit ours */
    const char *const *environment; /* "NAME=value" for the command, NULL-terminated; may be NULL */
    const char *resync; /* "layer" or a regular expression; may be NULL */
    const char *sources; /* a number of levels; may be NULL */
    bool stats_only, graph_only, weights, caches;
    bool compiled; /* regions of torch.compile run compiled, and are not entered */
} ls_observe_options;

typedef struct ls_observed {
    int exit;          /* as a shell reports it: 128 + n for a signal, 127 not found */
    int not_started;   /* errno if the command could not be started; else 0 */
    bool whole;        /* the trace has its last line */
    ls_recorder_totals totals;
    char facts[LS_FACTS_BYTES]; /* what the processes reported about themselves */
} ls_observed;

/* Fails only before the command is started. Signals that another process sends to this one
 * while the command runs are passed on to it. If `command` is NULL, prints the channel's
 * name and the path of the capture library, one per line, and listens until standard input ends. */
lockstep_status ls_observe(const ls_observe_options *options, char **command, ls_observed *out_observed,
                           lockstep_error *error);

#endif
