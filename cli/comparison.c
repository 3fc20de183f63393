#include "comparison.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/pattern.h"
#include "base/progress.h"
#include "baseline.h"
#include "candidate_files.h"
#include "checkpoint/checkpoint_diff.h"
#include "command_line.h"
#include "diagnose/diagnose.h"
#include "diff/divergence.h"
#include "diff/proof.h"
#include "image/picture_file.h"
#include "progress.h"
#include "report/report.h"
#include "tensor/dtype.h"
#include "tensor/rounding.h"
#include "terminal.h"

const char *const sort_choices[] = {"order", "error", "layer", NULL}; /* as in ls_row_order */

ls_row_choice comparison_rows(const comparison_options *o) {
    ls_row_order order = LS_BY_EXECUTION;
    for (int i = 0; o->sort != NULL && i < LS_ROW_ORDER_COUNT; i++)
        order = strcmp(o->sort, sort_choices[i]) == 0 ? (ls_row_order)i : order;
    return (ls_row_choice){.all = o->all, .order = order};
}

/* A message about something that fails beside the comparison. */
static void complain(const char *command, const char *what, const lockstep_error *error) {
    progress_make_room();
    fprintf(stderr, "lockstep %s: %s: %s\n", command, what, error->message);
}

/* PATH, or "-" for standard output. */
static FILE *open_output(const char *path) { return strcmp(path, "-") == 0 ? stdout : fopen(path, "w"); }

static bool close_output(FILE *file, bool written) {
    bool flushed = fflush(file) == 0;
    return (file == stdout || fclose(file) == 0) && flushed && written;
}

bool comparison_write(const ls_text *text, const char *path) {
    FILE *file = open_output(path);
    bool ok = file != NULL && close_output(file, !text->failed && fwrite(text->data, 1, text->length, file) == text->length);
    if (!ok)
        perror(path);
    return ok;
}

bool comparison_write_report(ls_report_format format, const ls_comparison *comparison, const char *path) {
    FILE *file = open_output(path);
    bool ok = file != NULL && close_output(file, ls_report_write(format, comparison, file));
    if (!ok)
        perror(path);
    return ok;
}

bool comparison_write_checkpoint_report(ls_report_format format, const ls_checkpoint_report *report, const char *path) {
    FILE *file = open_output(path);
    bool ok = file != NULL && close_output(file, ls_report_write_checkpoints(format, report, file));
    if (!ok)
        perror(path);
    return ok;
}

void comparison_print(const comparison_options *o, const ls_text *table) {
    bool taken = table->data == NULL;
    for (int i = 0; i < LS_REPORT_COUNT; i++)
        taken = taken || (o->files[i] != NULL && strcmp(o->files[i], "-") == 0);
    if (!taken)
        fwrite(table->data, 1, table->length, stdout);
}

static void list_profiles(const char *command, const char *found) {
    fprintf(stderr, "lockstep %s: no profile '%s', expected one of", command, found);
    for (const ls_profile *p = ls_profiles; p->name != NULL; p++)
        fprintf(stderr, " %s", p->name);
    fprintf(stderr, "\n");
}

/* Two reports can't go to one place. */
static bool are_apart(const char *command, const comparison_options *o) {
    for (int i = 0; i < LS_REPORT_COUNT; i++)
        for (int k = 0; k < i; k++)
            if (o->files[i] != NULL && o->files[k] != NULL && strcmp(o->files[i], o->files[k]) == 0) {
                fprintf(stderr, "lockstep %s: two reports are to be written to %s\n", command, strcmp(o->files[i], "-") == 0 ? "standard output" : o->files[i]);
                return false;
            }
    return true;
}

