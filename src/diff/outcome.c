#include "diff/outcome.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diff/coverage.h"
#include "diff/layers_left_out.h"
#include "diff/outputs.h"
#include "diff/proof.h"

/* ------------------------------------------------------------------ what was not compared */

/* A final output that was not compared. */
typedef struct left_out {
    const char *name; /* NULL: none */
    ls_tail tail;     /* what separates it from what was compared, at worst */
} left_out;

/* What the outcome depends on. */
typedef struct facts {
    const ls_diff *diff;
    left_out reference, candidate;
    bool graphs; /* both sides are */
    bool dump;   /* only the reference is: the candidate is a set of tensors that somebody chose */
} facts;

static void leave_out(left_out *l, const ls_diff *d, bool of_reference, size_t output) {
    ls_tail tail = ls_outputs_tail(d, of_reference, output);
    if (tail <= l->tail)
        return;
    l->name = (of_reference ? d->in.reference.trace : d->in.candidate.trace)->nodes[output].name;
    l->tail = tail;
}

/* A pass without tokens among those with: an encoder, or a cache that is moved. */
static bool is_silent(const ls_diff *d, const ls_pass_pair *p) { return p->rows == NULL && d->matching.tokens.status != LS_INPUTS_UNKNOWN; }

static bool find_left_out(const ls_diff *d, facts *f) {
    const ls_token_alignment *tokens = &d->matching.tokens;
    const ls_trace *reference = d->in.reference.trace;
    size_t *of_reference = ls_values_outputs(&d->in.reference.values, false), *of_candidate = ls_values_outputs(&d->in.candidate.values, false);
    bool ok = of_reference != NULL && of_candidate != NULL;
    for (size_t i = 0; ok && i < tokens->pair_count; i++) {
        size_t r = of_reference[tokens->pairs[i].reference], c = of_candidate[tokens->pairs[i].candidate];
        if (is_silent(d, &tokens->pairs[i]))
            continue;
        if (c != LS_NONE)
            leave_out(&f->candidate, d, false, c);
        if (r != LS_NONE && (ls_node_has_values(&reference->nodes[r]) || reference->nodes[r].lost != NULL))
            leave_out(&f->reference, d, true, r); /* a candidate may record only a part */
    }
    free(of_reference);
    free(of_candidate);
    return ok;
}

/* ------------------------------------------------------------------ reasons, in order */

/* True, with the remark's arguments, where the reason applies. */
typedef bool (*predicate)(const facts *f, ls_remark *out);

static bool has_values(const ls_values *v) {
    for (size_t i = 0; i < v->trace->node_count; i++)
        if (ls_values_is_own(v, i) && ls_node_has_values(&v->trace->nodes[i]))
            return true;
    return false;
}

static bool holds_nothing(const facts *f, ls_remark *out) {
    const ls_match_inputs *in = &f->diff->in;
    const ls_side *empty = !has_values(&in->reference.values) ? &in->reference : !has_values(&in->candidate.values) ? &in->candidate : NULL;
    out->text = empty != NULL ? empty->trace->path : NULL;
    return empty != NULL;
}

static bool inputs_differ(const facts *f, ls_remark *out) {
    (void)out;
    return f->diff->matching.tokens.status == LS_INPUTS_DIFFER;
}

static bool selects_nothing(const facts *f, ls_remark *out) {
    const ls_diff *d = f->diff;
    bool any = d->pairs.count > 0 || !ls_diff_is_selective(d);
    for (size_t i = 0; i < d->in.candidate.trace->node_count && !any; i++)
        any = d->matching.wanted[i];
    (void)out;
    return !any;
}

static bool pairs_nothing(const facts *f, ls_remark *out) {
    (void)out;
    return f->diff->pairs.count == 0;
}

