/* lockstep report: other formats, other rules and a comparison over time, of results that were kept. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "baseline.h"
#include "commands.h"
#include "comparison.h"
#include "report/page.h"
#include "result/result.h"

typedef struct report_options {
    const char *html, *junit, *markdown, *baseline;
    ls_thresholds thresholds;
    double atol, rtol;
} report_options;

#define FIELD(name) offsetof(report_options, name)
static const option_row options[] = {
    {"--html", OPTION_PATH, FIELD(html), "FILE", "write a report that a browser opens, without pictures (docs/reports.md)", NULL},
    {"--junit", OPTION_PATH, FIELD(junit), "FILE", "write JUnit's XML; - for standard output", NULL},
    {"--markdown", OPTION_PATH, FIELD(markdown), "FILE", "write Markdown, for a pull request; - for standard output", NULL},
    {"--baseline", OPTION_PATH, FIELD(baseline), "RESULT", "an earlier result: exit with 1 only for what is new since then", NULL},
    {"--rel-l2", OPTION_NUMBER, FIELD(thresholds.rel_l2), "X", "judge anew: the relative L2 of each pair is at most X", NULL},
    {"--max-abs", OPTION_NUMBER, FIELD(thresholds.max_abs), "X", "judge anew: the largest difference of each pair is at most X", NULL},
    {"--cosine", OPTION_NUMBER, FIELD(thresholds.cosine), "X", "judge anew: the cosine similarity of each pair is at least X", NULL},
    {"--nmse", OPTION_NUMBER, FIELD(thresholds.nmse), "X", "judge anew: the normalized mean squared error of each pair is at most X", NULL},
    {"--atol", OPTION_NUMBER, FIELD(atol), "X", "needs the tensors: see lockstep diff", NULL},
    {"--rtol", OPTION_NUMBER, FIELD(rtol), "Y", "needs the tensors: see lockstep diff", NULL},
    {0},
};

static const char *objection(const report_options *o) {
    if (!isnan(o->atol) || !isnan(o->rtol))
        return "--atol and --rtol are rules for single elements, which a result does not hold: compare the tensors again, with lockstep diff";
    return NULL;
}

static bool write_format(const ls_result *r, void (*format)(const ls_result *, ls_text *), const char *path) {
    ls_text text = {0};
    if (path != NULL)
        format(r, &text);
    const bool ok = path == NULL || comparison_write(&text, path);
    ls_text_done(&text);
    return ok;
}

/* There are no values to draw pictures of. */
static void put_page(const ls_result *r, ls_text *out) {
    char *json = json_dumps(r->json, JSON_COMPACT | JSON_REAL_PRECISION(12)), *page = NULL;
    size_t length = 0;
    FILE *file = json != NULL ? open_memstream(&page, &length) : NULL;
    const bool written = file != NULL && ls_page_write(json, strlen(json), NULL, file);
    if (file != NULL && fclose(file) == 0 && written)
        ls_text_append(out, page, length);
    else
        out->failed = true;
    free(page);
    free(json);
}

static void put_summary(const ls_result *r, ls_text *out) {
    for (size_t i = 1; i < r->count; i++) {
        const ls_case *c = &r->cases[i];
        if (c->state != LS_CASE_FAILS)
            continue;
        ls_text_printf(out, "first to fail: ");
        ls_text_escaped(out, c->name);
        ls_text_printf(out, *c->reference != '\0' ? ", reference " : "");
        ls_text_escaped(out, c->reference);
        if (!isnan(c->error))
            ls_text_printf(out, ", error %.2e", c->error);
        ls_text_printf(out, "\n");
        break;
    }
    const size_t findings = ls_result_count(r, false, LS_CASE_FAILS);
    ls_text_printf(out, "compared: %zu agree, %zu fail, %zu more follow from these", ls_result_count(r, true, LS_CASE_PASSES), ls_result_count(r, true, LS_CASE_FAILS),
                   ls_result_count(r, true, LS_CASE_FOLLOWS));
    if (findings > 0)
        ls_text_printf(out, "; %zu finding%s beside these", findings, findings == 1 ? "" : "s");
    ls_text_printf(out, "\n");
    ls_text_printf(out, "verdict: ");
    ls_text_escaped(out, ls_result_verdict(r));
    ls_text_printf(out, *ls_result_reason(r) != '\0' ? ": " : "");
    ls_text_escaped(out, ls_result_reason(r));
    ls_text_printf(out, "\n");
}

static bool is_stdout(const char *path) { return path != NULL && strcmp(path, "-") == 0; }

static int report(const report_options *o, ls_result *r) {
    ls_text text = {0};
    int status = ls_result_exit_status(r);
    put_summary(r, &text);
    ls_result baseline = {0};
    if (o->baseline != NULL)
        status = baseline_open("report", o->baseline, &baseline) ? baseline_compare("report", r, &baseline, status, &text) : EXIT_TROUBLE;
    ls_result_done(&baseline);
    if (!write_format(r, put_page, o->html) || !write_format(r, ls_result_junit, o->junit) || !write_format(r, ls_result_markdown, o->markdown))
        status = EXIT_TROUBLE;
    if (!is_stdout(o->html) && !is_stdout(o->junit) && !is_stdout(o->markdown) && !comparison_write(&text, "-"))
        status = EXIT_TROUBLE;
    ls_text_done(&text);
    return status;
}

static int run(const arguments *args, const void *parsed) {
    const report_options *o = parsed;
    ls_result r;
    lockstep_error error;
    if (objection(o) != NULL) {
        fprintf(stderr, "lockstep report: %s\n", objection(o));
        return EXIT_TROUBLE;
    }
    lockstep_status status = ls_result_open(args->positional[0], &r, &error);
    if (status == LOCKSTEP_OK && ls_thresholds_any(&o->thresholds))
        status = ls_result_judge(&r, &o->thresholds, &error);
    if (status != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep report: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    const int done = report(o, &r);
    ls_result_done(&r);
    return done;
}

const command_row command_report = {
    .name = "report",
    .usage = "RESULT.json [--html FILE] [--junit FILE] [--markdown FILE] [--baseline RESULT.json] [options]",
    .summary = "Writes a result that `diff --json` has kept in other formats, judges it by other thresholds, or compares it with an earlier one.",
    .exits = "0 match, 1 diverged; with --baseline: 0 nothing new fails, 1 something does; 2 error",
    .options = options,
    .options_size = sizeof(report_options),
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
