#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/columns.h"
#include "base/escape.h"
#include "base/nearest.h"
#include "base/progress.h"
#include "commands.h"
#include "comparison.h"
#include "diff/diff.h"
#include "report/remarks.h"
#include "parity/fingerprint.h"
#include "parity/parity_file.h"
#include "launch/unrecorded.h"
#include "progress.h"
#include "run_lines.h"
#include "terminal.h"

typedef struct run_options {
    const char *only, *color;
    bool skip_reference, skip_candidate, why;
} run_options;

#define FIELD(name) offsetof(run_options, name)
static const option_row options[] = {
    {"--only", OPTION_TEXT, FIELD(only), "PROMPT", "one prompt, by its name or number (from 1)", NULL},
    {"--skip-reference", OPTION_FLAG, FIELD(skip_reference), NULL, "use the existing references, changed or not", NULL},
    {"--skip-candidate", OPTION_FLAG, FIELD(skip_candidate), NULL, "use the existing candidates", NULL},
    {"--why", OPTION_FLAG, FIELD(why), NULL, "say why a reference is recorded again, or isn't", NULL},
    COLOR_ROW(FIELD(color)),
    {0},
};

/* One prompt that is being run. */
typedef struct prompt_run {
    const ls_parity *parity;
    const ls_parity_prompt *prompt;
    const run_options *options;
    comparison_options comparison;
    alike_weights *alike; /* of all prompts */
    ls_diff_options wanted;
    char folder[PATH_MAX];
    char tokens[1 << 16]; /* for {tokens}; "" until they are known */
    char told[400];       /* the last column of the prompt's line */
    ls_text why;
    bool reused; /* the reference was not recorded again */
} prompt_run;

static void tell(prompt_run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(prompt_run *r, const char *format, ...) {
    char raw[380];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    ls_escape(raw, strlen(raw), r->told, sizeof r->told);
}

static bool path_of(const prompt_run *r, const char *name, char out[PATH_MAX]) {
    return (size_t)snprintf(out, PATH_MAX, "%s/%s", r->folder, name) < PATH_MAX;
}

/* ------------------------------------------------------------------ the words */

static bool put_word(const prompt_run *r, const char *word, ls_text *out, const char **lacks) {
    const struct {
        const char *mark, *value;
    } marks[] = {{"{prompt}", r->prompt->text}, {"{tokens}", r->tokens[0] != '\0' ? r->tokens : NULL}, {"{out}", r->folder}};
    while (*word != '\0') {
        size_t k = 0;
        while (k < 3 && strncmp(word, marks[k].mark, strlen(marks[k].mark)) != 0)
            k++;
        if (k < 3 && marks[k].value == NULL)
            return *lacks = marks[k].mark, false;
        if (k < 3)
            ls_text_append(out, marks[k].value, strlen(marks[k].value));
        else
            ls_text_append(out, word, 1);
        word += k < 3 ? strlen(marks[k].mark) : 1;
    }
    return !out->failed;
}

static void free_words(char **words) {
    for (char **w = words; w != NULL && *w != NULL; w++)
        free(*w);
    free(words);
}

/* The command with its placeholders replaced; NULL, with a message, when a value is missing. */
static char **fill_in(prompt_run *r, const ls_parity_side *side) {
    size_t count = 0;
    while (side->command[count] != NULL)
        count++;
    char **words = calloc(count + 1, sizeof *words);
    const char *lacks = "memory";
    for (size_t i = 0; words != NULL && i < count; i++) {
        ls_text word = {0};
        if (!put_word(r, side->command[i], &word, &lacks)) {
            ls_text_done(&word);
            free_words(words);
            words = NULL;
            break;
        }
        words[i] = strdup(word.data != NULL ? word.data : "");
        ls_text_done(&word);
    }
    if (words == NULL)
        tell(r, "this prompt has no value for %s", lacks);
    return words;
}

/* ------------------------------------------------------------------ recording */

/* The last line that a command printed; "" when it printed nothing. */
static void last_line(const char *log, char *out, size_t capacity) {
    FILE *file = fopen(log, "r");
    char line[400] = "";
    out[0] = '\0';
    if (file != NULL && fseek(file, -4000, SEEK_END) != 0)
        rewind(file);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[strspn(line, " \t")] != '\0')
            snprintf(out, capacity, "%s", line);
    }
    if (file != NULL)
        fclose(file);
}

