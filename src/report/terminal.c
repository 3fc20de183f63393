#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/map.h"
#include "report/cells.h"
#include "report/remarks.h"
#include "report/replay_report.h"
#include "report/report.h"
#include "report/titles.h"
#include "report/totals.h"

enum { NAME = 512, AFTER_SHOWN = 5, INTERVAL_SHOWN = 8 };

/* -------------------------------------------------------------------------- pieces */

static void escaped(const char *text, char *out, size_t capacity) { ls_escape(text, strlen(text), out, capacity); }

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

static void put_side(ls_text *out, const char *role, const ls_trace *t, const ls_values *v) {
    char path[300], engine[300], text[700];
    escaped(t->path, path, sizeof path);
    snprintf(text, sizeof text, "%s%s%s%s%s", t->engine, *t->version ? " " : "", t->version, *t->model ? " " : "", t->model);
    escaped(text, engine, sizeof engine);
    size_t count = own_values(v);
    ls_text_printf(out, "%-10s %s  %s  %zu tensor%s  %s%s\n", role, path, *engine ? engine : "unknown engine", count, count == 1 ? "" : "s", main_dtype(t),
                   t->complete ? "" : "  INCOMPLETE");
}

static const char *who_lacks_rows(const ls_diff *d) {
    const bool reference = ls_trace_first_with_tokens(d->in.reference.trace) != LS_NONE, candidate = ls_trace_first_with_tokens(d->in.candidate.trace) != LS_NONE;
    return reference ? "the candidate" : candidate ? "the reference" : "neither side";
}