/* A wrong kernel, or wrong values that were recorded, where the reference has no such tensor; what follows from it may fail. */
static bool kernels_differ(const facts *f, ls_remark *out) {
    const ls_verification *v = &f->diff->verification;
    size_t first = 0;
    while (first < v->count && v->checks[first].fault == LS_FAULT_NONE)
        first++;
    if (first == v->count || f->diff->result.first != LS_NONE)
        return false;
    out->count = v->failed;
    out->text = v->trace->nodes[v->checks[first].node].name;
    out->detail = v->trace->nodes[v->checks[first].node].op;
    return true;
}

static bool has_failed(const facts *f, ls_remark *out) {
    (void)out;
    return f->diff->result.failing > 0;
}

/* Faults of which no values were recorded. */
static bool replay_diverged(const facts *f, ls_remark *out) {
    out->count = f->diff->replay.origins;
    return out->count > 0;
}

static bool differ_in_memory(const facts *f, ls_remark *out) {
    const ls_models *m = &f->diff->models;
    out->count = m->by_state[LS_WEIGHT_CHANGED];
    for (int i = 0; i < LS_WEIGHT_STATES; i++)
        out->total += m->by_state[i];
    out->text = out->count > 0 ? m->trace->nodes[m->first_changed].name : NULL;
    return out->count > 0;
}

/* Something has changed weights after they were read from the file. */
static bool weights_changed(const facts *f, ls_remark *out) { return f->diff->models.are_recorded && differ_in_memory(f, out); }

/* The user has named another file than the engine has read. */
static bool weights_are_of_another_file(const facts *f, ls_remark *out) { return !f->diff->models.are_recorded && differ_in_memory(f, out); }

static bool replay_is_open(const facts *f, ls_remark *out) {
    const ls_replay *r = &f->diff->replay;
    out->count = r->operations[LS_REPLAY_OPEN];
    for (size_t i = 0; i < r->count && out->text == NULL; i++)
        if (r->items[i].class == LS_REPLAY_OPEN)
            out->text = f->diff->in.candidate.trace->nodes[r->items[i].node].name;
    return out->count > 0;
}

static bool is_not_replayed(const facts *f, ls_remark *out) {
    out->text = f->diff->in.candidate.trace->path;
    return !f->diff->is_replayed;
}

static bool replay_is_unsupported(const facts *f, ls_remark *out) {
    const ls_replay *r = &f->diff->replay;
    out->count = r->operations[LS_REPLAY_UNSUPPORTED];
    for (size_t i = 0; i < r->count && out->text == NULL; i++)
        if (r->items[i].class == LS_REPLAY_UNSUPPORTED) {
            out->text = f->diff->in.candidate.trace->nodes[r->items[i].node].name;
            out->detail = r->items[i].reason;
        }
    return out->count > 0;
}

/* A final output that is not the reference's, although nothing before it is at fault. */
static bool replay_lacks_output(const facts *f, ls_remark *out) {
    const ls_diff *d = f->diff;
    for (size_t i = 0; i < d->matching.tokens.pair_count && out->text == NULL; i++) {
        const ls_pass_pair *p = &d->matching.tokens.pairs[i];
        const size_t output = d->matching.facts[p->candidate].output;
        const ls_replayed *item = output != 0 && !is_silent(d, p) ? ls_proof_of(d, output - 1) : NULL;
        if (item != NULL && item->class != LS_REPLAY_FOUND && item->class != LS_REPLAY_BEYOND)
            out->text = d->in.candidate.trace->nodes[output - 1].name;
    }
    return out->text != NULL;
}

static bool is_unreadable(const facts *f, ls_remark *out) {
    const ls_pairs *pairs = &f->diff->pairs;
    out->total = pairs->count;
    for (size_t i = pairs->count; i-- > 0;)
        if (pairs->items[i].mark.verdict == LS_VERDICT_UNSUPPORTED) {
            out->text = pairs->items[i].reason;
            out->count++;
        }
    return out->count > 0;
}

static bool inputs_are_partial(const facts *f, ls_remark *out) {
    (void)out;
    return f->diff->matching.tokens.status == LS_INPUTS_PARTIAL;
}

