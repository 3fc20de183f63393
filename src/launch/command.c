#include "launch/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Signals that are passed on to the command if another process sent them. Those from a
 * terminal (Ctrl-C) reach the command anyway. */
static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
/* Signals that must not end this process: from a full disk or quota, a closed standard error, a careless parent. */
static const int survived[] = {SIGXFSZ, SIGPIPE, SIGCHLD};
enum { SURVIVED = sizeof survived / sizeof *survived };
_Static_assert(sizeof passed_on / sizeof *passed_on == LS_PASSED_SIGNALS, "there is room for each");

/* The actions that this process was started with, which each command gets. */
static struct sigaction before_surviving[SURVIVED];
static volatile sig_atomic_t child_pid;

static void pass_on(int number, siginfo_t *info, void *context) {
    (void)context;
    if (child_pid > 0 && info->si_code <= 0) /* not sent by the kernel */
        kill((pid_t)child_pid, number);
}

/* Blocks the signals from before the fork until there is a child to pass them on to. */
static void hold_signals(ls_passed_signals *s) {
    sigset_t held;
    sigemptyset(&held);
    for (int i = 0; i < LS_PASSED_SIGNALS; i++)
        sigaddset(&held, passed_on[i]);
    sigprocmask(SIG_BLOCK, &held, &s->mask);
    static bool surviving;
    for (int i = 0; i < SURVIVED && !surviving; i++) {
        /* if SIGCHLD were ignored, the exit status would be lost */
        struct sigaction action = {.sa_handler = survived[i] == SIGCHLD ? SIG_DFL : SIG_IGN};
        sigaction(survived[i], &action, &before_surviving[i]);
    }
    surviving = true;
}

/* The command starts with the signals that this process was started with. */
static void restore_signals(const ls_passed_signals *s) {
    for (int i = 0; i < SURVIVED; i++)
        sigaction(survived[i], &before_surviving[i], NULL);
    sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

static void pass_signals_on(ls_passed_signals *s, pid_t child) {
    struct sigaction forward = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};
    child_pid = child;
    s->passing = true;
    for (int i = 0; i < LS_PASSED_SIGNALS; i++) {
        struct sigaction *before = &s->before[i];
        /* a signal that is ignored (nohup) stays ignored in the command */
        if (sigaction(passed_on[i], NULL, before) == 0 && before->sa_handler != SIG_IGN)
            sigaction(passed_on[i], &forward, NULL);
    }
    sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

/* Redirects standard output and error to the log, and standard input from /dev/null. */
static bool redirect(const char *log) {
    int to = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666), from = open("/dev/null", O_RDONLY);
    return to >= 0 && from >= 0 && dup2(from, STDIN_FILENO) >= 0 && dup2(to, STDOUT_FILENO) >= 0 && dup2(to, STDERR_FILENO) >= 0;
}

/* The limit of descriptors that this process was started with, which the command gets. It is
 * raised here, because each connected process takes a descriptor. */
static struct rlimit before_raising;

static void raise_limit(void) {
    struct rlimit raised;
    if (before_raising.rlim_max != 0 || getrlimit(RLIMIT_NOFILE, &before_raising) != 0)
        return;
    raised = before_raising;
    raised.rlim_cur = raised.rlim_max;
    setrlimit(RLIMIT_NOFILE, &raised);
}

static _Noreturn void fail(int tell, int why, int status) {
    _exit(write(tell, &why, sizeof why) < 0 ? 125 : status);
}

/* Runs in the child. `tell` is closed by a successful exec, or gets the errno. */
static _Noreturn void become(const ls_command *c, int tell) {
    for (const char *const *e = c->environment; e != NULL && *e != NULL; e++)
        putenv((char *)(uintptr_t)*e);
    if (c->log != NULL && !redirect(c->log))
        fail(tell, errno, 126);
    c->enter(c->context);
    execvp(c->argv[0], c->argv);
    fail(tell, errno, errno == ENOENT ? 127 : 126);
}

void ls_command_stop_passing_signals(const ls_passed_signals *s) {
    for (int i = 0; i < LS_PASSED_SIGNALS && s->passing; i++)
        sigaction(passed_on[i], &s->before[i], NULL);
}

void ls_command_run(const ls_command *command, ls_passed_signals *s, ls_exit *out) {
    int told[2], status = 0; /* closed by a successful exec */
    *s = (ls_passed_signals){.passing = false};
    *out = (ls_exit){.status = 0};
    if (pipe2(told, O_CLOEXEC) != 0) {
        *out = (ls_exit){126, errno};
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
        become(command, told[1]);
    }
    if (child < 0)
        *out = (ls_exit){126, errno};
    close(told[1]);
    pass_signals_on(s, child);
    if (child > 0) {
        if (read(told[0], &out->not_started, sizeof out->not_started) <= 0)
            out->not_started = 0;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        out->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    child_pid = 0;
    close(told[0]);
}
