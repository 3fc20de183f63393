#include <stdio.h>
#include <string.h>

#include "diff/live.h"
#include "base/escape.h"
#include "commands.h"
#include "comparison.h"
#include "launch/unrecorded.h"
#include "progress.h"
#include "terminal.h"

typedef struct check_options {
    comparison_options comparison;
    const char *reference, *stop, *observe, *resync;
} check_options;

static const char *const stop_choices[] = {"first", "never", NULL};
static const char *const observe_choices[] = {"all", "named", "outputs", NULL};

#define FIELD(name) offsetof(check_options, name)
static const option_row options[] = {
    {"--reference", OPTION_PATH, FIELD(reference), "REF", "the trace to compare with", NULL},
    {"--stop", OPTION_TEXT, FIELD(stop), "WHEN", "never (default), or first: stop observing at the first divergence", stop_choices},
    {"--observe", OPTION_TEXT, FIELD(observe), "WHAT", "all (default), named, or outputs: how much is compared", observe_choices},
    {"--resync", OPTION_TEXT, FIELD(resync), "WHERE", "layer, or a REGEX of names: continue with the reference's values there", NULL},
#include "comparison_rows.h"
#include "output_rows.h"
    {0},
};

/* If the program itself failed, that is neither a divergence nor a match. */
static int with_exit_of(const char *program, const ls_observed *done, int status) {
    char shown[200];
    if (done->exit == 0)
        return status;
    ls_escape(program, strlen(program), shown, sizeof shown);
    fprintf(stderr, "lockstep check: %s itself ended with status %d\n", shown, done->exit);
    return status == EXIT_DIVERGED ? status : EXIT_TROUBLE;
}

static int report(const arguments *args, const check_options *o, ls_live *live, const ls_observed *done) {
    ls_diff *diff;
    lockstep_error error;
    char shown[200];
    ls_escape(args->command[0], strlen(args->command[0]), shown, sizeof shown);
    if (done->not_started != 0) {
        fprintf(stderr, "lockstep check: %s: %s\n", shown, strerror(done->not_started));
        return EXIT_TROUBLE;
    }
    if (ls_recorded_nothing(done)) {
        ls_text why = {0};
        ls_explain_unrecorded(args->command[0], done, &why);
        fprintf(stderr, "lockstep check: nothing was compared: %s\n", why.data != NULL ? why.data : "out of memory");
        ls_text_done(&why);
        return EXIT_TROUBLE;
    }
    progress_begin(NULL);
    if (ls_live_finish(live, &diff, &error) != LOCKSTEP_OK) {
        progress_end();
        fprintf(stderr, "lockstep check: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    return comparison_report("check", &o->comparison, diff);
}

static int run(const arguments *args, const void *parsed) {
    const check_options *o = parsed;
    ls_live_options wanted = {.name = args->command[0], .stop_first = o->stop != NULL && strcmp(o->stop, "first") == 0};
    ls_live *live;
    ls_recording recording;
    ls_observed done;
    lockstep_error error;
    if (o->reference == NULL) {
        fprintf(stderr, "lockstep check: --reference REF is missing: it names the trace to compare with\n");
        return EXIT_TROUBLE;
    }
    if (!comparison_understand("check", &o->comparison, &wanted.diff))
        return EXIT_TROUBLE;
    lockstep_status status = ls_live_open(o->reference, &wanted, &live, &recording, &error);
    if (status == LOCKSTEP_OK) {
        ls_observe_options observed = {.recording = &recording, .what = o->observe, .resync = o->resync};
        status = ls_observe(&observed, args->command, &done, &error);
        if (status != LOCKSTEP_OK)
            ls_live_close(live);
    }
    if (status != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep check: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    int result = with_exit_of(args->command[0], &done, report(args, o, live, &done));
    ls_live_close(live);
    return result;
}

const command_row command_check = {
    .name = "check",
    .usage = "--reference REF [options] -- COMMAND…",
    .summary = "Runs a command and compares each tensor with a trace as it is computed.",
    .exits = "0 match, 1 diverged, 2 error, or the command failed",
    .options = options,
    .options_size = sizeof(check_options),
    .max_positional = 0,
    .takes_command = true,
    .run = run,
};