static bool is_incomplete(const facts *f, ls_remark *out) {
    const ls_trace *r = f->diff->in.reference.trace, *c = f->diff->in.candidate.trace;
    out->text = r->complete ? c->path : r->path;
    return !r->complete || !c->complete;
}

/* Whether more tensors were paired by what they hold than by their names. */
static bool is_paired_by_values(const ls_diff *d) {
    size_t by_values = 0;
    for (size_t i = 0; i < d->pairs.count; i++)
        by_values += d->pairs.items[i].method == LS_METHOD_CONTENT || d->pairs.items[i].method == LS_METHOD_INFERRED;
    return 2 * by_values > d->pairs.count;
}

static bool has_unpaired(const facts *f, ls_remark *out) {
    out->count = f->dump ? 0 : f->diff->matching.reference_only_count;
    out->total = f->diff->matching.candidate_only_count;
    return !f->graphs && !f->diff->is_replayed && out->count + out->total > 0;
}

/* Dumps that no tensor of a graph has the values of may be steps that it does not take: had they a fault, what is computed from them would
 * show that. */
static bool has_steps_of_its_own(const facts *f, ls_remark *out) { return has_unpaired(f, out) && f->diff->in.reference.trace->is_graph && is_paired_by_values(f->diff); }

/* Passes without tokens that only one side has. */
static bool has_passes_alone(const facts *f, ls_remark *out) {
    out->count = f->diff->matching.tokens.reference_alone;
    out->total = f->diff->matching.tokens.candidate_alone;
    return f->graphs && out->count + out->total > 0;
}

static size_t last_selected(const ls_diff *d, size_t pass) {
    const ls_trace *t = d->in.candidate.trace;
    for (size_t n = t->node_count; n-- > 0;)
        if (t->nodes[n].pass == pass && t->nodes[n].role == LOCKSTEP_ROLE_COMPUTED && d->matching.wanted[n] && ls_values_is_own(&d->in.candidate.values, n) &&
            ls_node_has_values(&t->nodes[n]))
            return n;
    return LS_NONE;
}

/* In a selection, the last tensor of a pass takes the place of the model's output. */
static bool lacks_selection_end(const facts *f, ls_remark *out) {
    const ls_diff *d = f->diff;
    const ls_matching *m = &d->matching;
    const ls_trace *t = d->in.candidate.trace;
    for (size_t i = 0; ls_diff_is_selective(d) && t->is_graph && i < m->tokens.pair_count; i++) {
        size_t last = last_selected(d, m->tokens.pairs[i].candidate);
        if (last != LS_NONE && m->pair_of[last] == 0 && m->absorbed_into[last] == 0) {
            out->text = t->nodes[last].name;
            return true;
        }
    }
    return false;
}

static bool lacks_candidate_output(const facts *f, ls_remark *out) {
    out->text = f->candidate.name;
    return f->graphs && !ls_diff_is_selective(f->diff) && f->candidate.tail == LS_TAIL_MORE;
}

static bool lacks_reference_output(const facts *f, ls_remark *out) {
    out->text = f->reference.name;
    return (f->graphs || f->dump) && !ls_diff_is_selective(f->diff) && f->reference.tail >= (f->dump ? LS_TAIL_POOLING : LS_TAIL_MORE);
}

static bool covers_too_little(const facts *f, ls_remark *out) {
    out->fraction = f->diff->result.coverage;
    out->limit = f->diff->options.min_coverage;
    return out->fraction < out->limit;
}

typedef struct decision {
    predicate applies;
    ls_outcome outcome;
    ls_remark_code reason;
} decision;