bool comparison_has_pattern(const char *command, const comparison_options *o) {
    if (o->picture != NULL && o->files[LS_REPORT_HTML] == NULL) {
        fprintf(stderr, "lockstep %s: --picture adds pictures to a page, which --html FILE writes; `lockstep picture` writes one as PNG\n", command);
        return false;
    }
    if (!are_apart(command, o))
        return false;
    regex_t compiled;
    lockstep_error error;
    const bool ok = o->picture == NULL || ls_pattern_compile(o->picture, &compiled);
    if (!ok) {
        ls_pattern_refused(&error, "--picture", o->picture);
        fprintf(stderr, "lockstep %s: %s\n", command, error.message);
    } else if (o->picture != NULL) {
        regfree(&compiled);
    }
    return ok;
}

/* Before a comparison that may take long. */
static bool can_read_image(const char *command, const comparison_options *o) {
    ls_image image;
    lockstep_error error;
    if (o->image == NULL)
        return true;
    if (ls_image_open(o->image, &image, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep %s: --image: %s\n", command, error.message);
        return false;
    }
    ls_image_free(&image);
    return true;
}

bool comparison_understand(const char *command, const comparison_options *o, ls_diff_options *out) {
    *out = (ls_diff_options){.map = o->map, .preset = o->preset, .tensors = o->tensors, .layers = o->layers, .passes = o->passes,
                             .atol = isnan(o->atol) ? 0 : o->atol, .rtol = isnan(o->rtol) ? 0 : o->rtol,
                             .elementwise = !isnan(o->atol) || !isnan(o->rtol),
                             .min_coverage = isnan(o->min_coverage) ? LS_MIN_COVERAGE : o->min_coverage};
    out->models = o->candidate_models.items;
    out->model_count = o->candidate_models.count;
    out->exact = o->exact;
    out->image = o->image;
    out->accept = o->accept.items;
    out->accept_count = o->accept.count;
    out->profile = ls_profile_find(o->profile != NULL ? o->profile : "auto");
    if (out->profile == NULL)
        list_profiles(command, o->profile);
    else if (o->profile != NULL && out->elementwise)
        fprintf(stderr, "lockstep %s: --profile and --atol/--rtol exclude each other\n", command);
    else if (out->min_coverage > 1)
        fprintf(stderr, "lockstep %s: --min-coverage: found %g, expected 0 to 1\n", command, out->min_coverage);
    else
        return can_read_image(command, o) && comparison_has_pattern(command, o);
    return false;
}

/* A regular expression that matches exactly these names. */
static void name_weights(const ls_diff *diff, ls_text *out) {
    for (size_t i = 0; i < diff->result.weights.count; i++) {
        ls_text_printf(out, i == 0 ? "^(" : "|");
        ls_text_regex(out, ls_diff_graph(diff)->nodes[diff->result.weights.items[i]].name);
    }
    ls_text_printf(out, ")$");
}

/* The file that the reference opened, or the folder of all of them, as long as they are what they were. */
static bool find_reference_model(const ls_trace *trace, char *out, size_t capacity) {
    const ls_model_file *files = trace->model_files;
    const size_t count = trace->model_file_count;
    const char *slash = count > 0 ? strrchr(files[0].path, '/') : NULL;
    const size_t folder = slash != NULL ? (size_t)(slash - files[0].path) : 0;
    for (size_t i = 0; i < count && folder > 0; i++)
        if (ls_model_file_is_changed(&files[i]) || strncmp(files[i].path, files[0].path, folder + 1) != 0 || strchr(files[i].path + folder + 1, '/') != NULL)
            return false;
    const int length = snprintf(out, capacity, "%.*s", count == 1 ? INT_MAX : (int)folder, count > 0 ? files[0].path : "");
    return folder > 0 && length > 0 && (size_t)length < capacity;
}

static bool has_rounded_weights(const ls_trace *trace) {
    lockstep_dtype type;
    for (size_t i = 0; i < trace->node_count; i++)
        if (trace->nodes[i].role == LOCKSTEP_ROLE_WEIGHT && ls_dtype_find(trace->nodes[i].dtype, &type) && ls_rounding_is_lossy(type))
            return true;
    return false;
}

/* The reference's checkpoint, and the files of the candidate (a text model's and a tower's, say), whose weights are to be compared. */
typedef struct checkpoints {
    const char *reference, *candidates[CANDIDATE_FILES];
    size_t count;
    bool suspects_only; /* those that operations at fault read: of the others, the operations are right, and rounding hides nothing */
    char found[PATH_MAX];
} checkpoints;

/* Reading more than this for what a few weights hold is not worth it. */
static bool are_large(const char *const *paths, size_t count) {
    const off_t most = (off_t)4 << 30;
    off_t size = 0;
    struct stat status;
    for (size_t i = 0; i < count; i++)
        size += stat(paths[i], &status) == 0 ? status.st_size : 0;
    return size > most;
}

static bool has_fault(const ls_diff *diff) { return diff->is_replayed && diff->replay.origins > 0; }

static bool find_checkpoints(const comparison_options *o, const ls_diff *diff, checkpoints *out) {
    out->count = candidate_files(&o->candidate_models, diff->in.candidate.trace, out->candidates);
    out->reference = o->reference_model;
    const bool rounded = has_rounded_weights(diff->in.candidate.trace);
    out->suspects_only = out->reference == NULL && !rounded && are_large(out->candidates, out->count);
    if (out->reference == NULL && diff->is_replayed && (rounded || has_fault(diff)) && find_reference_model(diff->in.reference.trace, out->found, sizeof out->found))
        out->reference = out->found;
    return out->reference != NULL && out->count > 0 && (diff->result.weights.count > 0 || diff->is_replayed);
}

/* The weights in the reference's checkpoint and in a file of the candidate: all of them where the operations were computed, because coarse types hide what a
 * weight's own values show, or else those behind the first divergence. Nobody asked about those that the runs opened: that these can't be
 * compared is not said. */
static bool compare_weights(const char *command, const comparison_options *o, const checkpoints *c, const char *candidate, const ls_diff *diff, ls_checkpoint_diff *out) {
    ls_text names = {0};
    lockstep_error error;
    if (!diff->is_replayed)
        name_weights(diff, &names);
    char *suspects = c->suspects_only ? ls_proof_suspected_weights(diff) : NULL;
    ls_checkpoint_options wanted = {.what = LS_WHAT_WEIGHTS | LS_WHAT_CONFIG, .weights.tensors = c->suspects_only ? suspects : names.data};
    const bool all = diff->is_replayed && !c->suspects_only;
    const bool ok = (all || wanted.weights.tensors != NULL) && ls_checkpoint_diff_run(c->reference, candidate, &wanted, out, &error) == LOCKSTEP_OK;
    if (!ok && names.data == NULL && !diff->is_replayed)
        ls_fail(&error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (!ok && o->reference_model != NULL)
        complain(command, "no weights were compared", &error);
    ls_text_done(&names);
    free(suspects);
    return ok;
}

static bool is_read(const ls_trace *trace, const char *weight) {
    for (size_t i = 0; i < trace->node_count; i++)
        if (trace->nodes[i].role == LOCKSTEP_ROLE_WEIGHT && strcmp(trace->nodes[i].name, weight) == 0)
            return true;
    return false;
}

/* A weight is not the reference's as a whole, or some of its rows are not. Which one an operation reads is known, so that names which
 * contradict the content say nothing. */
static bool differs(const ls_checkpoint_diff *weights, size_t pair) {
    bool any = ls_weight_fails(&weights->weights.pairs[pair]);
    for (size_t i = 0; i < weights->finding_count && !any; i++)
        any = weights->findings[i].pair == pair && weights->findings[i].fails && weights->findings[i].kind != LS_FINDING_NAMES;
    return any;
}

/* What replay has found to be right can't differ by much: then the two weights are paired or transformed in a way that is not known. */
static bool is_credible(const ls_weight_pair *p) { return p->metrics.cosine > 0.9 && p->metrics.rel_l2 < 0.5; }

/* Says what a weight is, of the operations at fault that read it. Returns how many operations do. */
static size_t blame(const comparison_options *o, ls_diff *diff, const ls_weight_pair *p, const char *name, lockstep_dtype type) {
    const bool is_certain = is_credible(p) && (o->reference_model != NULL || ls_rounding_is_lossy(type)); /* else, replay would have seen it */
    ls_text text = {0};
    if (ls_weight_has_cause(p))
        ls_cause_text(&p->cause, &text);
    else if (p->region[0] != '\0')
        ls_text_printf(&text, "it is not the reference's in %s", p->region);
    const size_t count = ls_proof_blame_weight(diff, &(ls_wrong_weight){.name = name, .error = p->metrics.rel_l2, .rule = p->cause.id, .text = text.data, .left = sqrt(p->cause.residual), .is_certain = is_certain, .is_scaled = p->cause.id != NULL && strcmp(p->cause.id, "scale") == 0});
    ls_text_done(&text);
    return count;
}

static bool hold_the_same(const lockstep_archive *archive, size_t a, size_t b) {
    const ls_tensor *x = &archive->tensors[a], *y = &archive->tensors[b];
    ls_view v, w;
    return x->dtype == y->dtype && x->bytes == y->bytes && ls_archive_view(archive, a, &v, NULL) == LOCKSTEP_OK && ls_archive_view(archive, b, &w, NULL) == LOCKSTEP_OK &&
           ls_view_is_contiguous(&v) && ls_view_is_contiguous(&w) && memcmp(v.data, w.data, x->bytes) == 0;
}

/* The tensor of the reference's checkpoint that an operation at fault should read instead of this weight, of which `held` is known to be the
 * content; SIZE_MAX. */
static size_t find_wanted(const ls_diff *diff, const lockstep_archive *reference, const ls_tensor *weight, const char *held) {
    const size_t wanted = ls_proof_wanted_weight(diff, weight->name, held, weight->elements);
    for (size_t i = 0; i < reference->tensor_count && wanted != LS_NONE; i++)
        if (reference->tensors[i].elements == weight->elements && ls_proof_is_same_name(reference->tensors[i].name, diff->in.reference.trace->nodes[wanted].name))
            return i;
    return SIZE_MAX;
}

/* Where neither names nor content could pair a weight, the operation that reads it tells which of the reference's it should be. */
static void pair_suspects(const ls_diff *diff, ls_checkpoint_diff *weights) {
    const lockstep_archive *reference = weights->sides[LS_REFERENCE].archive, *candidate = weights->sides[LS_CANDIDATE].archive;
    lockstep_error error;
    for (size_t i = 0; i < candidate->tensor_count && has_fault(diff); i++) {
        const size_t wanted = weights->weights.paired[LS_CANDIDATE][i] ? SIZE_MAX : find_wanted(diff, reference, &candidate->tensors[i], "");
        if (wanted != SIZE_MAX && !weights->weights.paired[LS_REFERENCE][wanted] && ls_checkpoint_diff_pair(weights, wanted, i, &error) != LOCKSTEP_OK)
            return;
    }
}

/* The weight's content is that of another one of the reference than the operation at fault should read, as its partner does. */
static void blame_another(ls_diff *diff, const ls_checkpoint_diff *weights, const ls_weight_pair *p, const char *name) {
    const lockstep_archive *reference = weights->sides[LS_REFERENCE].archive;
    const size_t own = p->part[LS_REFERENCE].tensor, wanted = find_wanted(diff, reference, &weights->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor], reference->tensors[own].name);
    if (wanted == SIZE_MAX || hold_the_same(reference, wanted, own))
        return;
    ls_text text = {0};
    ls_text_printf(&text, "it holds the reference's %s", reference->tensors[own].name);
    ls_proof_blame_weight(diff, &(ls_wrong_weight){.name = name, .error = NAN, .rule = "swapped-with", .text = text.data, .left = sqrt(p->metrics.nmse)});
    ls_text_done(&text);
}

/* A weight that an operation reads, and that is not the reference's, is a divergence, even where rounding hides it. Where the user did not
 * name the reference's checkpoint, only what is credible counts, or what an operation at fault reads. Returns how many there are. */
static size_t judge_weights(const comparison_options *o, ls_diff *diff, ls_checkpoint_diff *weights) {
    size_t count = 0;
    pair_suspects(diff, weights);
    for (size_t i = 0; i < weights->weights.pair_count; i++) {
        ls_weight_pair *p = &weights->weights.pairs[i];
        const char *name = weights->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor].name;
        if (!ls_verdict_is_known(p->verdict) || !is_read(diff->in.candidate.trace, name))
            continue;
        if (!differs(weights, i)) {
            blame_another(diff, weights, p, name);
            continue;
        }
        const size_t blamed = blame(o, diff, p, name, weights->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor].dtype);
        p->is_refuted = blamed == 0 && o->reference_model == NULL && ls_proof_is_read_right(diff, name);
        if (blamed == 0 && o->reference_model == NULL)
            continue;
        if (ls_outcome_is_match(diff->result.outcome)) {
            diff->result.outcome = LS_OUTCOME_DIVERGED;
            diff->result.reason = (ls_remark){.code = LS_REMARK_WEIGHT_DIFFERS, .text = name};
        }
        count++;
    }
    return count;
}

