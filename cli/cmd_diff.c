#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/checkpoint_diff.h"
#include "baseline.h"
#include "command_line.h"
#include "commands.h"
#include "comparison.h"
#include "diff/diff.h"
#include "progress.h"
#include "report/report.h"
#include "terminal.h"

typedef struct diff_options {
    comparison_options comparison;
    const char *what;
} diff_options;

static const option_row options[] = {
#include "comparison_rows.h"
#include "output_rows.h"
    {"--what", OPTION_TEXT, offsetof(diff_options, what), "LIST", "compare only these parts of checkpoints: config, vocab, weights", NULL},
    {0},
};

static int run_traces(const arguments *args, const comparison_options *o) {
    ls_diff_options wanted;
    ls_diff *diff;
    lockstep_error error;
    if (!comparison_understand("diff", o, &wanted))
        return EXIT_TROUBLE;
    progress_begin(NULL);
    lockstep_status done = ls_diff_paths(args->positional[0], args->positional[1], &wanted, &diff, &error);
    int status = EXIT_TROUBLE;
    if (done == LOCKSTEP_OK) {
        status = comparison_report("diff", o, diff);
        ls_diff_free(diff);
    } else {
        progress_end();
        fprintf(stderr, "lockstep diff: %s\n", error.message);
    }
    return status;
}

/* ------------------------------------------------------------------- checkpoints */

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
    ls_checkpoint_options wanted = {.min_coverage = isnan(o->min_coverage) ? 0.5 : o->min_coverage,
                                    .weights = {.preset = o->preset, .map = o->map, .tensors = o->tensors}};
    ls_checkpoint_diff diff;
    lockstep_error error;
    if (!parse_what(what, &wanted.what)) {
        fprintf(stderr, "lockstep diff: --what: found '%s', expected a list of config, vocab, weights\n", what);
        return EXIT_TROUBLE;
    }
    if (o->layers != NULL || o->passes != NULL || o->profile != NULL || o->sort != NULL || o->image != NULL || !isnan(o->atol) || !isnan(o->rtol)) {
        fprintf(stderr, "lockstep diff: these are checkpoints: --layers, --passes, --profile, --sort, --image, --atol and --rtol apply only to traces\n");
        return EXIT_TROUBLE;
    }
    if (!comparison_has_pattern("diff", o))
        return EXIT_TROUBLE;
    if (o->tensors != NULL && isnan(o->min_coverage))
        wanted.min_coverage = 0;
    progress_begin(NULL);
    lockstep_status done = ls_checkpoint_diff_run(args->positional[0], args->positional[1], &wanted, &diff, &error);
    progress_end();
    if (done != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep diff: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    ls_text table = {0};
    ls_result kept = {0};
    const ls_checkpoint_report report = {&diff, command_line(), o->picture, &kept};
    int status = diff.differs ? EXIT_DIVERGED : diff.matches ? EXIT_MATCH : EXIT_TROUBLE;
    ls_result baseline = {0};
    const bool has_baseline = o->baseline != NULL && baseline_open("diff", o->baseline, &baseline);
    status = o->baseline != NULL && !has_baseline ? EXIT_TROUBLE : status;
    for (int i = 0; i < LS_REPORT_COUNT; i++)
        if (o->files[i] != NULL && !comparison_write_checkpoint_report((ls_report_format)i, &report, o->files[i]))
            status = EXIT_TROUBLE;
    const ls_screen screen = terminal_screen(o->color);
    ls_report_checkpoints(&diff, o->all, &screen, &table);
    if (has_baseline)
        status = baseline_compare("diff", ls_report_result_of_checkpoints(&report), &baseline, status, &table);
    comparison_print(o, &table);
    ls_result_done(&baseline);
    ls_result_done(&kept);
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