/* The first that applies decides; where none does, the runs match. */
static const decision decisions[] = {
    {holds_nothing, LS_OUTCOME_INCOMPARABLE, LS_REMARK_NO_VALUES},
    {inputs_differ, LS_OUTCOME_INPUTS_DIFFER, LS_REMARK_INPUTS},
    {selects_nothing, LS_OUTCOME_INCOMPARABLE, LS_REMARK_NOTHING_SELECTED},
    {pairs_nothing, LS_OUTCOME_INCOMPARABLE, LS_REMARK_NOTHING_PAIRED},
    {kernels_differ, LS_OUTCOME_DIVERGED, LS_REMARK_KERNELS},
    {has_failed, LS_OUTCOME_DIVERGED, LS_REMARK_NONE},
    {replay_diverged, LS_OUTCOME_DIVERGED, LS_REMARK_REPLAY_DIVERGED},
    {weights_changed, LS_OUTCOME_DIVERGED, LS_REMARK_WEIGHTS_CHANGED},
    {weights_are_of_another_file, LS_OUTCOME_INCOMPARABLE, LS_REMARK_WEIGHTS_OTHER},
    {is_unreadable, LS_OUTCOME_INCOMPARABLE, LS_REMARK_UNREADABLE},
    {inputs_are_partial, LS_OUTCOME_INPUTS_DIFFER, LS_REMARK_INPUTS},
    {is_incomplete, LS_OUTCOME_INCOMPARABLE, LS_REMARK_RECORDING_INCOMPLETE},
    {has_steps_of_its_own, LS_OUTCOME_INCOMPARABLE, LS_REMARK_UNPAIRED_TENSORS},
    {has_unpaired, LS_OUTCOME_DIVERGED, LS_REMARK_UNPAIRED_TENSORS},
    {has_passes_alone, LS_OUTCOME_INCOMPARABLE, LS_REMARK_PASSES_ALONE},
    {lacks_selection_end, LS_OUTCOME_INCOMPARABLE, LS_REMARK_SELECTION_END},
    {lacks_candidate_output, LS_OUTCOME_INCOMPARABLE, LS_REMARK_CANDIDATE_OUTPUT},
    {lacks_reference_output, LS_OUTCOME_INCOMPARABLE, LS_REMARK_REFERENCE_OUTPUT},
    {replay_is_open, LS_OUTCOME_INCOMPARABLE, LS_REMARK_REPLAY_OPEN},
    {covers_too_little, LS_OUTCOME_INCOMPARABLE, LS_REMARK_COVERAGE},
};

/* The same for a candidate of which only the graph was recorded: nothing but its replay can decide. */
static const decision model_decisions[] = {
    {inputs_differ, LS_OUTCOME_INPUTS_DIFFER, LS_REMARK_INPUTS},
    {weights_changed, LS_OUTCOME_DIVERGED, LS_REMARK_WEIGHTS_CHANGED},
    {weights_are_of_another_file, LS_OUTCOME_INCOMPARABLE, LS_REMARK_WEIGHTS_OTHER},
    {is_not_replayed, LS_OUTCOME_INCOMPARABLE, LS_REMARK_NOT_REPLAYED},
    {replay_diverged, LS_OUTCOME_DIVERGED, LS_REMARK_NONE},
    {inputs_are_partial, LS_OUTCOME_INPUTS_DIFFER, LS_REMARK_INPUTS},
    {is_incomplete, LS_OUTCOME_INCOMPARABLE, LS_REMARK_RECORDING_INCOMPLETE},
    {replay_is_unsupported, LS_OUTCOME_INCOMPARABLE, LS_REMARK_REPLAY_UNSUPPORTED},
    {replay_is_open, LS_OUTCOME_INCOMPARABLE, LS_REMARK_REPLAY_OPEN},
    {replay_lacks_output, LS_OUTCOME_INCOMPARABLE, LS_REMARK_CANDIDATE_OUTPUT},
};

