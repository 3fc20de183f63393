/* lockstep explain: what is known of one pair of tensors, and which causes were tried. */
#include "chosen_pair.h"
#include "commands.h"
#include "comparison.h"
#include "report/explanation.h"
#include "terminal.h"

static const option_row options[] = {
#include "comparison_rows.h"
    {"--all", OPTION_FLAG, COMPARISON_FIELD(all), NULL, "show every experiment, not only those that leave least", NULL},
    {"--json", OPTION_PATH, COMPARISON_FIELD(files[LS_REPORT_JSON]), "FILE", "write the explanation as JSON; - for standard output, instead of the text", NULL},
    COLOR_ROW(COMPARISON_FIELD(color)),
    {0},
};

/* The exit status is that of the comparison. */
static int write_explanation(const ls_explanation *x, int status, const void *options_given) {
    const comparison_options *o = options_given;
    ls_text json = {0}, text = {0};
    const char *path = o->files[LS_REPORT_JSON];
    if (path != NULL) {
        ls_report_explanation_json(x, &json);
        status = comparison_write(&json, path) ? status : EXIT_TROUBLE;
    }
    const ls_screen screen = terminal_screen(o->color);
    ls_report_explanation(x, o->all, &screen, &text);
    comparison_print(o, &text);
    ls_text_done(&json);
    ls_text_done(&text);
    return status;
}

static int run(const arguments *args, const void *parsed) { return chosen_pair_use("explain", args, parsed, write_explanation, -1); }

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
