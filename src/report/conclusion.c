#include "report/conclusion.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "diff/lacked_term.h"
#include "diff/proof.h"
#include "match/picture_node.h"
#include "report/layers.h"
#include "report/tile_errors.h"
#include "report/remarks.h"
#include "report/styles.h"
#include "report/titles.h"
#include "report/where.h"

enum { INTERVAL_SHOWN = 8 };

static void put_names(ls_text *out, const char *what, const ls_trace *t, const size_t *nodes, size_t count) {
    char title[LS_TITLE];
    if (count > 0)
        ls_text_printf(out, "%s (%zu):\n", what, count);
    for (size_t i = 0; i < count; i++) {
        ls_report_title(&t->nodes[nodes[i]], title, sizeof title);
        ls_text_printf(out, "    pass %zu  %s\n", t->nodes[nodes[i]].pass == LS_NONE ? 0 : t->nodes[nodes[i]].pass, title);
    }
}

void ls_put_unpaired(const ls_diff *d, ls_text *out) {
    put_names(out, "only in the candidate", d->in.candidate.trace, d->matching.candidate_only, d->matching.candidate_only_count);
    put_names(out, "only in the reference", d->in.reference.trace, d->matching.reference_only, d->matching.reference_only_count);
}

/* ------------------------------------------------------------------ the first divergence */

