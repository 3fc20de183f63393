/* One pair: its two tensors aligned, measured and judged by its tolerance. */
#include "diff/diff.h"

#include <string.h>

#include "compare/row_metrics.h"
#include "match/aligned_pair.h"

static bool are_integers(const ls_diff *d, const ls_pair *p) {
    return ls_node_is_integer(&d->in.reference.trace->nodes[p->reference_value]) && ls_node_is_integer(&d->in.candidate.trace->nodes[p->candidate_value]);
}

/* Ids and ranks are equal or not. Noise may change the order of what is nearly the same. */
static double integers_allowed(const ls_pair *p) { return p->mark.tolerance >= 5e-3 ? 0.5 : 0; }

static bool passes(const ls_diff *d, const ls_pair *p) {
    const ls_metrics *m = &p->metrics;
    if (m->masked_differ > 0 || (!p->is_score && m->masked_rel > p->mark.tolerance))
        return false;
    if (m->finite == 0)
        return true; /* nothing but what both sides agree on */
    if (are_integers(d, p))
        return (double)m->above[LS_SHARES - 1] <= integers_allowed(p) * (double)m->elements; /* so many are not equal */
    return d->options.elementwise ? m->beyond == 0 : d->options.profile->passes(m, p->mark.tolerance);
}

static void judge(const ls_diff *d, ls_pair *p) {
    const ls_metrics *m = &p->metrics;
    if (m->nan_reference + m->nan_candidate > 0 || m->nonfinite_differ > 0)
        p->mark.verdict = LS_VERDICT_NONFINITE;
    else if (m->identical)
        p->mark.verdict = LS_VERDICT_IDENTICAL;
    else
        p->mark.verdict = passes(d, p) ? LS_VERDICT_MATCH : LS_VERDICT_DIVERGED;
}

/* Softmax turns whatever is far below the rest into 0: engines mask with -1e4, -65504, -1e9 and
 * so on. Returns the value below which a side is taken as masked, or 0. */
static double mask_below(double least) { return least <= -9e3 && least > LS_MASK_BELOW ? least / 2 : LS_MASK_BELOW; }

/* Without knowing what a tensor goes into: many times one large negative value, in the same places. */
static bool is_one_mask(const ls_metrics *m) {
    return m->masked >= 2 && m->masked_differ == 0 && m->masked_spread < 1e-2 && m->masked_rel < 1e-2;
}

/* All metrics of a pair that can be looked at. */
static lockstep_status measure(const ls_diff *d, ls_pair *p, const ls_layout *l, lockstep_error *error) {
    const ls_diff_options *o = &d->options;
    ls_compare_options limits = {.atol = o->elementwise ? o->atol : o->profile->atol, .rtol = o->elementwise ? o->rtol : o->profile->rtol,
                              .mask_reference = LS_MASK_BELOW, .mask_candidate = LS_MASK_BELOW};
    ls_metrics *m = &p->metrics;
    LS_TRY(ls_compare(&l->reference, &l->candidate, &limits, m, error));
    double reference_mask = mask_below(m->reference.min), candidate_mask = mask_below(m->candidate.min);
    bool plain = !d->in.reference.trace->is_graph && !d->in.candidate.trace->is_graph; /* what it goes into is not known */
    if ((p->is_score || plain) && (reference_mask > LS_MASK_BELOW || candidate_mask > LS_MASK_BELOW)) {
        ls_compare_options apart = limits;
        ls_metrics numbers;
        apart.mask_reference = reference_mask;
        apart.mask_candidate = candidate_mask;
        LS_TRY(ls_compare(&l->reference, &l->candidate, &apart, &numbers, error));
        if (p->is_score || is_one_mask(&numbers)) {
            limits = apart;
            *m = numbers;
        }
    }
    p->mask_reference = limits.mask_reference;
    p->mask_candidate = limits.mask_candidate;
    if (!o->elementwise && o->profile->loose > 0 && m->beyond > 0) {
        ls_metrics looser;
        limits.atol = limits.rtol = o->profile->loose;
        LS_TRY(ls_compare(&l->reference, &l->candidate, &limits, &looser, error));
        m->beyond_loose = looser.beyond;
    }
    return LOCKSTEP_OK;
}

