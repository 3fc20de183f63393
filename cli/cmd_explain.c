/* lockstep explain: what is known of one pair of tensors, and which causes were tried. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chosen_pair.h"
#include "commands.h"
#include "comparison.h"
#include "checkpoint/checkpoint_diff.h"
#include "diff/diff.h"
#include "progress.h"
#include "report/explanation.h"
#include "terminal.h"

static const option_row options[] = {
#include "comparison_rows.h"
    {"--all", OPTION_FLAG, COMPARISON_FIELD(all), NULL, "show every experiment, not only those that leave least", NULL},
    {"--json", OPTION_PATH, COMPARISON_FIELD(files[LS_REPORT_JSON]), "FILE", "write the explanation as JSON; - for standard output, instead of the text", NULL},
    COLOR_ROW(COMPARISON_FIELD(color)),
    {0},
};

static int write_explanation(const comparison_options *o, const ls_explanation *x) {
    ls_text json = {0}, text = {0};
    const char *path = o->files[LS_REPORT_JSON];
    int status = EXIT_MATCH;
    if (path != NULL) {
        ls_report_explanation_json(x, &json);
        status = comparison_write(&json, path) ? EXIT_MATCH : EXIT_TROUBLE;
    }
    const ls_screen screen = terminal_screen(o->color);
    ls_report_explanation(x, o->all, &screen, &text);
    comparison_print(o, &text);
    ls_text_done(&json);
    ls_text_done(&text);
    return status;
}

/* The exit status is that of the comparison. */
static int explain(const comparison_options *o, ls_diff *diff, const char *name) {
    comparison_result result;
    alike_weights alike = {0};
    ls_explanation x = {0};
    lockstep_error error;
    comparison_explain("explain", o, diff, &alike, &result);
    int status = result.status;
    x.comparison = &result.comparison;
    x.pair = chosen_pair("explain", diff, name);
    if (x.pair == NULL || ls_diagnose_pair(diff, x.pair, &x.diagnosis, &x.attempts, &error) != LOCKSTEP_OK || write_explanation(o, &x) != EXIT_MATCH)
        status = x.pair == NULL && name == NULL ? status : EXIT_TROUBLE;
    comparison_done(&result);
    alike_weights_done(&alike);
    return status;
}

static int run(const arguments *args, const void *parsed) {
    const comparison_options *o = parsed;
    const char *name = args->positional_count > 2 ? args->positional[2] : NULL;
    ls_diff_options wanted;
    ls_diff *diff;
    lockstep_error error;
    if (ls_checkpoint_is_one(args->positional[0]) && ls_checkpoint_is_one(args->positional[1])) {
        fprintf(stderr, "lockstep explain: these are checkpoints, which have no operations: `lockstep diff` says all that is known of their weights\n");
        return EXIT_TROUBLE;
    }
    if (!comparison_understand("explain", o, &wanted))
        return EXIT_TROUBLE;
    wanted.explain = name != NULL ? name : "";
    progress_begin(NULL);
    const lockstep_status done = ls_diff_paths(args->positional[0], args->positional[1], &wanted, &diff, &error);
    progress_end();
    if (done != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep explain: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    const int status = explain(o, diff, name);
    ls_diff_free(diff);
    return status;
}

const command_row command_explain = {
    .name = "explain",
    .usage = "REFERENCE CANDIDATE [NAME] [options]",
    .summary = "Shows what went into one tensor (default: the first divergence), and every cause that was tried for it, with what each leaves.",
    .exits = "as lockstep diff",
    .options = options,
    .options_size = sizeof(comparison_options),
    .min_positional = 2,
    .max_positional = 3,
    .run = run,
};