/* Lists the weights that are the reference's. They are known for later only if all are: another prompt may read one that is not. */
static void list_alike(const ls_checkpoint_diff *weights, alike_weights *out) {
    for (size_t i = 0; i < weights->weights.pair_count; i++) {
        const ls_weight_pair *p = &weights->weights.pairs[i];
        if (!ls_verdict_is_known(p->verdict))
            continue;
        if (differs(weights, i))
            out->key = 0;
        else
            alike_weights_add(out, weights->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor].name);
    }
}

/* Of the weights of the candidate's graph. */
static size_t count_alike(const ls_trace *trace, const alike_weights *alike) {
    size_t count = 0;
    for (size_t i = 0; i < trace->node_count; i++)
        count += trace->nodes[i].role == LOCKSTEP_ROLE_WEIGHT && alike_weights_have(alike, trace->nodes[i].name);
    return count;
}

/* Keeps what a comparison of weights showed: of the first file that has a wrong one, or else of the first. */
static void keep_checkpoints(ls_checkpoint_diff *weights, bool is_wrong, bool *is_wrong_kept, comparison_result *out) {
    ls_checkpoint_diff *other = out->checkpoints == NULL || (is_wrong && !*is_wrong_kept) ? out->checkpoints : weights;
    out->checkpoints = other == weights ? out->checkpoints : weights;
    *is_wrong_kept = *is_wrong_kept || is_wrong;
    if (other != NULL)
        ls_checkpoint_diff_done(other);
    free(other);
}

