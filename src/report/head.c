#include "report/head.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/columns.h"
#include "report/cells.h"
#include "report/remarks.h"
#include "report/replay_report.h"
#include "report/styles.h"
#include "report/summary_lines.h"
#include "report/titles.h"
#include "report/totals.h"

static const char *plain_float(const char *dtype) {
    return strcmp(dtype, "f32") == 0 ? "float32" : strcmp(dtype, "f16") == 0 ? "float16" : strcmp(dtype, "bf16") == 0 ? "bfloat16" : dtype;
}

/* The element type of most computed values. */
static const char *main_dtype(const ls_trace *t) {
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        if (n->role == LOCKSTEP_ROLE_COMPUTED && n->elements > 0 && (*n->dtype == 'f' || *n->dtype == 'b'))
            return plain_float(n->dtype);
    }
    return "";
}

static size_t own_values(const ls_values *v) {
    size_t count = 0;
    for (size_t i = 0; i < v->trace->node_count; i++)
        count += ls_values_is_own(v, i) && v->trace->nodes[i].elements > 0;
    return count;
}

/* In one line: a path that is too long loses its middle, and so does the model after it. */
static void put_side(const ls_screen *screen, ls_text *out, const char *role, const ls_trace *t, const ls_values *v) {
    enum { LABEL = 11, GAPS = 4, LEAST = 16 };
    char path[LS_TITLE], engine[LS_TITLE], text[LS_TITLE], rest[200];
    ls_title_text(t->path, path, sizeof path);
    snprintf(text, sizeof text, "%s%s%s%s%s", *t->engine != '\0' ? t->engine : "unknown engine", *t->version ? " " : "", t->version, *t->model ? " " : "", t->model);
    ls_title_text(text, engine, sizeof engine);
    const size_t count = own_values(v);
    snprintf(rest, sizeof rest, "%zu tensor%s  %.32s%s", count, count == 1 ? "" : "s", main_dtype(t), t->complete ? "" : "  " LS_BAD "INCOMPLETE" LS_PLAIN);
    const int room = screen->width <= 0 ? INT_MAX : screen->width - LABEL - GAPS - ls_columns_of(rest);
    const int of_path = room - ls_columns_of(engine) > LEAST ? room - ls_columns_of(engine) : LEAST;
    ls_text_printf(out, "%-*s", LABEL, role);
    const int taken = ls_put_cut(screen, path, of_path, out);
    ls_text_printf(out, "  ");
    ls_put_cut(screen, engine, room - taken > LEAST ? room - taken : LEAST, out);
    ls_text_printf(out, "  %s\n", rest);
}

static const char *who_lacks_rows(const ls_diff *d) {
    const bool reference = ls_trace_first_with_tokens(d->in.reference.trace) != LS_NONE, candidate = ls_trace_first_with_tokens(d->in.candidate.trace) != LS_NONE;
    return reference ? "the candidate records no token ids" : candidate ? "the reference records no token ids" : "neither side records token ids";
}

static void put_inputs(ls_text *out, const ls_diff *d) {
    const ls_token_alignment *r = &d->matching.tokens;
    switch (r->status) {
    case LS_INPUTS_UNKNOWN:
        if (!d->in.reference.trace->is_graph || !d->in.candidate.trace->is_graph)
            break;
        ls_text_printf(out, "inputs     unknown: %s; passes are paired %s", who_lacks_rows(d), r->chosen != NULL ? "as --passes says" : r->by_weights ? "by the weights that they read" : "in order");
        if (r->left_out > 0)
            ls_text_printf(out, "; %zu further passes of the candidate left out", r->left_out);
        ls_text_printf(out, "\n");
        break;
    case LS_INPUTS_EQUAL:
    case LS_INPUTS_SHORTER: {
        size_t extra = r->candidate_rows - r->matched;
        bool shifted = false;
        for (size_t i = 0; i < r->pair_count && r->padding > 0; i++)
            shifted = shifted || ls_pass_pair_is_shifted(&r->pairs[i], d->in.reference.trace, d->in.candidate.trace);
        if (r->matched == 0) {
            ls_text_printf(out, "inputs     passes are paired as --passes says; one side of each has no token ids\n");
            break;
        }
        ls_text_printf(out, "inputs     token ids %sequal%s (%zu rows in %zu pass%s)", shifted ? "" : "and positions ",
                       shifted ? ", positions shifted by padding" : "", r->matched, r->pair_count,
                       r->pair_count == 1 ? "" : "es");
        if (extra > 0)
            ls_text_printf(out, "; %zu further rows of the candidate left out (another run, sequence or a longer prompt)", extra);
        if (r->padding > 0)
            ls_text_printf(out, "; %zu rows of padding left out", r->padding);
        if (r->given.count > 0 && r->chosen == NULL)
            ls_text_printf(out, "; %zu rows, from position %d on, are embeddings in the candidate where the reference has token %d", r->given.count, r->given.position, r->given.token);
        ls_text_printf(out, "\n");
        break;
    }
    case LS_INPUTS_PARTIAL:
    case LS_INPUTS_DIFFER:
        ls_text_printf(out, "inputs     " LS_BAD "DIFFER" LS_PLAIN ": ");
        ls_inputs_text(r, out);
        ls_text_printf(out, "\n");
    }
}

