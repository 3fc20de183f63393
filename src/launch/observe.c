#include "launch/observe.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pattern.h"
#include "base/ranges.h"
#include "base/text.h"
#include "launch/command.h"
#include "launch/hooks.h"
#include "record/trace_writer.h"
#include "trace/selection.h"
#include "wire/channel.h"

/* The ring is reused all the time: if it fits in the processor's cache, it is read from there and not from memory. */
enum { RING_BYTES = 4 << 20, GRACE_MS = 3000, ORPHAN_MS = 500 };

/* --------------------------------------------------------------- the options */

static lockstep_status check_regex(const char *option, const char *text, lockstep_error *error) {
    regex_t compiled;
    if (text != NULL && ls_pattern_excess(text) != NULL)
        return ls_pattern_refused(error, option, text);
    int wrong = text != NULL ? regcomp(&compiled, text, REG_EXTENDED | REG_NOSUB) : 0;
    if (wrong == 0 && text != NULL && strlen(text) < 1000 && strchr(text, '\n') == NULL)
        regfree(&compiled);
    else if (wrong == 0 && text != NULL)
        return regfree(&compiled), ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: expected one line of less than 1000 bytes", option);
    if (wrong != 0) {
        char why[120];
        regerror(wrong, &compiled, why, sizeof why);
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s '%s': %s", option, text, why);
    }
    return LOCKSTEP_OK;
}