static void decide(const facts *f, ls_diff_result *out) {
    const bool model = f->diff->in.candidate.trace->is_graph_only;
    const decision *table = model ? model_decisions : decisions;
    const size_t count = model ? sizeof model_decisions / sizeof *model_decisions : sizeof decisions / sizeof *decisions;
    out->outcome = model ? LS_OUTCOME_MODEL_MATCH : LS_OUTCOME_MATCH;
    out->reason = (ls_remark){0};
    for (size_t i = 0; i < count; i++) {
        ls_remark reason = {.code = table[i].reason};
        if (!table[i].applies(f, &reason))
            continue;
        out->outcome = table[i].outcome;
        out->reason = reason;
        return;
    }
}

/* ------------------------------------------------------------------ hints */

static void hint(ls_diff *d, ls_remark remark) { ls_remarks_add(&d->result.hints, &remark); }

static bool is_one_token(const ls_diff *d) {
    const ls_token_alignment *tokens = &d->matching.tokens;
    size_t most = 0;
    int32_t furthest = 0;
    for (size_t i = 0; i < tokens->pair_count; i++) {
        const ls_pass *p = &d->in.candidate.trace->passes[tokens->pairs[i].candidate];
        most = p->rows > most ? p->rows : most;
        for (size_t r = 0; p->positions != NULL && r < p->rows; r++)
            furthest = p->positions[r] > furthest ? p->positions[r] : furthest;
        if (p->positions == NULL && p->rows > 1)
            furthest = 1;
    }
    return most > 0 && furthest == 0;
}

static void hint_at_recording(ls_diff *d, const ls_trace *t) {
    enum { NOTES_MAX = 5 };
    if (!t->complete)
        hint(d, (ls_remark){.code = LS_REMARK_TRACE_INCOMPLETE, .text = t->path});
    for (size_t i = 0; i < t->note_count && i < NOTES_MAX; i++)
        hint(d, (ls_remark){.code = LS_REMARK_NOTE, .text = t->path, .detail = t->notes[i]});
    if (t->dropped > 0)
        hint(d, (ls_remark){.code = LS_REMARK_VALUES_LOST, .text = t->path, .count = t->dropped});
}

/* Final outputs pair whatever they are called. */
static bool any_by_name(const ls_diff *d) {
    for (size_t i = 0; i < d->pairs.count; i++)
        if (d->pairs.items[i].method != LS_METHOD_OUTPUT)
            return true;
    return false;
}

/* Why two graphs have nothing in common. */
static void hint_at_names(ls_diff *d) {
    const ls_trace *r = d->in.reference.trace, *c = d->in.candidate.trace;
    bool wants_preset = d->options.preset == NULL || strcmp(d->options.preset, "none") != 0;
    if (ls_trace_is_ggml(r) && !ls_trace_is_ggml(c))
        hint(d, (ls_remark){.code = LS_REMARK_SIDES_SWAPPED, .text = r->engine});
    else if (d->in.preset.name == NULL && wants_preset)
        hint(d, (ls_remark){.code = LS_REMARK_NO_PRESET, .text = *r->model != '\0' ? r->model : c->model});
}

static bool is_used(const ls_diff *d, const ls_rule *rule) {
    for (size_t i = 0; i < d->pairs.count; i++)
        if (d->pairs.items[i].rule == rule)
            return true;
    return false;
}

/* A rule of the user's map that never applied names something that isn't there, or comes too late. */
static void hint_at_unused_rules(ls_diff *d) {
    enum { SHOWN = 5 };
    size_t unused = 0;
    for (size_t i = 0; i < d->in.map.count; i++) {
        const ls_rule *rule = &d->in.map.rules[i];
        if (rule->included || is_used(d, rule) || unused++ >= SHOWN)
            continue;
        hint(d, (ls_remark){.code = LS_REMARK_RULE_UNUSED, .count = i + 1, .text = rule->references[0] != NULL ? rule->references[0] : "", .detail = rule->candidate});
    }
    if (unused > SHOWN)
        hint(d, (ls_remark){.code = LS_REMARK_RULES_UNUSED, .count = unused - SHOWN});
}

