#include "trace/observe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pattern.h"
#include "base/ranges.h"
#include "base/text.h"
#include "trace/selection.h"
#include "record/trace_writer.h"

enum { RING_BYTES = 32 << 20, GRACE_MS = 3000, ORPHAN_MS = 500 };

/* --------------------------------------------------------------- the options */

static lockstep_status check_regex(const char *option, const char *text, lockstep_error *error) {
    regex_t compiled;
    if (text != NULL && ls_pattern_excess(text) != NULL)
        return ls_pattern_refused(error, option, text);
    int wrong = text != NULL ? regcomp(&compiled, text, REG_EXTENDED | REG_NOSUB) : 0;
    if (wrong == 0 && text != NULL && strlen(text) < 1000 && strchr(text, '\n') == NULL)
        regfree(&compiled);
    else if (wrong == 0 && text != NULL)
        return regfree(&compiled), ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: longer than a line of 1000 bytes", option);
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
                 {"observe", o->what}, {"stats_only", o->stats_only ? "1" : NULL}, {"resync", o->resync}, {"sources", o->sources},
                 {"weights", o->weights ? "1" : NULL}, {"kv", o->caches ? "1" : NULL}, {"compiled", o->compiled ? "1" : NULL}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (pairs[i].value != NULL)
            ls_text_printf(out, "%s=%s\n", pairs[i].key, pairs[i].value);
    return out->failed ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory") : LOCKSTEP_OK;
}

/* ----------------------------------------------------------------- the hooks */

/* A file of ours: beside the program in a build tree, or where it was installed. */
static bool find_file(const char *const *places, char *out) {
    char self[PATH_MAX], joined[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0)
        return false;
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    for (; *places != NULL; places++) {
        snprintf(joined, sizeof joined, "%s/%s", self, *places);
        if (realpath(joined, out) != NULL)
            return true;
    }
    return false;
}

static bool find_hooks(char *library, char *package) {
    static const char *const libraries[] = {"liblockstep-ggml.so", "../lib/liblockstep-ggml.so",
                                            "../liblockstep-ggml.so", NULL};
    static const char *const packages[] = {"../hooks/torch", "../share/lockstep/python",
                                           "../../hooks/torch", NULL};
    return find_file(libraries, library) && find_file(packages, package);
}

/* VALUE, and what the variable was before after a colon. */
static void put_in_front(const char *name, const char *value) {
    const char *before = getenv(name);
    ls_text text = {0};
    ls_text_printf(&text, "%s%s%s", value, before != NULL && *before != '\0' ? ":" : "",
                   before != NULL ? before : "");
    if (!text.failed)
        setenv(name, text.data, 1);
    ls_text_done(&text);
}

/* --------------------------------------------------------------- the command */

/* Passed on to the command when another process sent them; a terminal's (Ctrl-C)
 * reach the command by themselves. */
static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
/* Ours to survive: a full disk or quota, a closed standard error, a careless parent. */
static const int survived[] = {SIGXFSZ, SIGPIPE, SIGCHLD};
enum { PASSED_ON = sizeof passed_on / sizeof *passed_on, SURVIVED = sizeof survived / sizeof *survived };

typedef struct signals {
    sigset_t mask;
    struct sigaction before_passing[PASSED_ON];
    bool passing;
} signals;

/* Survived from the first command on; each command gets what this process was started with. */
static struct sigaction before_surviving[SURVIVED];
static volatile sig_atomic_t child_pid;

static void pass_on(int number, siginfo_t *info, void *context) {
    (void)context;
    if (child_pid > 0 && info->si_code <= 0) /* not the kernel's */
        kill((pid_t)child_pid, number);
}

/* Held back from before the fork until there is a child to pass them on to. */
static void hold_signals(signals *s) {
    sigset_t held;
    sigemptyset(&held);
    for (int i = 0; i < PASSED_ON; i++)
        sigaddset(&held, passed_on[i]);
    sigprocmask(SIG_BLOCK, &held, &s->mask);
    static bool surviving;
    for (int i = 0; i < SURVIVED && !surviving; i++) {
        /* an ignored SIGCHLD would take the exit status away */
        struct sigaction action = {.sa_handler = survived[i] == SIGCHLD ? SIG_DFL : SIG_IGN};
        sigaction(survived[i], &action, &before_surviving[i]);
    }
    surviving = true;
}

