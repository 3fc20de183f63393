#include "io/guard.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/escape.h"

enum { TROUBLE = 2 };

/* Held with all signals blocked, because the signal handlers take it, too. */
static atomic_flag lock = ATOMIC_FLAG_INIT;
static ls_guarded *first;
static char changed[PATH_MAX]; /* path of the first file found changed, or "" */
static const char *how;        /* what happened to it */

static void spin(void) {
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire))
        sched_yield();
}

static void enter(sigset_t *before) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    spin();
}

static void leave(const sigset_t *before) {
    atomic_flag_clear_explicit(&lock, memory_order_release);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static void put_first(ls_guarded *g) {
    g->previous = NULL;
    g->next = first;
    if (first != NULL)
        first->previous = g;
    first = g;
}

void ls_guard_add(ls_guarded *g) {
    sigset_t before;
    enter(&before);
    put_first(g);
    leave(&before);
}

FILE *ls_guard_create(ls_guarded *g) {
    sigset_t before;
    enter(&before);
    FILE *file = fopen(g->path, "wbxe");
    int why = errno;
    if (file != NULL)
        put_first(g);
    leave(&before);
    errno = why;
    return file;
}

#define SHORTER "became shorter while it was being read"

/* What happened to a mapped file; NULL if nothing that matters. */
static const char *change_of(const ls_guarded *g) {
    struct stat info;
    if (g->bytes == NULL || stat(g->path, &info) != 0 || info.st_dev != g->device || info.st_ino != g->inode)
        return NULL;
    if ((uint64_t)info.st_size < g->size)
        return SHORTER;
    bool same_time = info.st_mtim.tv_sec == g->modified.tv_sec && info.st_mtim.tv_nsec == g->modified.tv_nsec;
    return same_time || (uint64_t)info.st_size > g->size ? NULL : "was written to while it was being read";
}

static void remember(const char *path, const char *what) {
    if (what == NULL || changed[0] != '\0')
        return;
    snprintf(changed, sizeof changed, "%s", path);
    how = what;
}

void ls_guard_remove(ls_guarded *g) {
    sigset_t before;
    const char *what = change_of(g);
    enter(&before);
    remember(g->path, what);
    if (g->previous != NULL)
        g->previous->next = g->next;
    else
        first = g->next;
    if (g->next != NULL)
        g->next->previous = g->previous;
    leave(&before);
}

lockstep_status ls_guard_check(lockstep_error *error) {
    sigset_t before;
    char path[PATH_MAX];
    enter(&before);
    for (const ls_guarded *g = first; g != NULL && changed[0] == '\0'; g = g->next)
        remember(g->path, change_of(g));
    memcpy(path, changed, sizeof path);
    leave(&before);
    return path[0] == '\0' ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_IO, "%s: %s", path, how);
}

/* ------------------------------------------------------------------ signals */

static void remove_unfinished(void) {
    spin();
    for (const ls_guarded *g = first; g != NULL; g = g->next)
        if (g->bytes == NULL)
            unlink(g->path);
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

static void say(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; /* there is no other place to report it */
}

static const ls_guarded *mapped_at(const uint8_t *address) {
    const ls_guarded *found = NULL;
    spin();
    for (const ls_guarded *g = first; g != NULL && found == NULL; g = g->next)
        if (g->bytes != NULL && address >= g->bytes && (size_t)(address - g->bytes) < g->size)
            found = g; /* can't be unmapped meanwhile: its reader is in this handler */
    atomic_flag_clear_explicit(&lock, memory_order_release);
    return found;
}

static void end_on_bus_error(int number, siginfo_t *info, void *context) {
    static atomic_flag ending = ATOMIC_FLAG_INIT;
    const ls_guarded *g = mapped_at(info->si_addr);
    char path[400];
    (void)context;
    if (g == NULL) { /* not one of our files: the default action */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    while (atomic_flag_test_and_set(&ending))
        pause(); /* another thread was faster */
    ls_escape(g->path, strlen(g->path), path, sizeof path);
    say("lockstep: ");
    say(path);
    say(": " SHORTER "\n");
    remove_unfinished();
    _exit(TROUBLE);
}

/* SIGXFSZ: with a handler, the write that exceeds the file size limit fails with EFBIG. */
static void survive(int number) { (void)number; }

static void end_on_signal(int number) {
    remove_unfinished();
    signal(number, SIG_DFL);
    raise(number);
}

void ls_guard_process(void) {
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2};
    struct sigaction bus = {.sa_sigaction = end_on_bus_error, .sa_flags = SA_SIGINFO}, end = {.sa_handler = end_on_signal},
                     large = {.sa_handler = survive, .sa_flags = SA_RESTART}, now;
    sigfillset(&bus.sa_mask);
    sigfillset(&end.sa_mask);
    sigaction(SIGBUS, &bus, NULL);
    sigaction(SIGXFSZ, &large, NULL);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (sigaction(ends[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
            sigaction(ends[i], &end, NULL);
}