static void hint_at_outputs(ls_diff *d, const facts *f) {
    if (f->reference.name != NULL && f->reference.tail != LS_TAIL_MORE)
        hint(d, (ls_remark){.code = LS_REMARK_REFERENCE_POOLS, .text = f->reference.name});
    if (d->result.unit_length != NULL)
        hint(d, (ls_remark){.code = LS_REMARK_UNIT_LENGTH, .text = d->result.unit_length});
    if (f->candidate.name != NULL && f->candidate.tail != LS_TAIL_MORE)
        hint(d, (ls_remark){.code = LS_REMARK_CANDIDATE_POOLS, .text = f->candidate.name});
}

static bool lacks_outputs(const facts *f) { return f->candidate.tail == LS_TAIL_MORE || f->reference.tail == LS_TAIL_MORE; }

static size_t passes_not_compared(const ls_token_alignment *tokens) {
    size_t several = 0;
    for (size_t i = 1; i < tokens->pair_count; i++)
        several += tokens->pairs[i].rows != NULL && tokens->pairs[i].candidate == tokens->pairs[i - 1].candidate;
    return several;
}

static void hint_at_rows(ls_diff *d) {
    for (size_t i = 0; i < d->pairs.count; i++)
        if (d->pairs.items[i].reference_is_cut) {
            hint(d, (ls_remark){.code = LS_REMARK_OUTPUT_ROWS, .text = d->in.reference.trace->nodes[d->pairs.items[i].reference].name});
            return;
        }
}

/* Where the reference has few tensors, rounding may hide a lot. */
static void hint_at_coarse_regions(ls_diff *d) {
    const double allowed = 2, worth = 1e-3; /* times what is expected, as for a fault; what is worth a note */
    ls_remark coarse = {.code = LS_REMARK_REPLAY_COARSE, .fraction = worth};
    for (size_t i = 0; i < d->replay.count; i++) {
        const ls_replayed *item = &d->replay.items[i];
        if (!item->local.is_spread || item->is_origin || !(allowed * item->local.expected > coarse.fraction))
            continue;
        coarse.fraction = allowed * item->local.expected;
        coarse.text = d->in.candidate.trace->nodes[item->node].name;
    }
    if (coarse.text != NULL)
        hint(d, coarse);
}

/* What a reference without a graph leaves out. */
static void hint_at_dump(ls_diff *d) {
    const ls_replay *r = &d->replay;
    const ls_trace *reference = d->in.reference.trace, *candidate = d->in.candidate.trace;
    ls_remark beyond = {.code = LS_REMARK_REPLAY_BEYOND, .count = r->operations[LS_REPLAY_BEYOND]};
    if (!d->is_replayed || reference->is_graph)
        return;
    for (size_t i = 0; i < r->count && beyond.text == NULL; i++)
        if (r->items[i].class == LS_REPLAY_BEYOND)
            beyond.text = candidate->nodes[r->items[i].node].name;
    if (beyond.count > 0)
        hint(d, beyond);
    hint_at_coarse_regions(d);
    if (r->lost > 0)
        hint(d, (ls_remark){.code = LS_REMARK_REPLAY_LOST, .count = r->lost, .total = r->lost_of, .text = reference->nodes[r->first_lost].name});
    if (d->matching.tokens.candidate_alone > 0)
        hint(d, (ls_remark){.code = LS_REMARK_PASSES_NOT_DUMPED, .count = d->matching.tokens.candidate_alone});
}

/* What these inputs can't show, what was left out, and what to do about it. */
/* Between an engine and another, axes are in another order as a rule. Between files, or PyTorch and PyTorch, they are not. */
static void hint_at_axes(ls_diff *d) {
    const ls_trace *r = d->in.reference.trace, *c = d->in.candidate.trace;
    ls_remark remark = {.code = LS_REMARK_PERMUTED};
    for (size_t i = 0; i < d->pairs.count; i++) {
        const ls_pair *p = &d->pairs.items[i];
        const bool same_kind = (!r->is_graph && !c->is_graph) || (r->nodes[p->reference].dialect == LS_DIALECT_ATEN && c->nodes[p->candidate].dialect == LS_DIALECT_ATEN);
        if (p->method != LS_METHOD_NAME || !same_kind || p->layout == NULL || strncmp(p->layout, "axes ", strlen("axes ")) != 0 || ls_pair_fails(p))
            continue;
        remark.text = remark.count == 0 ? c->nodes[p->candidate].name : remark.text;
        remark.detail = remark.count == 0 ? p->layout : remark.detail;
        remark.count++;
    }
    if (remark.count > 0)
        hint(d, remark);
}

