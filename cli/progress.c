#include "progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/progress.h"
#include "base/text.h"
#include "report/cells.h"

enum { PATIENCE = 10, TICK = 100000000 }; /* ticks before the first line; nanoseconds */

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_running, is_ending, is_shown;
    char what[200], shown[400];
    double since[LS_STAGE_COUNT]; /* when a stage was first seen; 0: it isn't under way */
} line = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ------------------------------------------------------------------ the text */

static const struct {
    const char *verb, *unit;
} words[LS_STAGE_COUNT] = {
    [LS_STAGE_RECORDING] = {"recording", ""},
    [LS_STAGE_READING] = {"reading", "files"},
    [LS_STAGE_PAIRING] = {"pairing", ""},
    [LS_STAGE_REPLAYING] = {"replaying", "operations"},
    [LS_STAGE_VERIFYING] = {"verifying", "operations"},
    [LS_STAGE_COMPARING] = {"comparing", "pairs"},
    [LS_STAGE_EXPLAINING] = {"looking for the cause", ""},
    [LS_STAGE_WEIGHTS] = {"comparing weights", "GB"},
    [LS_STAGE_WRITING] = {"writing", "tensors"},
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Notes which stages have begun since the last look. */
static void look(void) {
    ls_progress p;
    for (int stage = 0; stage < LS_STAGE_COUNT; stage++)
        if (!ls_progress_read((ls_stage)stage, &p))
            line.since[stage] = 0;
        else if (!(line.since[stage] > 0))
            line.since[stage] = now();
}

static void put_stage(ls_stage stage, const ls_progress *p, ls_text *out) {
    ls_text_printf(out, "%s%s", out->length > 0 ? "; " : "", words[stage].verb);
    if (p->layer >= 0)
        ls_text_printf(out, " layer %d", p->layer);
    if (p->all == 0)
        return;
    const uint64_t done = p->done < p->all ? p->done : p->all;
    const double seconds = now() - line.since[stage], rate = seconds > 0 ? (double)done / seconds : 0;
    if (stage == LS_STAGE_WEIGHTS)
        ls_text_printf(out, ": %.2f of %.2f GB", (double)done / 1e9, (double)p->all / 1e9);
    else
        ls_text_printf(out, ": %llu of %llu %s", (unsigned long long)done, (unsigned long long)p->all, words[stage].unit);
    if (rate > 0 && stage == LS_STAGE_WEIGHTS)
        ls_text_printf(out, ", %.2f GB/s", rate / 1e9);
    if (rate > 0)
        ls_text_printf(out, ", %.0f s left", (double)(p->all - done) / rate);
}

static void put_text(ls_text *out) {
    ls_text stages = {0};
    ls_progress p;
    for (int stage = 0; stage < LS_STAGE_COUNT; stage++)
        if (ls_progress_read((ls_stage)stage, &p))
            put_stage((ls_stage)stage, &p, &stages);
    if (stages.data != NULL || line.what[0] != '\0')
        ls_text_printf(out, "%s%s%s", line.what, line.what[0] != '\0' && stages.data != NULL ? ": " : "", stages.data != NULL ? stages.data : "");
    ls_text_done(&stages);
}

/* ------------------------------------------------------------------ the line */

static int columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
}

static void erase(void) {
    if (line.is_shown)
        fputs("\r\033[K", stderr);
    line.is_shown = false;
}

/* Unless it is there already. */
static void show(const char *text) {
    if (line.is_shown && strncmp(text, line.shown, sizeof line.shown - 1) == 0)
        return;
    fprintf(stderr, "\r%s\033[K", text);
    snprintf(line.shown, sizeof line.shown, "%s", text);
    line.is_shown = true;
}

static void draw(void) {
    const ls_screen screen = {.width = columns()};
    ls_text text = {0}, plain = {0}, cut = {0};
    put_text(&text);
    if (text.data != NULL)
        ls_screen_text(&screen, text.data, text.length, &plain);
    if (plain.data != NULL) {
        ls_put_beginning(&screen, plain.data, screen.width, &cut);
        show(cut.data != NULL ? cut.data : "");
    }
    ls_text_done(&text);
    ls_text_done(&plain);
    ls_text_done(&cut);
}

static void *keep_drawing(void *unused) {
    struct timespec next;
    (void)unused;
    clock_gettime(CLOCK_REALTIME, &next);
    pthread_mutex_lock(&line.lock);
    look();
    for (size_t ticks = 0; !line.is_ending; ticks++) {
        next.tv_nsec += TICK;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        while (!line.is_ending && pthread_cond_timedwait(&line.wake, &line.lock, &next) == 0)
            continue;
        look();
        if (!line.is_ending && ticks >= PATIENCE)
            draw();
    }
    erase();
    pthread_mutex_unlock(&line.lock);
    return NULL;
}

/* A pager at the other end of a pipe draws on the same terminal. */
static bool is_wanted(void) {
    const char *term = getenv("TERM");
    struct stat out;
    const bool is_piped = fstat(STDOUT_FILENO, &out) != 0 || S_ISFIFO(out.st_mode) || S_ISSOCK(out.st_mode);
    return isatty(STDERR_FILENO) && !is_piped && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
}

void progress_begin(const char *what) {
    sigset_t all, before;
    if (line.is_running || !is_wanted())
        return;
    snprintf(line.what, sizeof line.what, "%s", what != NULL ? what : "");
    line.is_ending = line.is_shown = false;
    pthread_cond_init(&line.wake, NULL);
    sigfillset(&all); /* signals are for the thread that works */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    line.is_running = pthread_create(&line.thread, NULL, keep_drawing, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void progress_end(void) {
    if (!line.is_running)
        return;
    pthread_mutex_lock(&line.lock);
    line.is_ending = true;
    pthread_cond_signal(&line.wake);
    pthread_mutex_unlock(&line.lock);
    pthread_join(line.thread, NULL);
    pthread_cond_destroy(&line.wake);
    line.is_running = false;
}

void progress_make_room(void) {
    pthread_mutex_lock(&line.lock);
    erase();
    pthread_mutex_unlock(&line.lock);
}