static void tell_unrecorded(prompt_run *r, const char *which, const char *command, const ls_observed *done) {
    ls_text why = {0};
    ls_explain_unrecorded(command, done, &why);
    tell(r, "%s: %s", which, why.data != NULL ? why.data : "out of memory");
    ls_text_done(&why);
}

static bool capture(prompt_run *r, const char *which, const ls_parity_side *side, char **words) {
    char out[PATH_MAX], log[PATH_MAX], log_name[32], said[200];
    ls_observed done;
    lockstep_error error;
    snprintf(log_name, sizeof log_name, "%s.log", which);
    if (!path_of(r, which, out) || !path_of(r, log_name, log)) {
        tell(r, "the name is too long");
        return false;
    }
    ls_observe_options wanted = {.directory = out, .tensors = side->tensors, .ops = side->ops, .layers = side->layers, .passes = side->passes,
                                 .what = side->observe, .log = log, .environment = side->environment};
    ls_progress_begin(LS_STAGE_RECORDING, 0);
    lockstep_status status = ls_observe(&wanted, words, &done, &error);
    ls_progress_end(LS_STAGE_RECORDING);
    last_line(log, said, sizeof said);
    if (status != LOCKSTEP_OK)
        tell(r, "%s: %s", which, error.message);
    else if (done.not_started != 0)
        tell(r, "%s: %s: %s", which, words[0], strerror(done.not_started));
    else if (done.exit != 0)
        tell(r, "the %s's command ended with status %d: %s (%s)", which, done.exit, said, log);
    else if (ls_recorded_nothing(&done))
        tell_unrecorded(r, which, words[0], &done);
    else if (done.totals.dropped > 0)
        tell(r, "the %s's recording lost the values of %llu tensors: %s", which, (unsigned long long)done.totals.dropped, done.totals.reason);
    else if (*done.totals.not_placed != '\0')
        tell(r, "%s can't be replaced: %s", out, done.totals.not_placed);
    else if (!done.whole)
        tell(r, "the %s's recording is incomplete: %s", which, done.totals.reason);
    else
        return true;
    return false;
}

