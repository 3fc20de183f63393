/* Runs a command as if it had been started directly: signals that others send to this process
 * reach the command, and the command starts with the signal actions and limits that this
 * process was started with. */
#ifndef LS_LAUNCH_COMMAND_H
#define LS_LAUNCH_COMMAND_H

#include <signal.h>
#include <stdbool.h>

enum { LS_PASSED_SIGNALS = 6 };

typedef struct ls_command {
    char **argv;
    const char *const *environment; /* "NAME=value" to add, NULL-terminated; may be NULL */
    const char *log;                /* a file for its output; NULL to inherit ours */
    void (*enter)(void *context);   /* called in the child, before the command takes its place */
    void *context;
} ls_command;

typedef struct ls_exit {
    int status;      /* as a shell reports it: 128 + n for a signal, 127 not found */
    int not_started; /* errno if the command could not be started; else 0 */
} ls_exit;

/* What ls_command_stop_passing_signals restores. */
typedef struct ls_passed_signals {
    sigset_t mask;
    struct sigaction before[LS_PASSED_SIGNALS];
    bool passing;
} ls_passed_signals;

/* Runs the command to its end. Signals are still caught afterwards, and ignored, until
 * ls_command_stop_passing_signals: call that when the recording is complete. */
void ls_command_run(const ls_command *command, ls_passed_signals *out_signals, ls_exit *out_exit);
void ls_command_stop_passing_signals(const ls_passed_signals *signals);

#endif