/* Compares the weights of each file, and lists those that are the reference's. Returns how many are not. */
static size_t weigh_files(const char *command, const comparison_options *o, const checkpoints *c, ls_diff *diff, alike_weights *alike, comparison_result *out) {
    size_t count = 0;
    bool is_wrong_kept = false;
    for (size_t i = 0; i < c->count; i++) {
        ls_checkpoint_diff *weights = calloc(1, sizeof *weights); /* large, and must not move */
        if (weights == NULL || !compare_weights(command, o, c, c->candidates[i], diff, weights)) {
            free(weights);
            continue;
        }
        const size_t wrong = judge_weights(o, diff, weights);
        if (!c->suspects_only)
            list_alike(weights, alike);
        keep_checkpoints(weights, wrong > 0, &is_wrong_kept, out);
        count += wrong;
    }
    return count;
}

/* Whether weights are to be reported. */
static bool weigh(const char *command, const comparison_options *o, ls_diff *diff, alike_weights *alike, comparison_result *out) {
    lockstep_error error;
    checkpoints c;
    if (!find_checkpoints(o, diff, &c))
        return false;
    const uint64_t key = alike_weights_key(c.reference, c.candidates, c.count);
    const bool known = o->reference_model == NULL && !c.suspects_only && alike->key == key;
    if (!known)
        alike_weights_begin(alike, key);
    const size_t count = known ? 0 : weigh_files(command, o, &c, diff, alike, out);
    if (!known && (out->checkpoints == NULL || c.suspects_only))
        alike_weights_begin(alike, 0);
    if (!known && out->checkpoints == NULL)
        return false;
    diff->weights_alike = c.suspects_only ? 0 : count_alike(diff->in.candidate.trace, alike);
    if (count > 0 && diff->is_replayed && ls_divergence_find(diff, &error) != LOCKSTEP_OK)
        complain(command, "the first divergence could not be found again", &error);
    return count > 0 || o->reference_model != NULL;
}