static void put_inputs(ls_text *out, const ls_diff *d) {
    const ls_token_alignment *r = &d->matching.tokens;
    switch (r->status) {
    case LS_INPUTS_UNKNOWN:
        if (d->in.reference.trace->is_graph && d->in.candidate.trace->is_graph)
            ls_text_printf(out, "inputs     unknown: %s records no token ids; passes are paired in order\n", who_lacks_rows(d));
        break;
    case LS_INPUTS_EQUAL:
    case LS_INPUTS_SHORTER: {
        size_t extra = r->candidate_rows - r->matched;
        bool shifted = false;
        for (size_t i = 0; i < r->pair_count && r->padding > 0; i++)
            shifted = shifted || ls_pass_pair_is_shifted(&r->pairs[i], d->in.reference.trace, d->in.candidate.trace);
        ls_text_printf(out, "inputs     token ids %sequal%s (%zu rows in %zu pass%s)", shifted ? "" : "and positions ",
                       shifted ? ", positions shifted by padding" : "", r->matched, r->pair_count,
                       r->pair_count == 1 ? "" : "es");
        if (extra > 0)
            ls_text_printf(out, "; %zu further rows of the candidate left out (another run, sequence or a longer prompt)", extra);
        if (r->padding > 0)
            ls_text_printf(out, "; %zu rows of padding left out", r->padding);
        ls_text_printf(out, "\n");
        break;
    }
    case LS_INPUTS_PARTIAL:
    case LS_INPUTS_DIFFER:
        ls_text_printf(out, "inputs     DIFFER: ");
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

static void put_totals(ls_text *out, const ls_diff *d) {
    ls_totals t = ls_totals_of(d);
    size_t all = t.compared + t.mismatched;
    if (all == 0)
        return;
    ls_text_printf(out, "compared   %zu: %zu within tolerance (%.1f %%), %zu beyond", t.compared, t.within,
                   100 * (double)t.within / (double)all, t.beyond);
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
    ls_text_printf(out, "; max |d| %.2g, max relative %.2g, mean cosine %.7f\n", t.max_abs, t.max_rel, t.mean_cosine);
    if (t.resynced > 0)
        ls_text_printf(out, "resync     %zu tensors overwritten with the reference's: rel. L2 up to %.1e before, %.1e after\n", t.resynced, t.before, t.left);
    if (t.origins > 1 && (d->in.candidate.trace->is_graph || d->in.reference.trace->is_graph)) /* otherwise dependencies are unknown */
        ls_text_printf(out, "origins    %zu tensors fail although their inputs match\n", t.origins);
}

/* Two runs of one engine agree to the bit until something is different. */
static void put_identical(ls_text *out, const ls_diff *d) {
    char last[NAME], first[NAME];
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

/* --------------------------------------------------------------------------- table */

/* In a narrow terminal, the reference's names and the cosine are left out. */
enum { NARROW = 100 };

typedef struct table {
    const ls_diff *diff;
    ls_text *out;
    int candidate, reference; /* widths */
    bool narrow;
} table;

static void verdict_text(const ls_pair *p, char *out, size_t capacity) {
    const char *name = ls_verdict_name(p->mark.verdict);
    if (!ls_pair_fails(p) || !ls_pair_is_known(p))
        snprintf(out, capacity, "%s", name);
    else if (p->mark.downstream)
        snprintf(out, capacity, "downstream");
    else {
        size_t n = 0;
        for (; name[n] != '\0' && n + 1 < capacity; n++)
            out[n] = (char)(name[n] >= 'a' && name[n] <= 'z' ? name[n] - 32 : name[n]);
        out[n] = '\0';
    }
    size_t used = strlen(out);
    if (p->grade != NULL)
        snprintf(out + used, capacity - used, " %s", p->grade);
}

static void put_head(const table *t) {
    ls_text_printf(t->out, " pass order layer ");
    ls_put_cell(t->out, "candidate", t->candidate);
    if (!t->narrow) {
        ls_text_printf(t->out, " ");
        ls_put_cell(t->out, "reference", t->reference);
    }
    ls_text_printf(t->out, " relL2    max|d|   %sverdict\n", t->narrow ? "" : "cosine     ");
}

static void put_row(const table *t, const ls_pair *p) {
    const ls_diff *d = t->diff;
    const ls_node *c = &d->in.candidate.trace->nodes[p->candidate], *r = &d->in.reference.trace->nodes[p->reference];
    char title[NAME], verdict[64], layer[16] = "-";
    if (c->layer >= 0)
        snprintf(layer, sizeof layer, "%d", c->layer);
    ls_text_printf(t->out, "%5zu %5zu %5s ", c->pass == LS_NONE ? 0 : c->pass, p->candidate_value, layer);
    ls_report_title(c, title, sizeof title);
    ls_put_cell(t->out, title, t->candidate);
    if (!t->narrow) {
        ls_text_printf(t->out, " ");
        ls_report_reference_title(r, title, sizeof title);
        ls_put_cell(t->out, title, t->reference);
    }
    verdict_text(p, verdict, sizeof verdict);
    bool compared = p->mark.verdict < LS_VERDICT_SHAPE;
    if (compared)
        ls_text_printf(t->out, " %-8.1e %-8.1e ", p->metrics.rel_l2, p->metrics.max_abs);
    else
        ls_text_printf(t->out, " %-8s %-8s ", "-", "-");
    if (compared && !t->narrow)
        ls_text_printf(t->out, "%-10.7f ", p->metrics.cosine);
    else if (!t->narrow)
        ls_text_printf(t->out, "%-10s ", "-");
    ls_text_printf(t->out, "%s\n", verdict);
}

static bool is_input(const ls_diff *d, size_t pair) {
    for (size_t i = 0; i < d->result.inputs.count; i++)
        if (d->result.inputs.items[i] == pair)
            return true;
    return false;
}

/* Shows the first divergence and its inputs, other origins once for all passes, pairs that
 * can't be read, and the next few that fail. */
static void choose_failing(const ls_diff *d, bool all, const bool *repeated, bool *shown) {
    size_t after = 0, unreadable = 0;
    for (size_t i = 0; i < d->pairs.count; i++) {
        const ls_pair *p = &d->pairs.items[i];
        bool failing = ls_pair_fails(p), unsupported = !ls_pair_is_known(p);
        bool origin = failing && !unsupported && !p->mark.downstream && !repeated[i];
        shown[i] = all || i == d->result.first || is_input(d, i) || origin || (unsupported && unreadable++ < AFTER_SHOWN) ||
                   (failing && !unsupported && p->mark.downstream && after++ < AFTER_SHOWN);
    }
}

/* Without --all: see above; or, if nothing fails, the worst pair of each block. */
static void choose_rows(const ls_diff *d, bool all, bool *shown) {
    bool *repeated = calloc(d->pairs.count + 1, sizeof *repeated), fails = false;
    for (size_t i = 0; i < d->pairs.count; i++)
        fails = fails || ls_pair_fails(&d->pairs.items[i]);
    if (repeated != NULL && (fails || all)) {
        ls_repeated_origins(d, repeated);
        choose_failing(d, all, repeated, shown);
    }
    free(repeated);
    if (fails || all)
        return;
    ls_map worst = {0}; /* layer -> pair + 1 */
    for (size_t i = 0; i < d->pairs.count; i++) {
        int layer = d->in.candidate.trace->nodes[d->pairs.items[i].candidate].layer;
        uint64_t *known = d->pairs.items[i].mark.verdict <= LS_VERDICT_MATCH ? ls_map_at(&worst, (const char *)&layer, sizeof layer) : NULL;
        if (known == NULL || (*known != 0 && !(d->pairs.items[i].metrics.rel_l2 > d->pairs.items[*known - 1].metrics.rel_l2)))
            continue;
        if (*known != 0)
            shown[*known - 1] = false;
        *known = i + 1;
        shown[i] = true;
    }
    ls_map_done(&worst);
}

static int widest(const ls_diff *d, const bool *shown, bool candidate) {
    int widest_name = 9;
    char title[NAME];
    for (size_t i = 0; i < d->pairs.count; i++) {
        if (!shown[i])
            continue;
        if (candidate)
            ls_report_title(&d->in.candidate.trace->nodes[d->pairs.items[i].candidate], title, sizeof title);
        else
            ls_report_reference_title(&d->in.reference.trace->nodes[d->pairs.items[i].reference], title, sizeof title);
        int columns = ls_columns_of(title);
        widest_name = columns > widest_name ? columns : widest_name;
    }
    return widest_name;
}

static void put_table(ls_text *out, const ls_diff *d, bool all, int width) {
    enum { BEFORE = 18, AFTER = 31, COSINE = 11, LEAST = 20 }; /* columns beside the names */
    bool *shown = d->pairs.count > 0 ? calloc(d->pairs.count, sizeof *shown) : NULL;
    if (shown == NULL)
        return;
    choose_rows(d, all, shown);
    table t = {d, out, widest(d, shown, true), widest(d, shown, false), width > 0 && width < NARROW};
    int room = width == 0 ? 1000 : width - BEFORE - AFTER - (t.narrow ? 0 : COSINE + 1);
    room = room > LEAST ? room : LEAST;
    if (t.narrow) {
        t.candidate = t.candidate < room ? t.candidate : room;
    } else if (t.candidate + t.reference > room) {
        t.candidate = t.candidate < room / 2 ? t.candidate : room - t.reference > room / 2 ? room - t.reference : room / 2;
        t.reference = room - t.candidate;
    }
    bool fails = false;
    for (size_t i = 0; i < d->pairs.count; i++)
        fails = fails || ls_pair_fails(&d->pairs.items[i]);
    if (!fails && !all)
        ls_text_printf(out, "the worst pair of each block:\n");
    put_head(&t);
    size_t hidden = 0, again = 0, unreadable = 0;
    for (size_t i = 0; i < d->pairs.count; i++) {
        const ls_pair *p = &d->pairs.items[i];
        if (shown[i])
            put_row(&t, p);
        else if (!ls_pair_is_known(p))
            unreadable++;
        else if (ls_pair_fails(p))
            ++*(p->mark.downstream ? &hidden : &again);
    }
    if (hidden > 0)
        ls_text_printf(out, "      … and %zu more downstream of these\n", hidden);
    if (again > 0)
        ls_text_printf(out, "      … and %zu that fail in the same way in later passes\n", again);
    if (unreadable > 0)
        ls_text_printf(out, "      … and %zu more that can't be compared\n", unreadable);
    free(shown);
}

/* ------------------------------------------------------------------- the conclusion */

static void put_names(ls_text *out, const char *what, const ls_trace *t, const size_t *nodes, size_t count) {
    char title[NAME];
    if (count > 0)
        ls_text_printf(out, "%s (%zu):\n", what, count);
    for (size_t i = 0; i < count; i++) {
        ls_report_title(&t->nodes[nodes[i]], title, sizeof title);
        ls_text_printf(out, "    pass %zu  %s\n", t->nodes[nodes[i]].pass == LS_NONE ? 0 : t->nodes[nodes[i]].pass, title);
    }
}

/* The coarsest element type that a pair was computed from, and the tensor that has it. */
static void put_tolerance(ls_text *out, const ls_diff *d, const ls_pair *p) {
    const ls_precision *r = &d->in.reference.precision[p->reference_value], *c = &d->in.candidate.precision[p->candidate_value];
    const ls_node *from = c->level >= r->level ? &d->in.candidate.trace->nodes[c->from] : &d->in.reference.trace->nodes[r->from];
    char name[NAME], property[NAME];
    if (d->options.elementwise) {
        ls_text_printf(out, "tolerance %.1e + %.1e |reference| for every element", d->options.atol, d->options.rtol);
        return;
    }
    if (d->options.profile != &ls_profiles[0]) {
        ls_text_printf(out, "profile %s", d->options.profile->name);
        return;
    }
    ls_text_printf(out, "tolerance %.1e for %s", p->mark.tolerance, ls_precision_classes[p->precision].name);
    if (p->mark.exact_inputs && p->precision == LS_PRECISION_F32)
        ls_text_printf(out, " from identical inputs");
    else if (p->precision > LS_PRECISION_GELU_TABLE) {
        bool gpu = p->precision == LS_PRECISION_GPU;
        escaped(from->name, name, sizeof name);
        escaped(gpu ? from->backend : from->dtype, property, sizeof property);
        ls_text_printf(out, ": %s %s %s", name, gpu ? "was computed on" : "is", property);
    }
}

static void put_index(ls_text *out, const ls_node *c, uint64_t at) {
    uint64_t index[LOCKSTEP_MAX_RANK];
    for (int i = c->rank; i-- > 0; at /= c->shape[i])
        index[i] = at % c->shape[i];
    ls_text_printf(out, "[");
    for (int i = 0; i < c->rank; i++)
        ls_text_printf(out, "%s%llu", i > 0 ? ", " : "", (unsigned long long)index[i]);
    ls_text_printf(out, "]");
}

static void put_where(ls_text *out, const ls_diff *d, const ls_pair *p) {
    const ls_node *c = &d->in.candidate.trace->nodes[p->candidate_value];
    const ls_metrics *m = &p->metrics;
    const ls_diff_options *o = &d->options;
    ls_text_printf(out, "  rel. L2 %.3g (", m->rel_l2);
    put_tolerance(out, d, p);
    ls_text_printf(out, "), cosine %.6f, layout: %s\n", m->cosine, p->layout);
    if (m->masked_differ > 0)
        ls_text_printf(out, "  %llu elements are masked on one side only\n", (unsigned long long)m->masked_differ);
    if (m->finite == 0)
        return;
    ls_text_printf(out, "  largest |d| %.3g: %.6g where the reference has %.6g", m->max_abs, m->max_abs_candidate, m->max_abs_reference);
    if (p->elements == c->elements && c->rank > 0) {
        ls_text_printf(out, ", at ");
        put_index(out, c, m->max_abs_at);
    }
    double atol = o->elementwise ? o->atol : o->profile->atol, rtol = o->elementwise ? o->rtol : o->profile->rtol;
    ls_text_printf(out, "; %llu of %llu elements beyond %.0e + %.0e |reference|\n", (unsigned long long)m->beyond,
                   (unsigned long long)m->elements, atol, rtol);
}

/* Prints nothing if all rows fail. */
static void put_failing_rows(ls_text *out, const ls_diff *d, const ls_failing_rows *f) {
    const ls_pass *pass = &d->in.candidate.trace->passes[d->matching.tokens.pairs[d->pairs.items[d->result.first].pass_pair].candidate];
    if (f->count == 0 || f->count == f->of)
        return;
    ls_text_printf(out, "  in %zu of %zu rows only: ", f->count, f->of);
    if (f->count > 1)
        ls_text_printf(out, "%s rows %u to %u; the first is ", f->last - f->first + 1 == f->count ? "all of" : "among", f->first, f->last);
    ls_text_printf(out, "row %u", f->first);
    if (pass->tokens != NULL)
        ls_text_printf(out, ", token %d at position %d", pass->tokens[f->first], pass->positions != NULL ? pass->positions[f->first] : (int)f->first);
    ls_text_printf(out, "\n");
}

static void put_inputs_of_first(ls_text *out, const ls_diff *d) {
    const ls_trace *graph = ls_diff_graph(d);
    char title[NAME];
    if (d->result.inputs.count > 0)
        ls_text_printf(out, "  its inputs match:");
    for (size_t i = 0; i < d->result.inputs.count && i < 6; i++) {
        ls_report_title(&d->in.candidate.trace->nodes[d->pairs.items[d->result.inputs.items[i]].candidate], title, sizeof title);
        ls_text_printf(out, "%s %s", i > 0 ? "," : "", title);
    }
    if (d->result.inputs.count > 6)
        ls_text_printf(out, " and %zu more", d->result.inputs.count - 6);
    ls_text_printf(out, d->result.inputs.count > 0 ? "\n" : "");
    if (d->result.interval.count > 0) {
        ls_text_printf(out, "  unpaired in between, where it may already be wrong:");
        for (size_t i = d->result.interval.count, shown = 0; i-- > 0 && shown < INTERVAL_SHOWN; shown++) {
            ls_report_title(&graph->nodes[d->result.interval.items[i]], title, sizeof title);
            ls_text_printf(out, "%s %s", shown > 0 ? "," : "", title);
        }
        if (d->result.interval.count > INTERVAL_SHOWN)
            ls_text_printf(out, " and %zu more", d->result.interval.count - INTERVAL_SHOWN);
        ls_text_printf(out, "\n");
    }
}

static void put_causes(ls_text *out, const ls_diff *d, const ls_diagnosis *diagnosis) {
    char text[300];
    for (size_t i = 0; i < diagnosis->cause_count; i++) {
        ls_text sentence = {0};
        ls_cause_text(&diagnosis->causes[i], &sentence);
        escaped(sentence.data != NULL ? sentence.data : "", text, sizeof text);
        ls_text_done(&sentence);
        const ls_cause *cause = &diagnosis->causes[i];
        ls_text_printf(out, "%s %s: %s", i == 0 ? "cause:" : "   or:", cause->id, text);
        if (!isnan(cause->residual))
            ls_text_printf(out, "; undone, rel. L2 %.1e -> %.1e", cause->before > 0 ? cause->before : d->pairs.items[d->result.first].metrics.rel_l2, cause->residual);
        ls_text_printf(out, "\n");
    }
    if (diagnosis->cause_count == 0 && d->pairs.items[d->result.first].mark.verdict == LS_VERDICT_DIVERGED)
        ls_text_printf(out, "cause: unexplained; no transform that was tried makes the sides agree\n");
}

static void put_first(ls_text *out, const ls_diff *d, const ls_diagnosis *diagnosis) {
    const ls_pair *p = &d->pairs.items[d->result.first];
    const ls_node *c = &d->in.candidate.trace->nodes[p->candidate], *r = &d->in.reference.trace->nodes[p->reference];
    char title[NAME], name[NAME];
    ls_report_title(c, title, sizeof title);
    ls_report_reference_title(r, name, sizeof name);
    ls_text_printf(out, "first divergence: %s", title);
    if (c->layer >= 0)
        ls_text_printf(out, ", layer %d", c->layer);
    ls_text_printf(out, ", pass %zu; reference %s", c->pass == LS_NONE ? 0 : c->pass, name);
    if (c->pass != LS_NONE && r->pass != LS_NONE && r->pass != c->pass)
        ls_text_printf(out, ", pass %zu", r->pass);
    if (r->where != NULL) {
        escaped(r->where, title, sizeof title);
        ls_text_printf(out, " (%s)", title);
    }
    ls_text_printf(out, "\n");
    if (p->mark.verdict >= LS_VERDICT_SHAPE)
        ls_text_printf(out, "  %s: %s\n", ls_verdict_name(p->mark.verdict), p->reason != NULL ? p->reason : "");
    else if (p->mark.verdict == LS_VERDICT_NONFINITE)
        ls_text_printf(out, "  NaN: %llu in the reference, %llu in the candidate; infinite: %llu, %llu; in different places: %llu\n",
                       (unsigned long long)p->metrics.nan_reference, (unsigned long long)p->metrics.nan_candidate,
                       (unsigned long long)p->metrics.inf_reference, (unsigned long long)p->metrics.inf_candidate,
                       (unsigned long long)p->metrics.nonfinite_differ);
    else
        put_where(out, d, p);
    put_failing_rows(out, d, &diagnosis->failing_rows);
    put_inputs_of_first(out, d);
    put_causes(out, d, diagnosis);
}

static void put_remark(ls_text *out, const ls_diff *d, const ls_remark *remark) {
    char line[700];
    ls_text text = {0};
    ls_remark_text(d, remark, &text);
    ls_escape(text.data != NULL ? text.data : "", text.length, line, sizeof line);
    ls_text_printf(out, "%s", line);
    ls_text_done(&text);
}

static void put_hints(ls_text *out, const ls_diff *d) {
    for (size_t i = 0; i < d->result.hints.count; i++) {
        ls_text_printf(out, "note: ");
        put_remark(out, d, &d->result.hints.items[i]);
        ls_text_printf(out, "\n");
    }
}

/* Lines of text, wrapped to the width: those with a label are continued below the text after it. */
static void put_wrapped_lines(ls_text *out, const ls_text *text, int width) {
    enum { LABEL = 11, MORE = 2 };
    if (width == 0 || text->data == NULL) {
        ls_text_append(out, text->data != NULL ? text->data : "", text->length);
        return;
    }
    for (const char *at = text->data; at != NULL && *at != '\0';) {
        const char *stop = strchr(at, '\n');
        size_t length = stop != NULL ? (size_t)(stop - at) : strlen(at), lead = strspn(at, " ");
        size_t word = strcspn(at, " ");
        bool label = lead == 0 && word < LABEL && length > LABEL && strspn(at + word, " ") == LABEL - word;
        ls_text rest = {0};
        if (label)
            lead = LABEL;
        ls_text_append(out, at, lead);
        ls_text_append(&rest, at + lead, length - lead);
        if (!rest.failed && rest.data != NULL)
            ls_put_wrapped(out, rest.data, label ? LABEL : (int)lead + MORE, width);
        ls_text_done(&rest);
        at = stop != NULL ? stop + 1 : "";
    }
}

static void put_head_lines(ls_text *out, const ls_diff *d) {
    put_side(out, "reference", d->in.reference.trace, &d->in.reference.values);
    put_side(out, "candidate", d->in.candidate.trace, &d->in.candidate.values);
    put_inputs(out, d);
    if (d->result.outcome != LS_OUTCOME_INPUTS_DIFFER || d->pairs.count > 0) {
        if (!d->in.candidate.trace->is_graph_only)
            put_pairing(out, d);
        ls_report_replay_counts(d, out);
        put_totals(out, d);
        put_identical(out, d);
    }
}

static void put_oracle(ls_text *out, const ls_comparison *c) {
    enum { SHOWN = 6 };
    char name[300];
    for (size_t i = 0; c->oracle != NULL && i < c->oracle->count && i < SHOWN; i++) {
        const ls_opinion *o = &c->oracle->opinions[i];
        const ls_node *n = &c->diff->in.candidate.trace->nodes[o->node];
        ls_escape(n->name, strlen(n->name), name, sizeof name);
        ls_text_printf(out, "oracle     %s, pass %zu: ", name, n->pass);
        if (isnan(o->reference) || isnan(o->candidate))
            ls_text_printf(out, "could not be compared\n");
        else
            ls_text_printf(out, "the reference is %.1e from it, the candidate %.1e: the %s is the less exact\n", o->reference, o->candidate, o->candidate > o->reference ? "candidate" : "reference");
    }
}

static void put_tail_lines(ls_text *out, const ls_comparison *c) {
    const ls_diff *d = c->diff;
    put_hints(out, d);
    if (d->result.first != LS_NONE)
        put_first(out, d, c->diagnosis);
    ls_report_replay_origins(d, out);
    put_oracle(out, c);
    if (c->weights != NULL)
        ls_report_weights(c->weights, out);
    ls_text_printf(out, "verdict: %s", ls_diff_verdict(d));
    if (d->result.reason.code != LS_REMARK_NONE) {
        ls_text_printf(out, ": ");
        put_remark(out, d, &d->result.reason);
    }
    ls_text_printf(out, "\n");
}

void ls_report_terminal(const ls_comparison *c, bool all, int width, ls_text *out) {
    const ls_diff *d = c->diff;
    ls_text head = {0}, tail = {0};
    put_head_lines(&head, d);
    put_wrapped_lines(out, &head, width);
    if (d->result.outcome != LS_OUTCOME_INPUTS_DIFFER || d->pairs.count > 0) {
        put_table(out, d, all, width);
        if (all) {
            put_names(out, "only in the candidate", d->in.candidate.trace, d->matching.candidate_only, d->matching.candidate_only_count);
            put_names(out, "only in the reference", d->in.reference.trace, d->matching.reference_only, d->matching.reference_only_count);
        }
    }
    put_tail_lines(&tail, c);
    put_wrapped_lines(out, &tail, width);
    ls_text_done(&head);
    ls_text_done(&tail);
}