static const char *keep_text(ls_diff *d, const char *text) {
    const char *copy = ls_arena_copy(&d->arena, text, strlen(text));
    return copy != NULL ? copy : "";
}

static bool has_past(const ls_pass *pass) {
    for (size_t i = 0; pass->positions != NULL && i < pass->rows; i++)
        if (pass->positions[i] >= 0 && (size_t)pass->positions[i] >= pass->rows)
            return true;
    return false;
}

/* Are two tensors of unlike sizes as large for each row, or for each row of rows (scores)? What
 * holds earlier tokens, too, can't be told so. */
static bool may_be_rows(const ls_diff *d, const ls_pair *p) {
    const ls_pass_pair *pp = &d->matching.tokens.pairs[p->passes];
    const ls_pass *reference = &d->in.reference.trace->passes[pp->reference], *candidate = &d->in.candidate.trace->passes[pp->candidate];
    double r = (double)d->in.reference.trace->nodes[p->reference_value].elements, c = (double)d->in.candidate.trace->nodes[p->candidate_value].elements;
    double rows = (double)reference->rows, others = (double)candidate->rows, kept = (double)d->matching.facts[pp->candidate].output_row_count;
    return r * others == c * rows || r * others * others == c * rows * rows || (kept > 0 && r * kept == c * rows) || has_past(reference) || has_past(candidate);
}

lockstep_status ls_diff_compare(ls_diff *d, size_t pair, ls_layout_choice choice, lockstep_error *error) {
    ls_pair *p = &d->pairs.items[pair];
    ls_aligned_pair aligned;
    lockstep_error unreadable;
    bool again = p->is_compared;
    p->is_compared = true;
    p->is_score = d->in.reference.is_score[p->reference_value] || d->in.candidate.is_score[p->candidate_value];
    p->mark.tolerance = ls_precision_tolerance(&d->in.reference.precision[p->reference_value], &d->in.candidate.precision[p->candidate_value], &p->precision);
    ls_reorder reorder = p->rule != NULL ? p->rule->reorder : LS_REORDER_NONE;
    lockstep_status status = ls_aligned_pair_open(&d->matching, p, reorder, choice, &aligned, &unreadable);
    if (status != LOCKSTEP_OK) {
        const ls_pass_pair *pp = &d->matching.tokens.pairs[p->passes];
        bool some_rows = pp->rows != NULL && !pp->whole && may_be_rows(d, p);
        p->mark.verdict = status != LOCKSTEP_INCOMPARABLE ? LS_VERDICT_UNSUPPORTED : some_rows ? LS_VERDICT_UNALIGNED : LS_VERDICT_SHAPE;
        p->reason = keep_text(d, unreadable.message);
        return LOCKSTEP_OK;
    }
    if (!again || strcmp(p->layout, aligned.layout.text) != 0) {
        const ls_diff_options *o = &d->options;
        memcpy(p->layout, aligned.layout.text, sizeof p->layout);
        status = measure(d, p, &aligned.layout, error);
        p->elements = p->metrics.elements;
        judge(d, p);
        if (p->is_score && p->mark.verdict == LS_VERDICT_DIVERGED)
            p->left_of_rows = ls_row_constant_left(&aligned.layout.reference, &aligned.layout.candidate, aligned.layout.columns, p->mask_reference, p->mask_candidate);
        p->grade = !o->elementwise && o->profile->grade != NULL ? o->profile->grade(&p->metrics) : NULL;
    } /* else the first round's result stands */
    ls_aligned_pair_close(&aligned);
    return status;
}