void comparison_explain(const char *command, const comparison_options *o, ls_diff *diff, alike_weights *alike, comparison_result *out) {
    lockstep_error error;
    out->oracle = (ls_oracle){0};
    out->kept = (ls_result){0};
    out->checkpoints = NULL;
    const bool weighed = weigh(command, o, diff, alike, out);
    ls_progress_begin(LS_STAGE_EXPLAINING, 0);
    const bool diagnosed = ls_diagnose(diff, &out->diagnosis, &error) == LOCKSTEP_OK;
    ls_progress_end(LS_STAGE_EXPLAINING);
    if (!diagnosed)
        complain(command, "no cause could be determined", &error);
    ls_predictions_compare(diff, &out->predictions);
    const bool asked = o->oracle != NULL && ls_oracle_ask(diff, o->oracle, &out->oracle, &error) == LOCKSTEP_OK;
    if (o->oracle != NULL && !asked)
        complain(command, "--oracle", &error);
    out->comparison = (ls_comparison){.diff = diff, .diagnosis = &out->diagnosis, .oracle = asked ? &out->oracle : NULL, .weights = weighed ? out->checkpoints : NULL, .predictions = &out->predictions,
                                      .checkpoints = out->checkpoints, .command = command_line(), .picture = o->picture, .kept = &out->kept};
    out->status = o->oracle != NULL && !asked ? EXIT_TROUBLE : o->model_only && diff->result.outcome == LS_OUTCOME_MODEL_MATCH ? EXIT_MATCH : ls_outcome_exit_status(diff->result.outcome);
}

