/* Runs a command as if this program were not there: signals that others send to this
 * process reach the command, and the command starts with the signals and limits that this
 * process was started with. */
#ifndef LS_LAUNCH_COMMAND_H
#define LS_LAUNCH_COMMAND_H

#include <signal.h>
#include <stdbool.h>

enum { LS_PASSED_SIGNALS = 6 };

typedef struct ls_command {
    char **argv;
    const char *const *environment; /* "NAME=value" to be added, NULL-terminated; may be NULL */
    const char *log;                /* its output goes there; NULL: where ours goes */
    void (*enter)(void *context);   /* called in the child, before the command takes its place */
    void *context;
} ls_command;

typedef struct ls_exit {
    int status;      /* as a shell reports it: 128 + n for a signal, 127 not found */
    int not_started; /* errno of why the command could not be started; 0 */
} ls_exit;

/* What is to be restored by ls_command_stop_passing_signals. */
typedef struct ls_passed_signals {
    sigset_t mask;
    struct sigaction before[LS_PASSED_SIGNALS];
    bool passing;
} ls_passed_signals;

/* Runs the command to its end. Signals stay passed on, to nobody, until
 * ls_command_stop_passing_signals: call that once what was recorded is in its place. */
void ls_command_run(const ls_command *command, ls_passed_signals *out_signals, ls_exit *out_exit);
void ls_command_stop_passing_signals(const ls_passed_signals *signals);

#endif
