#include "align/diff.h"

#include <stdlib.h>
#include <string.h>

#include "align/conclusion.h"
#include "align/divergence.h"
#include "align/outputs.h"
#include "align/pair.h"
#include "align/sight.h"
#include "base/grow.h"
#include "base/pattern.h"
#include "base/ranges.h"
#include "compare/row_metrics.h"

static lockstep_status no_memory(lockstep_error *error) { return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory"); }

/* ------------------------------------------------------------------ what to compare */

static lockstep_status choose(ls_diff *d, lockstep_error *error) {
    const ls_diff_options *o = &d->options;
    regex_t names;
    if (o->tensors != NULL && !ls_pattern_compile(o->tensors, &names))
        return ls_pattern_refused(error, "--tensors", o->tensors);
    for (size_t i = d->seen; i < d->candidate->node_count; i++) {
        const ls_node *n = &d->candidate->nodes[i];
        bool kept = d->candidate->only == NULL || ls_node_has_values(n) || n->lost != NULL;
        d->wanted[i] = kept && (o->tensors == NULL || regexec(&names, n->name, 0, NULL, 0) == 0) &&
                       (o->layers == NULL || ls_ranges_hold(o->layers, n->layer));
    }
    if (o->tensors != NULL)
        regfree(&names);
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------------- one pair */

static bool are_integers(const ls_diff *d, const ls_pair *p) {
    return ls_node_is_integer(&d->reference->nodes[p->reference_value]) && ls_node_is_integer(&d->candidate->nodes[p->candidate_value]);
}

/* Ids and ranks are equal or not. Noise may change the order of what is nearly the same. */
static double integers_allowed(const ls_pair *p) { return p->tolerance >= 5e-3 ? 0.5 : 0; }

static bool passes(const ls_diff *d, const ls_pair *p) {
    const ls_metrics *m = &p->metrics;
    if (m->masked_differ > 0 || (!p->is_scores && m->masked_rel > p->tolerance))
        return false;
    if (m->finite == 0)
        return true; /* nothing but what both sides agree on */
    if (are_integers(d, p))
        return (double)m->above[LS_SHARES - 1] <= integers_allowed(p) * (double)m->elements; /* so many are not equal */
    return d->options.elementwise ? m->beyond == 0 : d->options.profile->passes(m, p->tolerance);
}

static void judge(const ls_diff *d, ls_pair *p) {
    const ls_metrics *m = &p->metrics;
    if (m->nan_reference + m->nan_candidate > 0 || m->nonfinite_differ > 0)
        p->verdict = LS_VERDICT_NONFINITE;
    else if (m->identical)
        p->verdict = LS_VERDICT_IDENTICAL;
    else
        p->verdict = passes(d, p) ? LS_VERDICT_MATCH : LS_VERDICT_DIVERGED;
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
    ls_compare_wants wants = {.atol = o->elementwise ? o->atol : o->profile->atol, .rtol = o->elementwise ? o->rtol : o->profile->rtol,
                              .mask_reference = LS_MASK_BELOW, .mask_candidate = LS_MASK_BELOW};
    ls_metrics *m = &p->metrics;
    LS_TRY(ls_compare(&l->reference, &l->candidate, &wants, m, error));
    double reference_mask = mask_below(m->reference.min), candidate_mask = mask_below(m->candidate.min);
    bool plain = !d->reference->is_graph && !d->candidate->is_graph; /* what it goes into is not known */
    if ((p->is_scores || plain) && (reference_mask > LS_MASK_BELOW || candidate_mask > LS_MASK_BELOW)) {
        ls_compare_wants apart = wants;
        ls_metrics numbers;
        apart.mask_reference = reference_mask;
        apart.mask_candidate = candidate_mask;
        LS_TRY(ls_compare(&l->reference, &l->candidate, &apart, &numbers, error));
        if (p->is_scores || is_one_mask(&numbers)) {
            wants = apart;
            *m = numbers;
        }
    }
    p->mask_reference = wants.mask_reference;
    p->mask_candidate = wants.mask_candidate;
    if (!o->elementwise && o->profile->loose > 0 && m->beyond > 0) {
        ls_metrics looser;
        wants.atol = wants.rtol = o->profile->loose;
        LS_TRY(ls_compare(&l->reference, &l->candidate, &wants, &looser, error));
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
    const ls_pass_pair *pp = &d->rows.pairs[p->passes];
    const ls_pass *reference = &d->reference->passes[pp->reference], *candidate = &d->candidate->passes[pp->candidate];
    double r = (double)d->reference->nodes[p->reference_value].elements, c = (double)d->candidate->nodes[p->candidate_value].elements;
    double rows = (double)reference->rows, others = (double)candidate->rows, kept = (double)d->facts[pp->candidate].kept_count;
    return r * others == c * rows || r * others * others == c * rows * rows || (kept > 0 && r * kept == c * rows) || has_past(reference) || has_past(candidate);
}

lockstep_status ls_diff_compare(ls_diff *d, size_t pair, ls_layout_choice choice, lockstep_error *error) {
    ls_pair *p = &d->pairs[pair];
    ls_sight sight;
    lockstep_error why;
    bool again = p->compared;
    p->compared = true;
    p->is_scores = d->reference_scores[p->reference_value] || d->candidate_scores[p->candidate_value];
    p->tolerance = ls_noise_tolerance(&d->reference_noise[p->reference_value], &d->candidate_noise[p->candidate_value], &p->noise);
    ls_reorder reorder = p->rule != NULL ? p->rule->reorder : LS_REORDER_NONE;
    lockstep_status status = ls_sight_open(d, p, reorder, choice, &sight, &why);
    if (status != LOCKSTEP_OK) {
        const ls_pass_pair *pp = &d->rows.pairs[p->passes];
        bool some_rows = pp->rows != NULL && !pp->whole && may_be_rows(d, p);
        p->verdict = status != LOCKSTEP_INCOMPARABLE ? LS_VERDICT_UNSUPPORTED : some_rows ? LS_VERDICT_UNALIGNED : LS_VERDICT_SHAPE;
        p->trouble = keep_text(d, why.message);
        return LOCKSTEP_OK;
    }
    if (!again || strcmp(p->layout, sight.layout.text) != 0) {
        const ls_diff_options *o = &d->options;
        memcpy(p->layout, sight.layout.text, sizeof p->layout);
        status = measure(d, p, &sight.layout, error);
        p->elements = p->metrics.elements;
        judge(d, p);
        if (p->is_scores && p->verdict == LS_VERDICT_DIVERGED)
            p->left_of_rows = ls_row_constant_left(&sight.layout.reference, &sight.layout.candidate, sight.layout.columns, p->mask_reference, p->mask_candidate);
        p->grade = !o->elementwise && o->profile->grade != NULL ? o->profile->grade(&p->metrics) : NULL;
    } /* else the first round's result stands */
    ls_sight_close(&sight);
    return status;
}

/* Two rounds: in the second, each pair is looked at as most of its likes are. */
static lockstep_status compare_all(ls_diff *d, lockstep_error *error) {
    for (size_t i = 0; i < d->pair_count; i++)
        LS_TRY(ls_diff_compare(d, i, LS_LAYOUT_LEARN, error));
    for (size_t i = 0; i < d->pair_count; i++)
        if (d->pairs[i].verdict < LS_VERDICT_SHAPE)
            LS_TRY(ls_diff_compare(d, i, LS_LAYOUT_VOTED, error));
    return LOCKSTEP_OK;
}

/* -------------------------------------------------------------------------- growing */

/* By the reference's model class, or else by what the candidate, or an engine that names the
 * architecture of its file, says. */
static const char *choose_preset(const ls_diff *d) {
    const char *models[2] = {d->reference->model, d->candidate->model}, *name = NULL;
    for (int side = 0; side < 2 && name == NULL; side++)
        name = ls_rules_preset_for(models[side]);
    for (int side = 0; side < 2 && name == NULL; side++)
        name = *models[side] != '\0' ? ls_rules_preset_for_architecture(models[side]) : NULL;
    return name;
}

static lockstep_status load_rules(ls_diff *d, lockstep_error *error) {
    const ls_diff_options *o = &d->options;
    if (o->map != NULL)
        LS_TRY(ls_rules_open(o->map, &d->map, error));
    const char *name = o->preset != NULL ? o->preset : choose_preset(d);
    if (name == NULL || strcmp(name, "none") == 0)
        return LOCKSTEP_OK;
    return ls_rules_preset(name, &d->preset, error);
}

static lockstep_status begin(ls_diff *d, lockstep_error *error) {
    LS_TRY(ls_ranges_check("--layers", d->options.layers, error));
    LS_TRY(ls_values_init(d->reference, &d->reference_values, error));
    LS_TRY(ls_values_init(d->candidate, &d->candidate_values, error));
    LS_TRY(load_rules(d, error));
    size_t count = d->reference->node_count + 1;
    d->reference_columns = calloc(count, sizeof *d->reference_columns);
    d->reference_noise = calloc(count, sizeof *d->reference_noise);
    d->reference_used = calloc(count, sizeof *d->reference_used);
    d->reference_scores = calloc(count, sizeof *d->reference_scores);
    if (d->reference_columns == NULL || d->reference_noise == NULL || d->reference_used == NULL || d->reference_scores == NULL)
        return no_memory(error);
    d->reference_outputs = ls_values_outputs(&d->reference_values, true);
    if (d->reference_outputs == NULL)
        return no_memory(error);
    ls_noise_spread(d->reference, 0, d->reference_noise);
    ls_scores_mark(d->reference, 0, d->reference_scores);
    return ls_columns_read(d->reference, 0, d->reference_columns, error);
}

lockstep_status ls_diff_begin(ls_trace *reference, ls_trace *candidate, const ls_diff_options *options, ls_diff *out_diff, lockstep_error *error) {
    ls_diff d = {.first = LS_NONE, .options = *options, .reference = reference, .candidate = candidate};
    lockstep_status status = begin(&d, error);
    if (status != LOCKSTEP_OK)
        ls_diff_done(&d);
    else
        *out_diff = d;
    return status;
}

static lockstep_status make_room(ls_diff *d, lockstep_error *error) {
    size_t had = d->node_capacity, nodes = ls_doubled(had, d->candidate->node_count + 1);
    size_t had_passes = d->pass_capacity, passes = ls_doubled(had_passes, d->candidate->pass_count + 1);
    if (!ls_extend(&d->wanted, had, nodes, sizeof *d->wanted) || !ls_extend(&d->candidate_columns, had, nodes, sizeof *d->candidate_columns) ||
        !ls_extend(&d->candidate_noise, had, nodes, sizeof *d->candidate_noise) || !ls_extend(&d->pair_of, had, nodes, sizeof *d->pair_of) ||
        !ls_extend(&d->candidate_scores, had, nodes, sizeof *d->candidate_scores) ||
        !ls_extend(&d->facts, had_passes, passes, sizeof *d->facts))
        return no_memory(error);
    d->node_capacity = nodes;
    d->pass_capacity = passes;
    return LOCKSTEP_OK;
}

/* The first node whose turn it is: a pass may have got its partner only now. */
static size_t first_node_of(const ls_diff *d, size_t first_new_pair) {
    size_t from = d->seen;
    for (size_t i = first_new_pair; i < d->rows.pair_count; i++) {
        size_t first = d->candidate->passes[d->rows.pairs[i].candidate].first_node;
        from = first < from ? first : from;
    }
    return from;
}

static void note_outputs(ls_diff *d) {
    for (size_t i = d->seen; i < d->candidate->node_count; i++) {
        const ls_node *n = &d->candidate->nodes[i];
        if (n->pass != LS_NONE && n->elements > 0 && ls_values_is_own(&d->candidate_values, i) && ls_node_has_values(n))
            d->facts[n->pass].output = i + 1;
    }
}

lockstep_status ls_diff_grow(ls_diff *d, lockstep_error *error) {
    size_t from = d->seen, pairs_before = d->rows.pair_count;
    LS_TRY(make_room(d, error));
    LS_TRY(ls_values_grow(&d->candidate_values, error));
    note_outputs(d);
    LS_TRY(choose(d, error));
    LS_TRY(ls_rows_grow(&d->rows, d->reference, d->candidate, error));
    ls_noise_spread(d->candidate, from, d->candidate_noise);
    ls_scores_mark(d->candidate, from, d->candidate_scores);
    from = first_node_of(d, pairs_before);
    LS_TRY(ls_pair_nodes(d, from, error));
    LS_TRY(ls_facts_read(d->candidate, from, &d->arena, d->facts, error));
    LS_TRY(ls_columns_read(d->candidate, from, d->candidate_columns, error));
    d->seen = d->candidate->node_count;
    return LOCKSTEP_OK;
}

lockstep_status ls_diff_finish(ls_diff *d, lockstep_error *error) {
    ls_rows_judge(&d->rows);
    if (d->rows.status == LS_INPUTS_DIFFER) { /* whatever else was compared says nothing */
        d->pair_count = 0;
        memset(d->pair_of, 0, d->node_capacity * sizeof *d->pair_of);
    } else {
        LS_TRY(ls_outputs_pair(d, error));
        LS_TRY(ls_pair_finish(d, error));
        LS_TRY(ls_divergence_find(d, error));
    }
    return ls_conclude(d, error);
}

/* ----------------------------------------------------------------------------- whole */

static lockstep_status run(ls_diff *d, lockstep_error *error) {
    LS_TRY(ls_diff_grow(d, error));
    ls_rows_judge(&d->rows);
    if (d->rows.status != LS_INPUTS_DIFFER)
        LS_TRY(compare_all(d, error));
    return ls_diff_finish(d, error);
}

lockstep_status ls_diff_traces(ls_trace *reference, ls_trace *candidate, const ls_diff_options *options, ls_diff *out_diff, lockstep_error *error) {
    ls_diff d;
    LS_TRY(ls_diff_begin(reference, candidate, options, &d, error));
    lockstep_status status = run(&d, error);
    if (status != LOCKSTEP_OK)
        ls_diff_done(&d);
    else
        *out_diff = d;
    return status;
}

lockstep_status ls_diff_run(const char *reference, const char *candidate, const ls_diff_options *options,
                            ls_diff *out_diff, lockstep_error *error) {
    ls_trace *traces[2];
    LS_TRY(ls_trace_open(candidate, &traces[1], error));
    lockstep_status status = ls_trace_open(reference, &traces[0], error);
    if (status != LOCKSTEP_OK) {
        ls_trace_close(traces[1]);
        return status;
    }
    return ls_diff_traces(traces[0], traces[1], options, out_diff, error);
}

void ls_diff_done(ls_diff *d) {
    free(d->pairs);
    free(d->reference_columns);
    free(d->reference_noise);
    free(d->reference_used);
    free(d->reference_scores);
    free(d->reference_outputs);
    free(d->candidate_scores);
    free(d->wanted);
    free(d->candidate_columns);
    free(d->candidate_noise);
    free(d->pair_of);
    free(d->facts);
    ls_rules_done(&d->map);
    ls_rules_done(&d->preset);
    ls_map_done(&d->votes);
    ls_rows_done(&d->rows);
    ls_values_done(&d->reference_values);
    ls_values_done(&d->candidate_values);
    ls_trace_close(d->reference);
    ls_trace_close(d->candidate);
    ls_text_done(&d->why);
    ls_text_done(&d->hints);
    ls_arena_done(&d->arena);
    *d = (ls_diff){0};
}

const char *ls_verdict_name(ls_verdict verdict) {
    static const char *const names[] = {"identical", "match", "reformulated", "diverged", "nonfinite", "shape", "unsupported", "unaligned"};
    return names[verdict];
}

const char *ls_diff_verdict(const ls_diff *d) {
    static const char *const names[] = {"match", "diverged", "inputs-differ", "incomparable"};
    return d->outcome == LS_OUTCOME_MATCH && ls_diff_is_eager(d) ? "match (eager)" : names[d->outcome];
}

const char *ls_how_name(ls_how how) {
    static const char *const names[] = {"map", "name", "preset", "elimination", "content", "place", "output"};
    return names[how];
}

const char *ls_excuse_text(ls_excuse excuse) {
    static const char *const texts[] = {"", "noise that its inputs or other layers have, too", "one factor, undone later", "a constant in each row, which the softmax cancels",
                                        "masked on one side already, on the other later",
                                        "other positions, for padding lies before the tokens of one side", "the same in every layer"};
    return texts[excuse];
}