static char *read_whole(const char *path) {
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t length = 0;
    if (file == NULL)
        return NULL;
    if (getdelim(&text, &length, '\0', file) < 0) {
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

static bool is_trace(const prompt_run *r, const char *which) {
    char path[PATH_MAX], inner[64];
    struct stat info;
    snprintf(inner, sizeof inner, "%s/trace.jsonl", which);
    return path_of(r, inner, path) && stat(path, &info) == 0;
}

/* Written beside the recording, as the last step: after a change, or if this is never reached, the reference is recorded again. */
static bool keep_fingerprint(prompt_run *r, ls_text *now, const char *trace, const char *path) {
    char recording[LS_RECORDING_HASH];
    lockstep_error error;
    if (ls_fingerprint_recording(trace, recording, &error) == LOCKSTEP_OK && ls_fingerprint_seal(now, recording, &error) == LOCKSTEP_OK)
        return comparison_write(now, path);
    tell(r, "%s", error.message);
    return false;
}

static bool record_reference(prompt_run *r, char **words) {
    const ls_parity_side *side = &r->parity->reference;
    char path[PATH_MAX], trace[PATH_MAX];
    ls_text now = {0}, filters = {0};
    lockstep_error error;
    const char *const values[] = {side->observe, side->tensors, side->ops, side->layers, side->passes};
    static const char *const names[] = {"observe", "tensors", "ops", "layers", "passes"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ls_text_printf(&filters, "%s=%s\n", names[i], values[i] != NULL ? values[i] : "");
    bool ready = path_of(r, "reference.json", path) && path_of(r, "reference", trace) && filters.data != NULL && !filters.failed;
    if (!ready)
        ls_fail(&error, LOCKSTEP_NO_MEMORY, "out of memory, or the name is too long");
    if (!ready || ls_fingerprint(&(ls_fingerprint_of){words, side->environment, filters.data, r->parity->out}, &now, &error) != LOCKSTEP_OK) {
        tell(r, "%s", error.message);
        ls_text_done(&filters);
        ls_text_done(&now);
        return false;
    }
    ls_text_done(&filters);
    char recording[LS_RECORDING_HASH], *before = is_trace(r, "reference") ? read_whole(path) : NULL;
    bool known = ls_fingerprint_recording(trace, recording, NULL) == LOCKSTEP_OK;
    r->reused = ls_fingerprint_matches(before, now.data, known ? recording : NULL, &r->why);
    free(before);
    bool done = r->reused || (capture(r, "reference", side, words) && keep_fingerprint(r, &now, trace, path));
    ls_text_done(&now);
    return done;
}

static bool have_reference(prompt_run *r) {
    if (r->options->skip_reference) {
        ls_text_printf(&r->why, "--skip-reference");
        if (!is_trace(r, "reference"))
            tell(r, "there is no reference to use: %s/reference", r->folder);
        return is_trace(r, "reference");
    }
    char **words = fill_in(r, &r->parity->reference);
    bool done = words != NULL && record_reference(r, words);
    free_words(words);
    return done;
}

static int32_t first_position(const ls_pass *pass) { return pass->positions != NULL ? pass->positions[0] : 0; }

/* The candidate gets the ids that the reference was given: the first pass, and those that
 * continue the prompt in batches. (One row is a step of decoding.) False, with a message, when
 * they don't fit. */
static bool learn_tokens(prompt_run *r) {
    char path[PATH_MAX];
    ls_trace *trace;
    size_t used = 0, rows = 0;
    bool fits = true;
    if (r->tokens[0] != '\0' || !path_of(r, "reference", path) || ls_trace_open(path, &trace, NULL) != LOCKSTEP_OK)
        return true;
    for (size_t p = 0; fits && p < trace->pass_count; p++) {
        const ls_pass *pass = &trace->passes[p];
        if (pass->tokens == NULL)
            continue;
        if (rows > 0 && (pass->rows == 1 || first_position(pass) != (int32_t)rows))
            break;
        for (size_t i = 0; fits && i < pass->rows; i++) {
            fits = used + 16 < sizeof r->tokens;
            if (fits)
                used += (size_t)snprintf(r->tokens + used, sizeof r->tokens - used, "%s%d", used > 0 ? "," : "", pass->tokens[i]);
        }
        rows += pass->rows;
    }
    ls_trace_close(trace);
    if (!fits)
        tell(r, "the reference's prompt is too long for {tokens}");
    return fits;
}

static bool have_candidate(prompt_run *r) {
    if (r->options->skip_candidate) {
        if (!is_trace(r, "candidate"))
            tell(r, "there is no candidate to use: %s/candidate", r->folder);
        return is_trace(r, "candidate");
    }
    char **words = learn_tokens(r) ? fill_in(r, &r->parity->candidate) : NULL;
    bool done = words != NULL && capture(r, "candidate", &r->parity->candidate, words);
    free_words(words);
    return done;
}

/* ------------------------------------------------------------------ comparing */

/* The earliest divergence of all prompts, for the last line. */
typedef struct earliest {
    bool known;
    size_t pass, order;
    char text[500];
} earliest;

static void describe(const ls_diff *d, const ls_diagnosis *diagnosis, char *out, size_t capacity) {
    const ls_pair *p = &d->pairs.items[d->result.first];
    const ls_node *c = &d->in.candidate.trace->nodes[p->candidate], *n = &d->in.reference.trace->nodes[p->reference];
    int layer = c->layer >= 0 ? c->layer : n->layer;
    char where[32] = "";
    if (layer >= 0)
        snprintf(where, sizeof where, ", layer %d", layer);
    snprintf(out, capacity, "%.120s%s%.40s%s%s, pass %zu; reference %.160s%s%s", c->name, *c->op != '\0' ? " (" : "", c->op, *c->op != '\0' ? ")" : "",
             where, c->pass == LS_NONE ? 0 : c->pass, n->name, diagnosis->cause_count > 0 ? "; cause " : "", diagnosis->cause_count > 0 ? diagnosis->causes[0].id : "");
}

static int compare(prompt_run *r, earliest *first) {
    char reference[PATH_MAX], candidate[PATH_MAX], path[PATH_MAX];
    ls_diff *d;
    comparison_result result;
    lockstep_error error;
    if (!path_of(r, "reference", reference) || !path_of(r, "candidate", candidate))
        return EXIT_TROUBLE;
    if (ls_diff_paths(reference, candidate, &r->wanted, &d, &error) != LOCKSTEP_OK) {
        tell(r, "%s", error.message);
        return EXIT_TROUBLE;
    }
    ls_text table = {0};
    comparison_explain("run", &r->comparison, d, r->alike, &result);
    ls_report_terminal(&result.comparison, &(ls_row_choice){.all = r->comparison.all}, &ls_screen_of_files, &table);
    bool written = path_of(r, "report.json", path) && comparison_write_report(LS_REPORT_JSON, &result.comparison, path) && path_of(r, "report.txt", path) && comparison_write(&table, path);
    written = written && path_of(r, "report.html", path) && comparison_write_report(LS_REPORT_HTML, &result.comparison, path);
    int status = result.status;
    ls_text_done(&table);
    if (d->result.first != LS_NONE) {
        char where[500];
        size_t pass = d->in.candidate.trace->nodes[d->pairs.items[d->result.first].candidate_value].pass, order = d->pairs.items[d->result.first].candidate_value;
        describe(d, &result.diagnosis, where, sizeof where);
        tell(r, "%s", where);
        if (!first->known || pass < first->pass || (pass == first->pass && order < first->order)) {
            *first = (earliest){.known = true, .pass = pass, .order = order};
            snprintf(first->text, sizeof first->text, "%.60s: %.400s", r->prompt->name, r->told);
        }
    } else {
        ls_text reason = {0}, shorter = {0};
        ls_remark_text(d, &d->result.reason, &reason);
        if (d->matching.tokens.status == LS_INPUTS_SHORTER)
            ls_inputs_text(&d->matching.tokens, &shorter);
        tell(r, "%s%s%.1f %% of elements compared%s%s%s", reason.length > 0 ? reason.data : "", reason.length > 0 ? "; " : "", 100 * d->result.coverage,
             ls_diff_is_eager(d) ? "; compiled regions ran eagerly" : "", shorter.length > 0 ? "; " : "", shorter.length > 0 ? shorter.data : "");
        ls_text_done(&reason);
        ls_text_done(&shorter);
    }
    comparison_done(&result);
    ls_diff_free(d);
    return written ? status : EXIT_TROUBLE;
}

static int run_prompt(prompt_run *r, earliest *first) {
    if ((size_t)snprintf(r->folder, sizeof r->folder, "%s/%s", r->parity->out, r->prompt->name) >= sizeof r->folder ||
        (mkdir(r->folder, 0777) != 0 && errno != EEXIST)) {
        tell(r, "%s: %s", r->folder, strerror(errno));
        return EXIT_TROUBLE;
    }
    static const char *const old[] = {"report.txt", "report.json", "report.html"}; /* of an earlier run, not of this one */
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        if (path_of(r, old[i], path))
            remove(path);
    if (r->prompt->tokens != NULL && strlen(r->prompt->tokens) < sizeof r->tokens)
        strcpy(r->tokens, r->prompt->tokens);
    return have_reference(r) && have_candidate(r) ? compare(r, first) : EXIT_TROUBLE;
}

/* ------------------------------------------------------------------ all of them */

static bool is_chosen(const run_options *o, const ls_parity_prompt *prompt, size_t index) {
    char number[32];
    snprintf(number, sizeof number, "%zu", index + 1);
    return o->only == NULL || strcmp(o->only, prompt->name) == 0 || (prompt->given != NULL && strcmp(o->only, prompt->given) == 0) || strcmp(o->only, number) == 0 ||
           (prompt->text != NULL && strcmp(o->only, prompt->text) == 0);
}

static void refuse_prompt(const ls_parity *parity, const char *only) {
    char shown[200];
    const char *best = NULL;
    for (size_t i = 0; i < parity->prompt_count; i++)
        best = ls_nearer(only, best, parity->prompts[i].name);
    ls_escape(best != NULL ? best : "", best != NULL ? strlen(best) : 0, shown, sizeof shown);
    fprintf(stderr, "lockstep run: --only %s: no prompt has this name or number%s%s%s\n", only, best != NULL ? " (did you mean '" : "", shown, best != NULL ? "'?)" : "");
}

/* Opens the directory of the results, and keeps other runs out of it meanwhile. -1, with a
 * message, when that fails. */
static int open_out(const ls_parity *parity) {
    int out = mkdir(parity->out, 0777) == 0 || errno == EEXIST ? open(parity->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (out < 0) {
        fprintf(stderr, "lockstep run: %s: %s\n", parity->out, strerror(errno));
    } else if (flock(out, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        fprintf(stderr, "lockstep run: %s: another run is writing there; wait until it ends, or choose another 'out'\n", parity->out);
        close(out);
        out = -1;
    }
    return out;
}

/* Of the prompts' names. */
static int widest_name(const ls_parity *parity, const run_options *o) {
    enum { LEAST = 6, MOST = 32 };
    int width = LEAST;
    for (size_t i = 0; i < parity->prompt_count; i++) {
        const int columns = is_chosen(o, &parity->prompts[i], i) ? ls_columns_of(parity->prompts[i].name) : 0;
        width = columns > width ? columns : width;
    }
    return width < MOST ? width : MOST;
}

/* False if out of memory. */
static bool run_chosen(const prompt_run *model, const ls_screen *screen, int width, run_totals *t, earliest *first) {
    prompt_run *r = malloc(sizeof *r);
    if (r == NULL)
        return false;
    *r = *model;
    progress_begin(r->prompt->name);
    const int status = run_prompt(r, first);
    progress_end();
    t->by_status[status]++;
    t->reused += r->reused;
    run_line_print(screen, width, &(run_line){.name = r->prompt->name, .told = r->told, .why = r->options->why ? r->why.data : NULL, .status = status});
    ls_text_done(&r->why);
    free(r);
    return true;
}

static int run_all(const ls_parity *parity, const run_options *o, const comparison_options *comparison, const ls_diff_options *wanted) {
    const ls_screen screen = terminal_screen(o->color);
    alike_weights alike = {0};
    run_totals t = {.folder = parity->out};
    earliest first = {0};
    const int width = widest_name(parity, o);
    size_t count = 0;
    bool ok = true;
    for (size_t i = 0; i < parity->prompt_count && ok; i++) {
        if (!is_chosen(o, &parity->prompts[i], i))
            continue;
        count++;
        ok = run_chosen(&(prompt_run){.parity = parity, .prompt = &parity->prompts[i], .options = o, .comparison = *comparison, .wanted = *wanted, .alike = &alike}, &screen, width, &t, &first);
    }
    alike_weights_done(&alike);
    if (!ok)
        return EXIT_TROUBLE;
    if (count == 0) {
        refuse_prompt(parity, o->only);
        return EXIT_TROUBLE;
    }
    t.earliest = first.known ? first.text : NULL;
    run_totals_print(&screen, &t);
    return t.by_status[EXIT_TROUBLE] > 0 ? EXIT_TROUBLE : t.by_status[EXIT_DIVERGED] > 0 ? EXIT_DIVERGED : EXIT_MATCH;
}

static int run(const arguments *args, const void *parsed) {
    const char *path = args->positional_count > 0 ? args->positional[0] : "parity.yaml";
    ls_parity parity;
    ls_diff_options wanted;
    lockstep_error error;
    if (ls_parity_open(path, &parity, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep run: %s%s\n", error.message, args->positional_count > 0 ? "" : " ('lockstep init' writes one)");
        return EXIT_TROUBLE;
    }
    comparison_options comparison = {.map = parity.map, .preset = parity.preset, .profile = parity.profile, .tensors = parity.tensors,
                                     .layers = parity.layers, .atol = parity.atol, .rtol = parity.rtol, .min_coverage = parity.min_coverage,
                                     .accept.count = parity.accept_count};
    memcpy(comparison.accept.items, parity.accept, sizeof parity.accept);
    _Static_assert(sizeof parity.accept == sizeof comparison.accept.items, "both hold as many");
    int out = comparison_understand("run", &comparison, &wanted) ? open_out(&parity) : -1;
    int status = out >= 0 ? run_all(&parity, parsed, &comparison, &wanted) : EXIT_TROUBLE;
    if (out >= 0)
        close(out);
    ls_parity_done(&parity);
    return status;
}

const command_row command_run_all = {
    .name = "run",
    .usage = "[parity.yaml] [options]",
    .summary = "Records and compares both sides for each prompt of a file.",
    .exits = "0 all match, 1 some diverged, 2 some could not be run or compared",
    .options = options,
    .options_size = sizeof(run_options),
    .min_positional = 0,
    .max_positional = 1,
    .run = run,
};
