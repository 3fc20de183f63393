#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/checkpoint_diff.h"
#include "diagnose/diagnose.h"
#include "options.h"
#include "report/report.h"

typedef struct diff_options {
    const char *map, *preset, *tensors, *layers, *profile, *what, *reference_model, *candidate_model, *json;
    double atol, rtol, min_coverage;
    bool all;
} diff_options;

#define FIELD(name) offsetof(diff_options, name)
static const option_row options[] = {
    {"--map", OPTION_TEXT, FIELD(map), "FILE", "naming rules of your own (YAML, docs/presets.md), before all others", NULL},
    {"--preset", OPTION_TEXT, FIELD(preset), "NAME", "naming rules to use, or none (default: by the model)", NULL},
    {"--tensors", OPTION_TEXT, FIELD(tensors), "REGEX", "compare only the candidate's tensors whose name matches", NULL},
    {"--layers", OPTION_TEXT, FIELD(layers), "LIST", "compare only these blocks, e.g. 0-3,7", NULL},
    {"--atol", OPTION_NUMBER, FIELD(atol), "X", "every element within X + rtol * |reference|, as numpy.allclose", NULL},
    {"--rtol", OPTION_NUMBER, FIELD(rtol), "Y", "see --atol", NULL},
    {"--profile", OPTION_TEXT, FIELD(profile), "NAME", "auto (default), allclose, torch, polygraphy, llama-nmse, backend-ops", NULL},
    {"--reference-model", OPTION_TEXT, FIELD(reference_model), "PATH", "the traces' checkpoints: tell whether the weights behind the first divergence", NULL},
    {"--candidate-model", OPTION_TEXT, FIELD(candidate_model), "PATH", "are the reference's", NULL},
    {"--what", OPTION_TEXT, FIELD(what), "LIST", "of checkpoints compare only these: config, vocab, weights", NULL},
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

static bool write_out(const ls_text *text, const char *path) {
    bool to_stdout = strcmp(path, "-") == 0;
    FILE *file = to_stdout ? stdout : fopen(path, "w");
    bool ok = file != NULL && !text->failed && fwrite(text->data, 1, text->length, file) == text->length;
    if (file != NULL && !to_stdout)
        ok = fclose(file) == 0 && ok;
    if (!ok)
        perror(path);
    return ok;
}

/* The report in its two forms: the table, and JSON where it was asked for. */
static int put_reports(const diff_options *o, int status, ls_text *json, ls_text *table) {
    if (o->json != NULL && !write_out(json, o->json))
        status = EXIT_TROUBLE;
    if ((o->json == NULL || strcmp(o->json, "-") != 0) && table->data != NULL)
        fwrite(table->data, 1, table->length, stdout);
    ls_text_done(json);
    ls_text_done(table);
    return status;
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

/* A regular expression for these names and nothing else. */
static void name_weights(const ls_diff *diff, ls_text *out) {
    for (size_t i = 0; i < diff->weight_count; i++) {
        ls_text_printf(out, i == 0 ? "^(" : "|");
        for (const char *c = diff->candidate->nodes[diff->weights[i]].name; *c != '\0'; c++)
            ls_text_printf(out, strchr(".[]{}()*+?|^$\\", *c) != NULL ? "\\%c" : "%c", *c);
    }
    ls_text_printf(out, ")$");
}

/* The weights behind the first divergence, in both checkpoints; false where there are
 * none, or no checkpoints. */
static bool compare_weights(const diff_options *o, const ls_diff *diff, ls_checkpoint_diff *out) {
    ls_text names = {0};
    lockstep_error error;
    if (o->reference_model == NULL || o->candidate_model == NULL || diff->weight_count == 0)
        return false;
    name_weights(diff, &names);
    ls_checkpoint_options wanted = {.what = LS_WHAT_WEIGHTS, .weights.tensors = names.data};
    bool ok = names.data != NULL && ls_checkpoint_diff_run(o->reference_model, o->candidate_model, &wanted, out, &error) == LOCKSTEP_OK;
    if (!ok)
        fprintf(stderr, "lockstep diff: no weights were compared: %s\n", names.data != NULL ? error.message : "out of memory");
    ls_text_done(&names);
    return ok;
}

static int run_traces(const arguments *args, const diff_options *o) {
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
    ls_text json = {0}, table = {0};
    ls_checkpoint_diff weights;
    bool weighed = compare_weights(o, &diff, &weights);
    if (o->json != NULL)
        ls_report_json(&diff, weighed ? &weights : NULL, &json);
    ls_report_terminal(&diff, weighed ? &weights : NULL, o->all, terminal_width(), &table);
    int status = put_reports(o, exit_status(diff.outcome), &json, &table);
    if (weighed)
        ls_checkpoint_diff_done(&weights);
    ls_diff_done(&diff);
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

/* On a terminal, for what takes more than a second. */
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

static int run_checkpoints(const arguments *args, const diff_options *o) {
    progress p = {0};
    ls_checkpoint_options wanted = {.min_coverage = isnan(o->min_coverage) ? 0.5 : o->min_coverage,
                                    .weights = {.preset = o->preset, .map = o->map, .tensors = o->tensors,
                                                .progress = show_progress, .context = &p}};
    ls_checkpoint_diff diff;
    lockstep_error error;
    if (!parse_what(o->what, &wanted.what)) {
        fprintf(stderr, "lockstep diff: --what: found '%s', expected a list of config, vocab, weights\n", o->what);
        return EXIT_TROUBLE;
    }
    if (o->layers != NULL || o->profile != NULL || !isnan(o->atol) || !isnan(o->rtol)) {
        fprintf(stderr, "lockstep diff: these are checkpoints: --layers, --profile, --atol and --rtol are for traces\n");
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
    if (o->json != NULL)
        ls_report_checkpoints_json(&diff, &json);
    ls_report_checkpoints(&diff, o->all, terminal_width(), &table);
    int status = put_reports(o, !diff.comparable ? EXIT_TROUBLE : diff.matches ? EXIT_MATCH : EXIT_DIVERGED, &json, &table);
    ls_checkpoint_diff_done(&diff);
    return status;
}

static int run(const arguments *args, const void *parsed) {
    const diff_options *o = parsed;
    bool checkpoints = o->what != NULL || (ls_checkpoint_is_one(args->positional[0]) && ls_checkpoint_is_one(args->positional[1]));
    return checkpoints ? run_checkpoints(args, o) : run_traces(args, o);
}

const command_row command_diff = {
    .name = "diff",
    .usage = "REFERENCE CANDIDATE [options]",
    .summary = "Compares two traces, or two checkpoints, and names the first divergence.",
    .options = options,
    .options_size = sizeof(diff_options),
    .min_positional = 2,
    .max_positional = 2,
    .run = run,
};