static void hint_at_layers(ls_diff *d) {
    ls_layers_left_out left;
    if (!ls_layers_left_out_find(d, &left))
        return;
    const char *more = left.layers > 1 ? ls_arena_printf(&d->arena, "layer %d and %zu more", left.layer, left.layers - 1) : ls_arena_printf(&d->arena, "layer %d", left.layer);
    hint(d, (ls_remark){.code = LS_REMARK_LAYERS_LEFT_OUT, .count = left.operations, .total = left.passes, .text = d->in.reference.trace->nodes[left.first].name, .detail = more != NULL ? more : "a layer"});
}

static void add_hints(ls_diff *d, const facts *f) {
    hint_at_axes(d);
    const ls_token_alignment *tokens = &d->matching.tokens;
    bool selective = ls_diff_is_selective(d), comparable = tokens->status != LS_INPUTS_DIFFER;
    if (is_one_token(d))
        hint(d, (ls_remark){.code = LS_REMARK_ONE_TOKEN});
    hint_at_recording(d, d->in.reference.trace);
    hint_at_recording(d, d->in.candidate.trace);
    if (!any_by_name(d) && comparable && f->graphs && !selective)
        hint_at_names(d);
    if (comparable && !selective)
        hint_at_unused_rules(d);
    if (selective && d->pairs.count > 0)
        hint(d, (ls_remark){.code = lacks_outputs(f) ? LS_REMARK_SELECTION_LACKS_OUTPUTS : LS_REMARK_SELECTION});
    else if (f->graphs || f->dump)
        hint_at_outputs(d, f);
    if (d->result.first == LS_NONE && d->result.failing > 1)
        hint(d, (ls_remark){.code = LS_REMARK_ORDER_UNKNOWN});
    if (ls_diff_is_eager(d))
        hint(d, (ls_remark){.code = LS_REMARK_EAGER});
    hint_at_layers(d);
    if (passes_not_compared(tokens) > 0)
        hint(d, (ls_remark){.code = LS_REMARK_PASSES_NOT_COMPARED, .count = passes_not_compared(tokens)});
    hint_at_rows(d);
    hint_at_dump(d);
    if (tokens->status == LS_INPUTS_PARTIAL || tokens->status == LS_INPUTS_SHORTER)
        hint(d, (ls_remark){.code = LS_REMARK_INPUTS_PARTIAL});
}

/* What was computed from the reference's values is compared by that, as far as kernels were checked on their recorded inputs. */
static double coverage_of(const ls_diff *d) {
    const ls_verification *v = &d->verification;
    if (d->in.candidate.trace->is_graph_only)
        return ls_proof_coverage(d);
    return fmax(ls_coverage_of(d), v->count > 0 ? fmin(ls_proof_coverage(d), (double)v->checked / (double)v->count) : 0);
}

lockstep_status ls_outcome_decide(ls_diff *d, lockstep_error *error) {
    const bool reference = d->in.reference.trace->is_graph, candidate = d->in.candidate.trace->is_graph;
    facts f = {.diff = d, .graphs = reference && candidate, .dump = reference && !candidate};
    if (!find_left_out(d, &f))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (d->matching.tokens.status != LS_INPUTS_DIFFER)
        d->result.coverage = coverage_of(d);
    decide(&f, &d->result);
    add_hints(d, &f);
    return d->result.hints.failed ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory") : LOCKSTEP_OK;
}