void comparison_done(comparison_result *result) {
    ls_oracle_done(&result->oracle);
    ls_result_done(&result->kept);
    if (result->checkpoints != NULL)
        ls_checkpoint_diff_done(result->checkpoints);
    free(result->checkpoints);
}

int comparison_report(const char *command, const comparison_options *o, ls_diff *diff) {
    comparison_result result;
    alike_weights alike = {0};
    ls_text table = {0}, more = {0}, explain = {0};
    const ls_row_choice rows = comparison_rows(o);
    const ls_screen screen = terminal_screen(o->color);
    progress_begin(NULL);
    comparison_explain(command, o, diff, &alike, &result);
    progress_end();
    int status = result.status;
    ls_result baseline = {0}; /* read before a report is written, which may be to its path */
    const bool has_baseline = o->baseline != NULL && baseline_open(command, o->baseline, &baseline);
    status = o->baseline != NULL && !has_baseline ? EXIT_TROUBLE : status;
    for (int i = 0; i < LS_REPORT_COUNT; i++)
        if (o->files[i] != NULL && !comparison_write_report((ls_report_format)i, &result.comparison, o->files[i]))
            status = EXIT_TROUBLE;
    if (!o->all)
        command_line_with("--all", &more);
    result.comparison.more = more.data;
    if (strcmp(command, "diff") == 0)
        command_line_of("explain", diff->in.reference.trace->path, diff->in.candidate.trace->path, &explain);
    result.comparison.explain = explain.data;
    ls_report_terminal(&result.comparison, &rows, &screen, &table);
    if (has_baseline)
        status = baseline_compare(command, ls_report_result_of_traces(&result.comparison), &baseline, status, &table);
    comparison_print(o, &table);
    ls_result_done(&baseline);
    ls_text_done(&more);
    ls_text_done(&explain);
    ls_text_done(&table);
    comparison_done(&result);
    alike_weights_done(&alike);
    return status;
}