static lockstep_status options_text(const ls_observe_options *o, ls_text *out, lockstep_error *error) {
    LS_TRY(check_regex("--tensors", o->tensors, error));
    LS_TRY(check_regex("--ops", o->ops, error));
    LS_TRY(check_regex("--resync", o->resync, error));
    LS_TRY(ls_ranges_check("--layers", o->layers, error));
    LS_TRY(ls_ranges_check("--passes", o->passes, error));
    const struct {
        const char *key, *value;
    } pairs[] = {{"tensors", o->tensors}, {"ops", o->ops}, {"layers", o->layers}, {"passes", o->passes},
                 {"observe", o->graph_only ? "inputs" : o->what}, {"stats_only", o->stats_only ? "1" : NULL}, {"resync", o->resync}, {"sources", o->sources},
                 {"weights", o->weights ? "1" : NULL}, {"kv", o->caches ? "1" : NULL}, {"compiled", o->compiled ? "1" : NULL}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (pairs[i].value != NULL)
            ls_text_printf(out, "%s=%s\n", pairs[i].key, pairs[i].value);
    return out->failed ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory") : LOCKSTEP_OK;
}

/* --------------------------------------------------------------- the command */

/* Waits for processes that the command has left behind and that may be about to connect. (The
 * receiver waits for those that have connected.) Orphans become children of this process. */
static void await_orphans(ls_receiver *receiver) {
    enum { STEP_MS = 5 };
    for (int waited = 0; waited < ORPHAN_MS && ls_receiver_alive(receiver) == 0; waited += STEP_MS) {
        pid_t gone;
        while ((gone = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (gone < 0)
            return; /* no process is left */
        poll(NULL, 0, STEP_MS);
    }
}

typedef struct entrance {
    const ls_found_hooks *hooks;
    const char *channel;
} entrance;

/* Runs in the child: sets up what makes the command record itself. */
static void enter(void *context) {
    const entrance *e = context;
    setenv(LS_CHANNEL_ENV, e->channel, 1);
    ls_hooks_enter(e->hooks);
}

/* For programs that start what is observed by themselves (lockstep_debug.capture). */
static void wait_for_input_end(const entrance *e) {
    char byte;
    printf("%s\n%s\n", e->channel, ls_hooks_capture(e->hooks));
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

static lockstep_status open_recorder(const ls_observe_options *options, char **command, ls_recorder **out_recorder, lockstep_error *error) {
    ls_recording recording;
    ls_text only = {0};
    if (options->recording != NULL)
        recording = *options->recording;
    else
        LS_TRY(ls_trace_writer_open(options->directory, &recording, error));
    ls_selection_text(options->layers, options->tensors, options->ops, &only);
    lockstep_status status = ls_recorder_open(&recording, &(ls_recorder_options){options->stats_only, options->graph_only, only.data, command}, out_recorder, error);
    ls_text_done(&only);
    return status;
}

/* Runs the command, or listens, until no process records any more. */
static unsigned record(const ls_observe_options *options, char **command, const ls_found_hooks *hooks, ls_receiver *receiver,
                       ls_passed_signals *out_passed, ls_observed *out) {
    entrance e = {hooks, ls_receiver_name(receiver)};
    ls_exit done = {0};
    ls_facts *facts = ls_facts_open(e.channel);
    if (command == NULL) {
        wait_for_input_end(&e);
    } else {
        ls_command_run(&(ls_command){command, options->environment, options->log, enter, &e}, out_passed, &done);
        await_orphans(receiver);
    }
    out->exit = done.status;
    out->not_started = done.not_started;
    unsigned refused = ls_receiver_close(receiver, GRACE_MS);
    ls_facts_close(facts, out->facts);
    return refused;
}

static void note_refused(ls_recorder *recorder, unsigned refused) {
    char note[160];
    snprintf(note, sizeof note, "%u process%s not recorded: another user's, unable to connect, or out of memory", refused,
             refused == 1 ? " was" : "es were");
    ls_recorder_note(recorder, note);
}

/* Takes over the caller's recording, even on failure. */
static lockstep_status open_all(const ls_observe_options *options, char **command, ls_recorder **out_recorder, ls_receiver **out_receiver,
                                lockstep_error *error) {
    ls_text text = {0};
    lockstep_status status = options_text(options, &text, error);
    if (status == LOCKSTEP_OK)
        status = open_recorder(options, command, out_recorder, error);
    else if (options->recording != NULL)
        options->recording->close(options->recording->context, false);
    ls_receiver_events events = {*out_recorder, ls_recorder_frame, ls_recorder_closed};
    if (status == LOCKSTEP_OK) {
        status = ls_receiver_open(text.data != NULL ? text.data : "", RING_BYTES, &events, out_receiver, error);
        ls_recorder_totals totals;
        if (status != LOCKSTEP_OK)
            ls_recorder_close(*out_recorder, false, 0, &totals);
    }
    ls_text_done(&text);
    return status;
}

lockstep_status ls_observe(const ls_observe_options *options, char **command, ls_observed *out_observed,
                           lockstep_error *error) {
    ls_observed done = {0};
    ls_passed_signals passed = {.passing = false};
    ls_found_hooks *hooks = NULL;
    ls_recorder *recorder = NULL;
    ls_receiver *receiver = NULL;
    lockstep_status status = ls_hooks_find(&hooks, error);
    if (status == LOCKSTEP_OK)
        status = open_all(options, command, &recorder, &receiver, error);
    else if (options->recording != NULL)
        options->recording->close(options->recording->context, false);
    if (status != LOCKSTEP_OK) {
        ls_hooks_free(hooks);
        return status;
    }
    unsigned refused = record(options, command, hooks, receiver, &passed, &done);
    ls_hooks_free(hooks);
    if (refused > 0)
        note_refused(recorder, refused);
    /* A server is ended by a signal. If its exit handlers ran, it has recorded everything. */
    done.whole = (done.exit < 128 || ls_recorder_has_ended(recorder)) && done.not_started == 0 && refused == 0;
    ls_recorder_close(recorder, done.whole, done.exit, &done.totals);
    ls_command_stop_passing_signals(&passed);
    done.whole = done.whole && !done.totals.torn && done.totals.lost_lines == 0 && done.totals.not_placed[0] == '\0';
    *out_observed = done;
    return LOCKSTEP_OK;
}
