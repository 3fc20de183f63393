#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "commands.h"
#include "comparison.h"
#include "format/archive.h"
#include "progress.h"
#include "report/verify_report.h"
#include "terminal.h"
#include "verify/rerun.h"
#include "verify/verify.h"

typedef struct verify_options {
    option_list models;
    const char *json, *out, *from, *to, *color;
    bool all, exact, replay;
} verify_options;

#define FIELD(name) offsetof(verify_options, name)
static const option_row options[] = {
    {"--model", OPTION_PATHS, FIELD(models), "FILE", "a file with the weights (repeatable; default: the files that the engine opened)", NULL},
    {"--exact", OPTION_FLAG, FIELD(exact), NULL, "compute all rows of large products, too", NULL},
    {"--all", OPTION_FLAG, FIELD(all), NULL, "list every operation, not only those that fail", NULL},
    {"--replay", OPTION_FLAG, FIELD(replay), NULL, "compute the whole run in double precision instead, each operation on what was computed before it", NULL},
    {"-o", OPTION_PATH, FIELD(out), "OUT", "with --replay: the trace to write", NULL},
    {"--from", OPTION_TEXT, FIELD(from), "NAME", "with --replay: begin at this operation in each pass; those before it keep their recorded values", NULL},
    {"--to", OPTION_TEXT, FIELD(to), "NAME", "with --replay: end at this operation in each pass", NULL},
    {"--json", OPTION_PATH, FIELD(json), "FILE", "write the result as JSON; - for standard output, instead of the table", NULL},
    COLOR_ROW(FIELD(color)),
    {0},
};

static bool write_json(const ls_verification *v, const char *path) {
    ls_text text = {0};
    ls_report_verification_json(v, &text);
    const bool ok = comparison_write(&text, path);
    ls_text_done(&text);
    return ok;
}

static bool print(const ls_verification *v, bool all, const char *color) {
    const ls_screen screen = terminal_screen(color);
    ls_text text = {0};
    ls_report_verification(v, all, &screen, &text);
    const bool ok = comparison_write(&text, "-");
    ls_text_done(&text);
    return ok;
}

static lockstep_status check_trace(const ls_trace *trace, lockstep_error *error) {
    return trace->is_graph ? LOCKSTEP_OK
                           : ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s has no graph: expected a trace that `lockstep capture` recorded", trace->path);
}

/* What the operations were computed with are not the weights that the engine had. Returns the exit status. */
static int judge_weights(const ls_models *m, int status) {
    const size_t changed = m->by_state[LS_WEIGHT_CHANGED];
    if (changed == 0)
        return status;
    fprintf(stderr, "lockstep verify: %zu weight%s in the engine's memory %s not as in %s (first: %s)\n", changed, changed == 1 ? "" : "s", changed == 1 ? "is" : "are",
            m->are_recorded ? "its model file: changed after loading" : "--model: the engine had opened another file", m->trace->nodes[m->first_changed].name);
    return m->are_recorded ? EXIT_DIVERGED : EXIT_TROUBLE;
}

static const char *objection(const verify_options *o) {
    if (o->replay && o->out == NULL)
        return "--replay needs -o OUT, the trace to write";
    if (o->replay && (o->json != NULL || o->all))
        return "--replay writes a trace: --json and --all don't apply to it";
    if (!o->replay && (o->out != NULL || o->from != NULL || o->to != NULL))
        return "-o, --from and --to need --replay";
    return NULL;
}

static int write_replay(const ls_trace *trace, const ls_models *models, const verify_options *o) {
    ls_rerun done;
    lockstep_error error;
    if (ls_rerun_write(trace, models, &(ls_rerun_options){o->from, o->to}, o->out, &done, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep verify: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    fprintf(stderr, "lockstep: computed %zu operations in double precision, in %s; %zu kept their recorded values, %zu have none", done.computed, o->out, done.recorded, done.unknown);
    if (done.reason != NULL) {
        char name[300];
        ls_escape(trace->nodes[done.first].name, strlen(trace->nodes[done.first].name), name, sizeof name);
        fprintf(stderr, " (first: %s: %s)", name, done.reason);
    }
    fprintf(stderr, "\n");
    return done.computed > 0 && done.unknown == 0 ? EXIT_MATCH : EXIT_TROUBLE;
}

static int run(const arguments *args, const void *parsed) {
    const verify_options *o = parsed;
    if (objection(o) != NULL) {
        fprintf(stderr, "lockstep verify: %s\n", objection(o));
        return EXIT_TROUBLE;
    }
    ls_trace *trace = NULL;
    ls_models models = {0};
    ls_verification v = {0};
    lockstep_error error;
    progress_begin(NULL);
    lockstep_status status = ls_trace_open(args->positional[0], &trace, &error);
    if (status == LOCKSTEP_OK)
        status = check_trace(trace, &error);
    if (status == LOCKSTEP_OK)
        status = ls_models_open(trace, o->models.items, o->models.count, &models, &error);
    if (status == LOCKSTEP_OK && o->replay) {
        progress_end();
        const int written = judge_weights(&models, write_replay(trace, &models, o));
        ls_models_done(&models);
        ls_trace_close(trace);
        return written;
    }
    if (status == LOCKSTEP_OK)
        status = ls_verify(trace, &models, o->exact, &v, &error);
    progress_end();
    int result = EXIT_TROUBLE;
    if (status != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep verify: %s\n", error.message);
    } else {
        result = v.failed > 0 ? EXIT_DIVERGED : v.checked > 0 && trace->complete ? EXIT_MATCH : EXIT_TROUBLE;
        result = judge_weights(&models, result);
        const bool table = o->json == NULL || strcmp(o->json, "-") != 0;
        if ((table && !print(&v, o->all, o->color)) || (o->json != NULL && !write_json(&v, o->json)))
            result = EXIT_TROUBLE;
    }
    ls_verification_done(&v);
    ls_models_done(&models);
    ls_trace_close(trace);
    return result;
}

const command_row command_verify = {
    .name = "verify",
    .usage = "TRACE [--model FILE] [options]",
    .summary = "Computes each recorded operation again, in double precision, from its recorded inputs.",
    .exits = "0 every operation that was checked agrees, 1 one does not, 2 error, nothing checked, or an incomplete trace",
    .options = options,
    .options_size = sizeof(verify_options),
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
