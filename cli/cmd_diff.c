#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "diagnose/diagnose.h"
#include "options.h"
#include "report/report.h"

typedef struct diff_options {
    const char *map, *preset, *tensors, *layers, *profile, *json;
    double atol, rtol, min_coverage;
    bool all;
} diff_options;

#define FIELD(name) offsetof(diff_options, name)
static const option_row options[] = {
    {"--map", OPTION_TEXT, FIELD(map), "FILE", "naming rules of your own (YAML, docs/presets.md), before all others", NULL},
    {"--preset", OPTION_TEXT, FIELD(preset), "NAME", "naming rules to use, or none (default: by the reference's model)", NULL},
    {"--tensors", OPTION_TEXT, FIELD(tensors), "REGEX", "compare only the candidate's tensors whose name matches", NULL},
    {"--layers", OPTION_TEXT, FIELD(layers), "LIST", "compare only these blocks, e.g. 0-3,7", NULL},
    {"--atol", OPTION_NUMBER, FIELD(atol), "X", "every element within X + rtol * |reference|, as numpy.allclose", NULL},
    {"--rtol", OPTION_NUMBER, FIELD(rtol), "Y", "see --atol", NULL},
    {"--profile", OPTION_TEXT, FIELD(profile), "NAME", "auto (default), allclose, torch, polygraphy, llama-nmse, backend-ops", NULL},
    {"--min-coverage", OPTION_NUMBER, FIELD(min_coverage), "F", "share of elements that must be compared to match, 0 to 1 (default 0.5)", NULL},
    {"--all", OPTION_FLAG, FIELD(all), NULL, "show every pair, and the names without a partner", NULL},
    {"--json", OPTION_TEXT, FIELD(json), "FILE", "write the result as JSON; - for standard output, instead of the table", NULL},
    {0},
};

static int terminal_width(void) {
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return columns != NULL ? atoi(columns) : 0;
}

static bool write_json(const ls_diff *diff, const char *path) {
    ls_text text = {0};
    ls_report_json(diff, &text);
    bool to_stdout = strcmp(path, "-") == 0;
    FILE *file = to_stdout ? stdout : fopen(path, "w");
    bool ok = file != NULL && !text.failed && fwrite(text.data, 1, text.length, file) == text.length;
    if (file != NULL && !to_stdout)
        ok = fclose(file) == 0 && ok;
    ls_text_done(&text);
    if (!ok)
        perror(path);
    return ok;
}

static int exit_status(ls_outcome outcome) {
    return outcome == LS_OUTCOME_MATCH ? EXIT_MATCH : outcome == LS_OUTCOME_INCOMPARABLE ? EXIT_TROUBLE : EXIT_DIVERGED;
}

static bool understand(const diff_options *o, ls_diff_options *out) {
    *out = (ls_diff_options){.map = o->map, .preset = o->preset, .tensors = o->tensors, .layers = o->layers,
                             .atol = isnan(o->atol) ? 0 : o->atol, .rtol = isnan(o->rtol) ? 0 : o->rtol,
                             .elementwise = !isnan(o->atol) || !isnan(o->rtol),
                             .min_coverage = isnan(o->min_coverage) ? 0.5 : o->min_coverage};
    out->profile = ls_profile_find(o->profile != NULL ? o->profile : "auto");
    if (out->profile == NULL)
        fprintf(stderr, "lockstep diff: no profile '%s'; 'lockstep diff --help' lists them\n", o->profile);
    else if (o->profile != NULL && out->elementwise)
        fprintf(stderr, "lockstep diff: --profile and --atol/--rtol exclude each other\n");
    else if (out->min_coverage > 1)
        fprintf(stderr, "lockstep diff: --min-coverage: found %g, expected 0 to 1\n", out->min_coverage);
    else
        return true;
    return false;
}

static int run(const arguments *args, const void *parsed) {
    const diff_options *o = parsed;
    ls_diff_options wanted;
    ls_diff diff;
    lockstep_error error;
    if (!understand(o, &wanted))
        return EXIT_TROUBLE;
    if (ls_diff_run(args->positional[0], args->positional[1], &wanted, &diff, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep diff: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    if (ls_diagnose(&diff, &error) != LOCKSTEP_OK)
        fprintf(stderr, "lockstep diff: no cause was looked for: %s\n", error.message);
    int status = exit_status(diff.outcome);
    if (o->json != NULL && !write_json(&diff, o->json))
        status = EXIT_TROUBLE;
    if (o->json == NULL || strcmp(o->json, "-") != 0) {
        ls_text text = {0};
        ls_report_terminal(&diff, o->all, terminal_width(), &text);
        if (text.data != NULL)
            fwrite(text.data, 1, text.length, stdout);
        ls_text_done(&text);
    }
    ls_diff_done(&diff);
    return status;
}

const command_row command_diff = {
    .name = "diff",
    .usage = "REFERENCE CANDIDATE [options]",
    .summary = "Compares two traces (or any two containers) and names the first divergence.",
    .options = options,
    .options_size = sizeof(diff_options),
    .min_positional = 2,
    .max_positional = 2,
    .run = run,
};
