#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/checkpoint_diff.h"
#include "commands.h"
#include "comparison.h"
#include "diff/diff.h"
#include "report/report.h"
#include "terminal.h"

typedef struct diff_options {
    comparison_options comparison;
    const char *what;
} diff_options;

static const option_row options[] = {
#include "comparison_rows.h"
    {"--what", OPTION_TEXT, offsetof(diff_options, what), "LIST", "compare only these parts of checkpoints: config, vocab, weights", NULL},
    {0},
};

static int run_traces(const arguments *args, const comparison_options *o) {
    ls_diff_options wanted;
    ls_diff *diff;
    lockstep_error error;
    if (!comparison_understand("diff", o, &wanted))
        return EXIT_TROUBLE;
    lockstep_status done = ls_diff_paths(args->positional[0], args->positional[1], &wanted, &diff, &error);
    int status = EXIT_TROUBLE;
    if (done == LOCKSTEP_OK) {
        status = comparison_report("diff", o, diff);
        ls_diff_free(diff);
    } else {
        fprintf(stderr, "lockstep diff: %s\n", error.message);
    }
    return status;
}

/* ------------------------------------------------------------------- checkpoints */

typedef struct progress {
    struct timespec begin, last;
    bool shown;
} progress;

static double seconds_since(const struct timespec *then) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

/* Progress on a terminal, when the comparison takes more than a second. */
static void show_progress(void *context, uint64_t done, uint64_t all) {
    enum { CELLS = 30 };
    progress *p = context;
    double seconds = seconds_since(&p->begin), rate = (double)done / seconds;
    if (!isatty(STDERR_FILENO) || seconds < 1 || (seconds_since(&p->last) < 0.1 && done < all))
        return;
    clock_gettime(CLOCK_MONOTONIC, &p->last);
    int cells = all > 0 ? (int)((double)CELLS * (double)done / (double)all) : CELLS;
    double left = rate > 0 ? (double)(all - done) / rate : 0;
    fprintf(stderr, "\r[%.*s%*s] %3.0f %%  %.2f of %.2f GB  %.2f GB/s  %.0f s left  ", cells, "##############################", CELLS - cells, "",
            all > 0 ? 100 * (double)done / (double)all : 100, (double)done / 1e9, (double)all / 1e9, rate / 1e9, left);
    p->shown = true;
}

static bool parse_what(const char *list, unsigned *out) {
    static const char *const names[] = {"config", "vocab", "weights"};
    *out = list == NULL ? LS_WHAT_ALL : 0;
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ","), i = 0;
        while (i < 3 && (strlen(names[i]) != length || memcmp(names[i], list, length) != 0))
            i++;
        if (i == 3)
            return false;
        *out |= 1u << i;
        list += length + (list[length] == ',');
    }
    return *out != 0;
}

static int run_checkpoints(const arguments *args, const comparison_options *o, const char *what) {
    progress p = {0};
    ls_checkpoint_options wanted = {.min_coverage = isnan(o->min_coverage) ? 0.5 : o->min_coverage,
                                    .weights = {.preset = o->preset, .map = o->map, .tensors = o->tensors,
                                                .progress = show_progress, .context = &p}};
    ls_checkpoint_diff diff;
    lockstep_error error;
    if (!parse_what(what, &wanted.what)) {
        fprintf(stderr, "lockstep diff: --what: found '%s', expected a list of config, vocab, weights\n", what);
        return EXIT_TROUBLE;
    }
    if (o->layers != NULL || o->profile != NULL || !isnan(o->atol) || !isnan(o->rtol)) {
        fprintf(stderr, "lockstep diff: these are checkpoints: --layers, --profile, --atol and --rtol apply only to traces\n");
        return EXIT_TROUBLE;
    }
    if (o->tensors != NULL && isnan(o->min_coverage))
        wanted.min_coverage = 0;
    clock_gettime(CLOCK_MONOTONIC, &p.begin);
    p.last = p.begin;
    lockstep_status done = ls_checkpoint_diff_run(args->positional[0], args->positional[1], &wanted, &diff, &error);
    if (p.shown)
        fprintf(stderr, "\r\033[K");
    if (done != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep diff: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    ls_text json = {0}, table = {0};
    int status = diff.differs ? EXIT_DIVERGED : diff.matches ? EXIT_MATCH : EXIT_TROUBLE;
    if (o->files[LS_REPORT_JSON] != NULL)
        ls_report_checkpoints_json(&diff, &json);
    if (o->files[LS_REPORT_JSON] != NULL && !comparison_write(&json, o->files[LS_REPORT_JSON]))
        status = EXIT_TROUBLE;
    const ls_page page = terminal_page(o->color);
    ls_report_checkpoints(&diff, o->all, &page, &table);
    comparison_print(o, &table);
    ls_text_done(&json);
    ls_text_done(&table);
    ls_checkpoint_diff_done(&diff);
    return status;
}

static int run(const arguments *args, const void *parsed) {
    const diff_options *o = parsed;
    bool checkpoints = o->what != NULL || (ls_checkpoint_is_one(args->positional[0]) && ls_checkpoint_is_one(args->positional[1]));
    return checkpoints ? run_checkpoints(args, &o->comparison, o->what) : run_traces(args, &o->comparison);
}

const command_row command_diff = {
    .name = "diff",
    .usage = "REFERENCE CANDIDATE [options]",
    .summary = "Compares two traces, or two checkpoints, and names the first divergence.",
    .exits = "0 match, 1 diverged or different inputs, 2 error or nothing comparable",
    .options = options,
    .options_size = sizeof(diff_options),
    .min_positional = 2,
    .max_positional = 2,
    .run = run,
};