/* The command starts with the signals that this process was started with. */
static void restore_signals(const signals *s) {
    for (int i = 0; i < SURVIVED; i++)
        sigaction(survived[i], &before_surviving[i], NULL);
    sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

static void pass_signals_on(signals *s, pid_t child) {
    struct sigaction forward = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};
    child_pid = child;
    s->passing = true;
    for (int i = 0; i < PASSED_ON; i++) {
        struct sigaction *before = &s->before_passing[i];
        /* what nohup ignores, the command ignores, too */
        if (sigaction(passed_on[i], NULL, before) == 0 && before->sa_handler != SIG_IGN)
            sigaction(passed_on[i], &forward, NULL);
    }
    sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

/* Standard output and error into the log, standard input from nowhere. */
static bool redirect(const char *log) {
    int to = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666), from = open("/dev/null", O_RDONLY);
    return to >= 0 && from >= 0 && dup2(from, STDIN_FILENO) >= 0 && dup2(to, STDOUT_FILENO) >= 0 && dup2(to, STDERR_FILENO) >= 0;
}

/* Each process that is connected takes a descriptor here. The command gets the limit that
 * this process was started with. */
static struct rlimit before_raising;

static void raise_limit(void) {
    struct rlimit raised;
    if (before_raising.rlim_max != 0 || getrlimit(RLIMIT_NOFILE, &before_raising) != 0)
        return;
    raised = before_raising;
    raised.rlim_cur = raised.rlim_max;
    setrlimit(RLIMIT_NOFILE, &raised);
}

typedef struct launch {
    const ls_observe_options *options;
    char **command;
    const char *channel, *library, *package;
} launch;

static _Noreturn void become(const launch *l, int tell) {
    char **command = l->command;
    const char *library = l->library, *package = l->package, *channel = l->channel;
    for (const char *const *e = l->options->environment; e != NULL && *e != NULL; e++)
        putenv((char *)(uintptr_t)*e);
    if (l->options->log != NULL && !redirect(l->options->log)) {
        int failed = errno;
        if (write(tell, &failed, sizeof failed) < 0)
            _exit(125);
        _exit(126);
    }
    setenv(LS_CHANNEL_ENV, channel, 1);
    setenv("LOCKSTEP_HOOK", library, 1);
    put_in_front("LD_PRELOAD", library);
    put_in_front("PYTHONPATH", package);
    execvp(command[0], command);
    int why = errno;
    if (write(tell, &why, sizeof why) < 0)
        _exit(125);
    _exit(why == ENOENT ? 127 : 126);
}

/* Once what was recorded is in its place. */
static void stop_passing_on(const signals *s) {
    for (int i = 0; i < PASSED_ON && s->passing; i++)
        sigaction(passed_on[i], &s->before_passing[i], NULL);
}

/* The command may have left a process behind that is about to connect: one that has, is
 * waited for by the receiver. Orphans are this process's children meanwhile. */