/* The coarsest element type that a pair was computed from, and the tensor that has it. */
static void put_tolerance(ls_text *out, const ls_diff *d, const ls_pair *p) {
    const ls_precision *r = &d->in.reference.precision[p->reference_value], *c = &d->in.candidate.precision[p->candidate_value];
    const ls_node *from = c->level >= r->level ? &d->in.candidate.trace->nodes[c->from] : &d->in.reference.trace->nodes[r->from];
    char name[LS_TITLE], property[LS_TITLE];
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
        ls_title_text(from->name, name, sizeof name);
        ls_title_text(gpu ? from->backend : from->dtype, property, sizeof property);
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

/* Heads, where the range is one of whole heads. */
static void put_heads(ls_text *out, const ls_failing_places *f, uint64_t head) {
    const bool whole = head > 1 && head < f->of && f->of % head == 0 && f->first % head == 0 && (f->last + 1) % head == 0;
    if (whole && f->last + 1 - f->first == head)
        ls_text_printf(out, ", which is head %llu of %llu", (unsigned long long)(f->first / head), (unsigned long long)(f->of / head));
    else if (whole)
        ls_text_printf(out, ", which are heads %llu to %llu of %llu", (unsigned long long)(f->first / head), (unsigned long long)(f->last / head), (unsigned long long)(f->of / head));
}

static void put_failing_places(ls_text *out, const ls_diff *d, const ls_diagnosis *diagnosis) {
    const size_t pass = d->in.candidate.trace->nodes[d->pairs.items[d->result.first].candidate].pass;
    for (size_t i = 0; i < diagnosis->axis_count; i++) {
        const ls_failing_places *f = &diagnosis->axes[i];
        ls_text_printf(out, "  in %llu of %llu ", (unsigned long long)f->count, (unsigned long long)f->of);
        const char *axis = ls_picture_axis_name(d, &d->pairs.items[d->result.first], f->axis);
        if (axis != NULL)
            ls_text_printf(out, "%s only: ", axis);
        else if (f->is_last)
            ls_text_printf(out, "channels only: ");
        else
            ls_text_printf(out, "places of axis %d only: ", f->axis);
        if (f->count == 1)
            ls_text_printf(out, "%llu", (unsigned long long)f->first);
        else
            ls_text_printf(out, "%s %llu to %llu", f->last - f->first + 1 == f->count ? "all of" : "among", (unsigned long long)f->first, (unsigned long long)f->last);
        if (axis == NULL && f->is_last && f->last - f->first + 1 == f->count && pass != LS_NONE)
            put_heads(out, f, d->matching.facts[pass].head_size);
        ls_text_printf(out, "\n");
    }
    ls_put_tile_errors(d, &d->pairs.items[d->result.first], out);
}

static void put_lacked_term(ls_text *out, const ls_diff *d) {
    const ls_replayed *item = ls_proof_of(d, d->pairs.items[d->result.first].candidate_value);
    char sum[LS_TITLE], added[LS_TITLE];
    size_t term;
    const size_t at = item != NULL && item->is_origin ? ls_lacked_term(d, item, &term) : LS_NONE;
    if (at == LS_NONE)
        return;
    ls_report_reference_title(&d->in.reference.trace->nodes[at], sum, sizeof sum);
    ls_report_reference_title(&d->in.reference.trace->nodes[term], added, sizeof added);
    ls_text_printf(out, "  in front of it, the reference adds %s (%s), which the candidate lacks\n", added, sum);
}

static void put_inputs_of_first(ls_text *out, const ls_diff *d) {
    const ls_trace *graph = ls_diff_graph(d);
    char title[LS_TITLE];
    if (d->result.inputs.count > 0)
        ls_text_printf(out, "  its inputs match:");
    for (size_t i = 0; i < d->result.inputs.count && i < 6; i++) {
        ls_report_title(&d->in.candidate.trace->nodes[d->pairs.items[d->result.inputs.items[i]].candidate], title, sizeof title);
        ls_text_printf(out, "%s %s", i > 0 ? "," : "", title);
    }
    if (d->result.inputs.count > 6)
        ls_text_printf(out, " and %zu more", d->result.inputs.count - 6);
    ls_text_printf(out, d->result.inputs.count > 0 ? "\n" : "");
    put_lacked_term(out, d);
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

/* A line about the first cause, which is escaped and released; nothing for an empty one. */
static void put_about(const char *label, ls_text *text, ls_text *out) {
    char line[1200];
    ls_title_text(text->data != NULL ? text->data : "", line, sizeof line);
    if (text->length > 0)
        ls_text_printf(out, "  %s%s\n", label, line);
    ls_text_done(text);
}

/* Where it is, and where to look. */
static void put_place(ls_text *out, const ls_comparison *c) {
    const ls_diff *d = c->diff;
    ls_text line = {0};
    ls_report_layers(d, ls_proof_of(d, d->pairs.items[d->result.first].candidate_value), &line);
    put_about("", &line, out);
    ls_report_place(c->diagnosis->causes[0].id, c->checkpoints != NULL ? &c->checkpoints->settings : NULL, &line);
    put_about("look at: ", &line, out);
}

/* What to do where the first divergence is of pictures. */
static const char *advice_on_picture(const ls_diff *d) {
    const ls_pair *p = &d->pairs.items[d->result.first];
    const bool are_pictures = ls_nodes_are_pictures(&d->in.reference.trace->nodes[p->reference_value], &d->in.candidate.trace->nodes[p->candidate_value]);
    if (!are_pictures)
        return "";
    return d->options.image == NULL ? " (--image FILE, with the picture itself, tries what was done to it)" : " (no way that was tried leads from the file of --image to both sides' pixels: is it this picture?)";
}

static void put_causes(ls_text *out, const ls_comparison *c) {
    const ls_diff *d = c->diff;
    const ls_diagnosis *diagnosis = c->diagnosis;
    char text[1200];
    for (size_t i = 0; i < diagnosis->cause_count; i++) {
        ls_text sentence = {0};
        ls_cause_text(&diagnosis->causes[i], &sentence);
        ls_title_text(sentence.data != NULL ? sentence.data : "", text, sizeof text);
        ls_text_done(&sentence);
        const ls_cause *cause = &diagnosis->causes[i];
        ls_text_printf(out, "%s%s %s: %s%s", i == 0 ? LS_STRONG : "", i == 0 ? "cause:" : "   or:", cause->id, i == 0 ? LS_PLAIN : "", text);
        const bool has_before = cause->before > 0 || d->pairs.items[d->result.first].mark.verdict < LS_VERDICT_SHAPE;
        if (!isnan(cause->residual) && has_before)
            ls_text_printf(out, "; undone, rel. L2 %.1e -> %.1e", cause->before > 0 ? cause->before : d->pairs.items[d->result.first].metrics.rel_l2, cause->residual);
        ls_text_printf(out, "\n");
        if (i == 0)
            put_place(out, c);
    }
    if (diagnosis->cause_count == 0 && d->pairs.items[d->result.first].mark.verdict == LS_VERDICT_DIVERGED)
        ls_text_printf(out, LS_STRONG "cause: unexplained" LS_PLAIN "; no transform that was tried makes the sides agree%s\n", advice_on_picture(d));
}

/* What replay says of it, which decides where it was computed. */
static void put_added(ls_text *out, const ls_diff *d, const ls_pair *p) {
    const ls_replayed *item = ls_proof_of(d, p->candidate_value);
    if (item != NULL && item->is_origin)
        ls_text_printf(out, "  at fault: on the reference's own values, it is off by %.1e, where rounding explains %.1e\n", item->local.error, item->local.expected);
}

/* What differs in a pair that fails. */
static void put_facts(ls_text *out, const ls_diff *d, const ls_pair *p) {
    if (p->mark.verdict >= LS_VERDICT_SHAPE)
        ls_text_printf(out, "  %s: %s\n", ls_verdict_name(p->mark.verdict), p->reason != NULL ? p->reason : "");
    else if (p->mark.verdict == LS_VERDICT_NONFINITE)
        ls_text_printf(out, "  NaN: %llu in the reference, %llu in the candidate; infinite: %llu, %llu; in different places: %llu\n",
                       (unsigned long long)p->metrics.nan_reference, (unsigned long long)p->metrics.nan_candidate,
                       (unsigned long long)p->metrics.inf_reference, (unsigned long long)p->metrics.inf_candidate,
                       (unsigned long long)p->metrics.nonfinite_differ);
    else
        put_where(out, d, p);
}

/* Where none can be called the first. */
static void put_worst(ls_text *out, const ls_diff *d) {
    char name[LS_TITLE];
    size_t worst = LS_NONE;
    for (size_t i = 0; i < d->pairs.count; i++) {
        const ls_pair *p = &d->pairs.items[i];
        if (ls_pair_fails(p) && ls_pair_is_known(p) && (worst == LS_NONE || ls_error_of_pair(p) > ls_error_of_pair(&d->pairs.items[worst])))
            worst = i;
    }
    if (worst == LS_NONE)
        return;
    ls_report_title(&d->in.candidate.trace->nodes[d->pairs.items[worst].candidate], name, sizeof name);
    ls_text_printf(out, LS_STRONG "largest error: %s" LS_PLAIN, name);
    ls_report_reference_title(&d->in.reference.trace->nodes[d->pairs.items[worst].reference], name, sizeof name);
    ls_text_printf(out, "; reference %s\n", name);
    put_facts(out, d, &d->pairs.items[worst]);
}

static void put_first(ls_text *out, const ls_comparison *comparison) {
    const ls_diff *d = comparison->diff;
    const ls_pair *p = &d->pairs.items[d->result.first];
    const ls_node *c = &d->in.candidate.trace->nodes[p->candidate], *r = &d->in.reference.trace->nodes[p->reference];
    char title[LS_TITLE], name[LS_TITLE];
    ls_report_title(c, title, sizeof title);
    ls_report_reference_title(r, name, sizeof name);
    ls_text_printf(out, LS_STRONG "first divergence: %s" LS_PLAIN, title);
    if (c->layer >= 0)
        ls_text_printf(out, ", layer %d", c->layer);
    ls_text_printf(out, ", pass %zu; reference %s", c->pass == LS_NONE ? 0 : c->pass, name);
    if (c->pass != LS_NONE && r->pass != LS_NONE && r->pass != c->pass)
        ls_text_printf(out, ", pass %zu", r->pass);
    if (r->where != NULL) {
        ls_title_text(r->where, title, sizeof title);
        ls_text_printf(out, " (%s)", title);
    }
    ls_text_printf(out, "\n");
    if (p->candidate != p->candidate_value) {
        ls_title_text(d->in.candidate.trace->nodes[p->candidate_value].op, title, sizeof title);
        ls_text_printf(out, "  another shape or name of what %s gives\n", title[0] != '\0' ? title : "the same operation");
    }
    put_facts(out, d, p);
    put_added(out, d, p);
    put_failing_rows(out, d, &comparison->diagnosis->failing_rows);
    put_failing_places(out, d, comparison->diagnosis);
    put_inputs_of_first(out, d);
    put_causes(out, comparison);
}

/* ------------------------------------------------------------------ the verdict */

static void put_remark(ls_text *out, const ls_diff *d, const ls_remark *remark) {
    char line[700];
    ls_text text = {0};
    ls_remark_text(d, remark, &text);
    ls_escape(text.data != NULL ? text.data : "", text.length, line, sizeof line);
    ls_text_printf(out, "%s", line);
    ls_text_done(&text);
}

void ls_put_hints(const ls_diff *d, ls_text *out) {
    for (size_t i = 0; i < d->result.hints.count; i++) {
        ls_text_printf(out, LS_DOUBT "note:" LS_PLAIN " ");
        put_remark(out, d, &d->result.hints.items[i]);
        ls_text_printf(out, "\n");
    }
}

static const char *style_of(ls_outcome outcome) {
    return ls_outcome_is_match(outcome) ? LS_GOOD : outcome == LS_OUTCOME_INCOMPARABLE ? LS_DOUBT : LS_BAD;
}

void ls_put_conclusion(const ls_comparison *c, ls_text *out) {
    const ls_diff *d = c->diff;
    ls_text_printf(out, "\n%sverdict: %s" LS_PLAIN, style_of(d->result.outcome), ls_diff_verdict(d));
    if (d->result.reason.code != LS_REMARK_NONE) {
        ls_text_printf(out, ": ");
        put_remark(out, d, &d->result.reason);
    }
    ls_text_printf(out, "\n");
    if (d->result.first != LS_NONE)
        put_first(out, c);
    else if (!ls_outcome_is_match(d->result.outcome))
        put_worst(out, d);
    if (c->more != NULL && d->pairs.count > 0 && !ls_outcome_is_match(d->result.outcome))
        ls_text_printf(out, "more: " LS_SHELL "%s\n", c->more);
    if (c->explain != NULL && d->result.first != LS_NONE)
        ls_text_printf(out, "why:  " LS_SHELL "%s\n", c->explain);
}
