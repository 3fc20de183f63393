#include "trace/observe.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"

enum { RING_BYTES = 32 << 20, GRACE_MS = 3000 };

/* --------------------------------------------------------------- the options */

static lockstep_status check_regex(const char *option, const char *text, lockstep_error *error) {
    regex_t compiled;
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

static lockstep_status check_ranges(const char *option, const char *text, lockstep_error *error) {
    for (const char *at = text; at != NULL;) {
        char *end = NULL;
        long low = isdigit((unsigned char)*at) ? strtol(at, &end, 10) : -1, high = low;
        if (low >= 0 && *end == '-')
            high = isdigit((unsigned char)end[1]) ? strtol(end + 1, &end, 10) : -1;
        if (low < 0 || high < low || (*end != ',' && *end != '\0'))
            return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: found '%s', expected numbers and ranges such as 0-3,7", option, text);
        at = *end == ',' ? end + 1 : NULL;
    }
    return LOCKSTEP_OK;
}

static lockstep_status options_text(const ls_observe_options *o, ls_text *out, lockstep_error *error) {
    LS_TRY(check_regex("--tensors", o->tensors, error));
    LS_TRY(check_regex("--ops", o->ops, error));
    LS_TRY(check_ranges("--layers", o->layers, error));
    LS_TRY(check_ranges("--passes", o->passes, error));
    const struct {
        const char *key, *value;
    } pairs[] = {{"tensors", o->tensors}, {"ops", o->ops}, {"layers", o->layers}, {"passes", o->passes},
                 {"observe", o->what}, {"stats_only", o->stats_only ? "1" : NULL}};
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

static _Noreturn void become(char **command, const char *channel, const char *library, const char *package) {
    setenv(LS_CHANNEL_ENV, channel, 1);
    setenv("LOCKSTEP_HOOK", library, 1);
    put_in_front("LD_PRELOAD", library);
    put_in_front("PYTHONPATH", package);
    execvp(command[0], command);
    int why = errno;
    fprintf(stderr, "lockstep capture: %s: %s\n", command[0], strerror(why));
    _exit(why == ENOENT ? 127 : 126);
}

/* --------------------------------------------------------------- the command */

static volatile sig_atomic_t child_pid;

/* A terminal's Ctrl-C reaches the command by itself; a kill is passed on. */
static void pass_on(int number) {
    if (child_pid > 0)
        kill((pid_t)child_pid, number);
}

static int wait_for(pid_t child) {
    int status;
    struct sigaction forward = {.sa_handler = pass_on}, ignore = {.sa_handler = SIG_IGN};
    child_pid = child;
    sigaction(SIGTERM, &forward, NULL);
    sigaction(SIGHUP, &forward, NULL);
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGQUIT, &ignore, NULL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    child_pid = 0;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void wait_for_input_end(const char *channel, const char *library) {
    char byte;
    printf("%s\n%s\n", channel, library);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

lockstep_status ls_observe(const ls_observe_options *options, char **command, int *out_exit,
                           ls_recorder_totals *out_totals, bool *out_whole, lockstep_error *error) {
    char library[PATH_MAX], package[PATH_MAX];
    ls_text text = {0};
    if (!find_hooks(library, package))
        return ls_fail(error, LOCKSTEP_NOT_FOUND, "liblockstep-ggml.so or the Python package is not beside this program: is the installation whole?");
    lockstep_status status = options_text(options, &text, error);
    ls_recorder *recorder = NULL;
    ls_receiver *receiver = NULL;
    if (status == LOCKSTEP_OK)
        status = ls_recorder_open(options->directory, options->stats_only, command, &recorder, error);
    ls_receiver_events events = {recorder, ls_recorder_frame, ls_recorder_closed};
    if (status == LOCKSTEP_OK)
        status = ls_receiver_open(text.data != NULL ? text.data : "", RING_BYTES, &events, &receiver, error);
    ls_text_done(&text);
    if (status != LOCKSTEP_OK) {
        if (recorder != NULL)
            ls_recorder_close(recorder, false, 0, out_totals);
        return status;
    }
    const char *channel = ls_receiver_name(receiver);
    int result = 0;
    if (command == NULL) {
        wait_for_input_end(channel, library);
    } else {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0)
            become(command, channel, library, package);
        result = child > 0 ? wait_for(child) : 126;
    }
    ls_receiver_close(receiver, GRACE_MS);
    *out_whole = result < 128;
    ls_recorder_close(recorder, *out_whole, result, out_totals);
    *out_whole = *out_whole && !out_totals->torn;
    *out_exit = result;
    return LOCKSTEP_OK;
}