static void await_orphans(ls_receiver *receiver) {
    enum { STEP_MS = 5 };
    for (int waited = 0; waited < ORPHAN_MS && ls_receiver_alive(receiver) == 0; waited += STEP_MS) {
        pid_t gone;
        while ((gone = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (gone < 0)
            return; /* nobody is left */
        poll(NULL, 0, STEP_MS);
    }
}

/* Runs the command to its end. */
static void run(const launch *l, signals *s, ls_observed *out) {
    int told[2], status = 0; /* closed by a successful exec */
    if (pipe2(told, O_CLOEXEC) != 0) {
        *out = (ls_observed){.exit = 126, .not_started = errno};
        return;
    }
    fflush(NULL);
    hold_signals(s);
    raise_limit();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = fork();
    if (child == 0) {
        restore_signals(s);
        if (before_raising.rlim_max != 0)
            setrlimit(RLIMIT_NOFILE, &before_raising);
        become(l, told[1]);
    }
    if (child < 0)
        *out = (ls_observed){.exit = 126, .not_started = errno};
    close(told[1]);
    pass_signals_on(s, child);
    if (child > 0) {
        if (read(told[0], &out->not_started, sizeof out->not_started) <= 0)
            out->not_started = 0;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        out->exit = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    child_pid = 0;
    close(told[0]);
}

static void wait_for_input_end(const char *channel, const char *library) {
    char byte;
    printf("%s\n%s\n", channel, library);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

/* The dynamic linker takes a space or a colon for the end of a path. */
static lockstep_status find_all(char *library, char *package, lockstep_error *error) {
    if (!find_hooks(library, package))
        return ls_fail(error, LOCKSTEP_NOT_FOUND, "liblockstep-ggml.so or the Python package is not beside this program: is the installation whole?");
    if (strpbrk(library, " :") != NULL)
        return ls_fail(error, LOCKSTEP_UNSUPPORTED, "%s can't be preloaded: its path has a space or a colon", library);
    return LOCKSTEP_OK;
}

static lockstep_status open_recorder(const ls_observe_options *options, char **command, ls_recorder **out_recorder, lockstep_error *error) {
    ls_recording recording;
    ls_text only = {0};
    if (options->recording != NULL)
        recording = *options->recording;
    else
        LS_TRY(ls_trace_writer_open(options->directory, &recording, error));
    ls_selection_text(options->layers, options->tensors, options->ops, &only);
    lockstep_status status = ls_recorder_open(&recording, options->stats_only, only.data, command, out_recorder, error);
    ls_text_done(&only);
    return status;
}

lockstep_status ls_observe(const ls_observe_options *options, char **command, ls_observed *out_observed,
                           lockstep_error *error) {
    char library[PATH_MAX], package[PATH_MAX];
    ls_text text = {0};
    ls_observed done = {0};
    signals passed = {0};
    lockstep_status status = find_all(library, package, error);
    if (status == LOCKSTEP_OK)
        status = options_text(options, &text, error);
    ls_recorder *recorder = NULL;
    ls_receiver *receiver = NULL;
    if (status == LOCKSTEP_OK)
        status = open_recorder(options, command, &recorder, error);
    else if (options->recording != NULL)
        options->recording->close(options->recording->context, false);
    ls_receiver_events events = {recorder, ls_recorder_frame, ls_recorder_closed};
    if (status == LOCKSTEP_OK)
        status = ls_receiver_open(text.data != NULL ? text.data : "", RING_BYTES, &events, &receiver, error);
    ls_text_done(&text);
    if (status != LOCKSTEP_OK) {
        if (recorder != NULL)
            ls_recorder_close(recorder, false, 0, &done.totals);
        return status;
    }
    ls_facts *facts = ls_facts_open(ls_receiver_name(receiver));
    if (command == NULL)
        wait_for_input_end(ls_receiver_name(receiver), library);
    else
        run(&(launch){options, command, ls_receiver_name(receiver), library, package}, &passed, &done);
    if (command != NULL)
        await_orphans(receiver);
    unsigned refused = ls_receiver_close(receiver, GRACE_MS);
    if (refused > 0) {
        char note[160];
        snprintf(note, sizeof note, "%u process%s not recorded: of another user, without a way to connect, or without memory for it", refused,
                 refused == 1 ? " was" : "es were");
        ls_recorder_note(recorder, note);
    }
    ls_facts_close(facts, done.facts);
    /* A server is ended by a signal. One that ran its exit handlers has recorded all. */
    done.whole = (done.exit < 128 || ls_recorder_has_ended(recorder)) && done.not_started == 0 && refused == 0;
    ls_recorder_close(recorder, done.whole, done.exit, &done.totals);
    stop_passing_on(&passed);
    done.whole = done.whole && !done.totals.torn && done.totals.lost_lines == 0 && done.totals.not_placed[0] == '\0';
    *out_observed = done;
    return LOCKSTEP_OK;
}
