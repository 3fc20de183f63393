#include "comparison.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "checkpoint/checkpoint_diff.h"
#include "diagnose/diagnose.h"
#include "report/report.h"

int comparison_width(void) {
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return columns != NULL ? atoi(columns) : 0;
}

bool comparison_write(const ls_text *text, const char *path) {
    bool to_stdout = strcmp(path, "-") == 0;
    FILE *file = to_stdout ? stdout : fopen(path, "w");
    bool ok = file != NULL && !text->failed && fwrite(text->data, 1, text->length, file) == text->length;
    if (file != NULL && !to_stdout)
        ok = fclose(file) == 0 && ok;
    if (!ok)
        perror(path);
    return ok;
}

int comparison_put(const comparison_options *o, int status, ls_text *json, ls_text *table) {
    if (o->json != NULL && !comparison_write(json, o->json))
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

static void list_profiles(const char *command, const char *found) {
    fprintf(stderr, "lockstep %s: no profile '%s', expected one of", command, found);
    for (const ls_profile *p = ls_profiles; p->name != NULL; p++)
        fprintf(stderr, " %s", p->name);
    fprintf(stderr, "\n");
}

bool comparison_understand(const char *command, const comparison_options *o, ls_diff_options *out) {
    *out = (ls_diff_options){.map = o->map, .preset = o->preset, .tensors = o->tensors, .layers = o->layers,
                             .atol = isnan(o->atol) ? 0 : o->atol, .rtol = isnan(o->rtol) ? 0 : o->rtol,
                             .elementwise = !isnan(o->atol) || !isnan(o->rtol),
                             .min_coverage = isnan(o->min_coverage) ? 0.5 : o->min_coverage};
    out->profile = ls_profile_find(o->profile != NULL ? o->profile : "auto");
    if (out->profile == NULL)
        list_profiles(command, o->profile);
    else if (o->profile != NULL && out->elementwise)
        fprintf(stderr, "lockstep %s: --profile and --atol/--rtol exclude each other\n", command);
    else if (out->min_coverage > 1)
        fprintf(stderr, "lockstep %s: --min-coverage: found %g, expected 0 to 1\n", command, out->min_coverage);
    else
        return true;
    return false;
}

/* A regular expression for these names and nothing else. */
static void name_weights(const ls_diff *diff, ls_text *out) {
    for (size_t i = 0; i < diff->result.weights.count; i++) {
        ls_text_printf(out, i == 0 ? "^(" : "|");
        for (const char *c = ls_diff_graph(diff)->nodes[diff->result.weights.items[i]].name; *c != '\0'; c++)
            ls_text_printf(out, strchr(".[]{}()*+?|^$\\", *c) != NULL ? "\\%c" : "%c", *c);
    }
    ls_text_printf(out, ")$");
}

/* The weights behind the first divergence, in both checkpoints; false where there are
 * none, or no checkpoints. */
static bool compare_weights(const char *command, const comparison_options *o, const ls_diff *diff, ls_checkpoint_diff *out) {
    ls_text names = {0};
    lockstep_error error;
    if (o->reference_model == NULL || o->candidate_model == NULL || diff->result.weights.count == 0)
        return false;
    name_weights(diff, &names);
    ls_checkpoint_options wanted = {.what = LS_WHAT_WEIGHTS, .weights.tensors = names.data};
    bool ok = names.data != NULL && ls_checkpoint_diff_run(o->reference_model, o->candidate_model, &wanted, out, &error) == LOCKSTEP_OK;
    if (!ok)
        fprintf(stderr, "lockstep %s: no weights were compared: %s\n", command, names.data != NULL ? error.message : "out of memory");
    ls_text_done(&names);
    return ok;
}

int comparison_texts(const char *command, const comparison_options *o, ls_diff *diff, ls_diagnosis *out_diagnosis, int width, ls_text *json, ls_text *table) {
    lockstep_error error;
    ls_checkpoint_diff weights;
    if (ls_diagnose(diff, out_diagnosis, &error) != LOCKSTEP_OK)
        fprintf(stderr, "lockstep %s: no cause was looked for: %s\n", command, error.message);
    bool weighed = compare_weights(command, o, diff, &weights);
    ls_comparison comparison = {diff, out_diagnosis, weighed ? &weights : NULL};
    if (json != NULL)
        ls_report_json(&comparison, json);
    ls_report_terminal(&comparison, o->all, width, table);
    if (weighed)
        ls_checkpoint_diff_done(&weights);
    return exit_status(diff->result.outcome);
}

int comparison_report(const char *command, const comparison_options *o, ls_diff *diff) {
    ls_text json = {0}, table = {0};
    ls_diagnosis diagnosis;
    int status = comparison_texts(command, o, diff, &diagnosis, comparison_width(), o->json != NULL ? &json : NULL, &table);
    return comparison_put(o, status, &json, &table);
}