static void put_pairing(ls_text *out, const ls_diff *d) {
    size_t paired = d->matching.candidate_total - d->matching.candidate_only_count - d->matching.absorbed_count;
    ls_text_printf(out, "pairing    %zu of %zu candidate tensors paired (", paired, d->matching.candidate_total);
    const char *separator = "";
    for (int how = 0; how < LS_METHOD_COUNT; how++)
        if (d->matching.by_method[how] > 0) {
            ls_text_printf(out, "%s%zu %s%s%s%s", separator, d->matching.by_method[how], how == LS_METHOD_INFERRED ? "" : "by ", ls_method_name((ls_method)how),
                           how == LS_METHOD_PRESET ? " " : "", how == LS_METHOD_PRESET ? d->in.preset.name : "");
            separator = ", ";
        }
    if (d->matching.absorbed_count > 0)
        ls_text_printf(out, "; %zu more absorbed into their bias or weight", d->matching.absorbed_count);
    ls_text_printf(out, "%s), %.1f %% of elements compared\n", *separator ? "" : "none", 100 * d->result.coverage);
}

static void put_totals(ls_text *out, const ls_diff *d, bool all) {
    ls_totals t = ls_totals_of(d);
    size_t count = t.compared + t.mismatched;
    if (count == 0)
        return;
    ls_text_printf(out, "compared   %zu: %zu within tolerance (%.1f %%), %zu beyond", t.compared, t.within,
                   100 * (double)t.within / (double)count, t.beyond);
    const char *separator = "";
    if (t.all_excused > 0)
        ls_text_printf(out, ", %zu explained (", t.all_excused);
    for (int excuse = LS_EXCUSE_NONE + 1; excuse < LS_EXCUSE_COUNT; excuse++)
        if (t.excused[excuse] > 0) {
            ls_text_printf(out, "%s%zu: %s", separator, t.excused[excuse], ls_excuse_text((ls_excuse)excuse));
            separator = "; ";
        }
    if (t.all_excused > 0)
        ls_text_printf(out, ")");
    if (t.mismatched > 0)
        ls_text_printf(out, "; %zu differ in shape or type", t.mismatched);
    if (t.by_gpu > 0)
        ls_text_printf(out, "; %zu only within the GPU limit of %.0e (rel. L2 up to %.1e)", t.by_gpu, ls_precision_classes[LS_PRECISION_GPU].rel_l2, t.most_by_gpu);
    ls_text_printf(out, "; max |d| %.2g", t.max_abs);
    if (all)
        ls_text_printf(out, ", max relative %.2g", t.max_rel);
    ls_text_printf(out, ", mean cosine %.7f\n", t.mean_cosine);
    if (t.resynced > 0)
        ls_text_printf(out, "resync     %zu tensors overwritten with the reference's: rel. L2 up to %.1e before, %.1e after\n", t.resynced, t.before, t.left);
    if (t.origins > 1 && (d->in.candidate.trace->is_graph || d->in.reference.trace->is_graph)) /* otherwise dependencies are unknown */
        ls_text_printf(out, "origins    %zu tensors fail although their inputs match\n", t.origins);
}

/* Two runs of one engine agree to the bit until something is different. */
static void put_identical(ls_text *out, const ls_diff *d) {
    char last[LS_TITLE], first[LS_TITLE];
    size_t count = 0;
    while (count < d->pairs.count && d->pairs.items[count].mark.verdict == LS_VERDICT_IDENTICAL && !d->pairs.items[count].is_extra)
        count++;
    bool one_engine = d->in.candidate.trace->is_graph && strcmp(d->in.reference.trace->engine, d->in.candidate.trace->engine) == 0;
    if (!one_engine || count < 3 || count == d->pairs.count || d->pairs.items[count].is_extra)
        return;
    const ls_pair *p = &d->pairs.items[count];
    ls_report_title(&d->in.candidate.trace->nodes[p[-1].candidate], last, sizeof last);
    ls_report_title(&d->in.candidate.trace->nodes[p->candidate], first, sizeof first);
    ls_text_printf(out, "identical  %zu tensors, up to %s; %s is the first that is no longer identical", count, last, first);
    if (p->mark.verdict < LS_VERDICT_SHAPE)
        ls_text_printf(out, " (rel. L2 %.1e)", p->metrics.rel_l2);
    ls_text_printf(out, "\n");
}

/* A line of text, which is escaped and released; nothing for an empty one. */
static void put_line(const char *label, ls_text *text, ls_text *out) {
    enum { LABEL = 11, LONGEST = 1200 };
    char line[LONGEST];
    ls_title_text(text->data != NULL ? text->data : "", line, sizeof line);
    if (text->length > 0)
        ls_text_printf(out, "%-*s%s\n", LABEL, label, line);
    ls_text_done(text);
}

void ls_put_head(const ls_screen *screen, const ls_comparison *c, bool all, ls_text *out) {
    const ls_diff *d = c->diff;
    ls_text line = {0};
    put_side(screen, out, "reference", d->in.reference.trace, &d->in.reference.values);
    put_side(screen, out, "candidate", d->in.candidate.trace, &d->in.candidate.values);
    put_inputs(out, d);
    ls_report_configuration(c, &line);
    put_line("config", &line, out);
    if (d->result.outcome == LS_OUTCOME_INPUTS_DIFFER && d->pairs.count == 0)
        return;
    if (!d->in.candidate.trace->is_graph_only)
        put_pairing(out, d);
    ls_report_replay_counts(d, all, out);
    put_totals(out, d, all);
    put_identical(out, d);
    ls_report_logits(c, &line);
    put_line("logits", &line, out);
}
