#include "diff/diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/ranges.h"
#include "diff/accepted.h"
#include "diff/divergence.h"
#include "diff/outcome.h"
#include "diff/outputs.h"
#include "diff/proof.h"
#include "diff/value_pairs.h"

/* ------------------------------------------------------------------ opening */

/* By the reference's model class, or else by what the candidate, or an engine that names the
 * architecture of its file, says. */
static const char *choose_preset(const ls_diff *d) {
    const char *models[2] = {d->in.reference.trace->model, d->in.candidate.trace->model}, *name = NULL;
    for (int side = 0; side < 2 && name == NULL; side++)
        name = ls_rules_preset_for(models[side]);
    for (int side = 0; side < 2 && name == NULL; side++)
        name = *models[side] != '\0' ? ls_rules_preset_for_architecture(models[side]) : NULL;
    return name;
}

static lockstep_status load_rules(ls_diff *d, lockstep_error *error) {
    const ls_diff_options *o = &d->options;
    if (o->map != NULL)
        LS_TRY(ls_rules_open(o->map, &d->in.map, error));
    const char *name = o->preset != NULL ? o->preset : choose_preset(d);
    if (name == NULL || strcmp(name, "none") == 0)
        return LOCKSTEP_OK;
    return ls_rules_preset(name, &d->in.preset, error);
}

static lockstep_status open_reference(ls_side *reference, lockstep_error *error) {
    LS_TRY(ls_side_grow(reference, error));
    LS_TRY(ls_side_describe(reference, 0, error));
    return ls_kv_windows_read(reference->trace, 0, reference->windows, error);
}

/* Both sides take their traces over before anything can fail. */
static lockstep_status open_both(ls_diff *d, ls_trace *reference, ls_trace *candidate, lockstep_error *error) {
    lockstep_status status = ls_side_init(reference, &d->in.reference, error);
    lockstep_status other = ls_side_init(candidate, &d->in.candidate, status == LOCKSTEP_OK ? error : NULL);
    LS_TRY(status);
    LS_TRY(other);
    d->in.tensors = d->options.tensors;
    d->in.layers = d->options.layers;
    d->in.passes = d->options.passes;
    LS_TRY(ls_accepted_check(&d->options, error));
    LS_TRY(ls_ranges_check("--layers", d->in.layers, error));
    LS_TRY(load_rules(d, error));
    LS_TRY(open_reference(&d->in.reference, error));
    return ls_matching_init(&d->in, &d->pairs, &d->arena, &d->matching, error);
}

lockstep_status ls_diff_open(ls_trace *reference, ls_trace *candidate, const ls_diff_options *options, ls_diff **out_diff, lockstep_error *error) {
    ls_diff *d = calloc(1, sizeof *d);
    if (d == NULL) {
        ls_trace_close(reference);
        ls_trace_close(candidate);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    d->options = *options;
    d->result.first = LS_NONE;
    lockstep_status status = open_both(d, reference, candidate, error);
    if (status != LOCKSTEP_OK)
        ls_diff_free(d);
    else
        *out_diff = d;
    return status;
}

void ls_diff_free(ls_diff *d) {
    if (d == NULL)
        return;
    ls_replay_done(&d->replay);
    ls_models_done(&d->models);
    ls_verification_done(&d->verification);
    ls_matching_done(&d->matching);
    free(d->pairs.items);
    ls_remarks_done(&d->result.hints);
    ls_rules_done(&d->in.map);
    ls_rules_done(&d->in.preset);
    ls_side_done(&d->in.reference);
    ls_side_done(&d->in.candidate);
    ls_arena_done(&d->arena);
    free(d);
}

/* ------------------------------------------------------------------ steps */

lockstep_status ls_diff_grow(ls_diff *d, lockstep_error *error) { return ls_matching_grow(&d->matching, error); }

/* What was known only once all pairs were: the order, and what each pair's neighbours make of it. */
static lockstep_status mark_pairs(ls_diff *d, lockstep_error *error) {
    const ls_trace *reference = d->in.reference.trace, *candidate = d->in.candidate.trace;
    d->result.order_of_reference = reference->is_graph > candidate->is_graph || (reference->is_ordered && !candidate->is_graph);
    d->result.order_known = reference->is_ordered || candidate->is_ordered;
    LS_TRY(ls_outputs_pair(d, error));
    LS_TRY(ls_matching_finish(&d->matching, d->result.order_of_reference, error));
    return ls_divergence_find(d, error);
}

lockstep_status ls_diff_finish(ls_diff *d, lockstep_error *error) {
    ls_token_alignment_judge(&d->matching.tokens);
    if (d->matching.tokens.status == LS_INPUTS_DIFFER) { /* no pair means anything */
        d->pairs.count = 0;
        memset(d->matching.pair_of, 0, d->matching.node_capacity * sizeof *d->matching.pair_of);
    } else {
        LS_TRY(mark_pairs(d, error));
    }
    return ls_outcome_decide(d, error);
}

/* ------------------------------------------------------------------ whole */

/* Runs a step that has no figures of its own. */
static lockstep_status during(ls_stage stage, lockstep_status (*step)(ls_diff *, lockstep_error *), ls_diff *d, lockstep_error *error) {
    ls_progress_begin(stage, 0);
    const lockstep_status status = step(d, error);
    ls_progress_end(stage);
    return status;
}

static lockstep_status run(ls_diff *d, lockstep_error *error) {
    LS_TRY(during(LS_STAGE_PAIRING, ls_diff_grow, d, error));
    ls_token_alignment_judge(&d->matching.tokens);
    if (d->matching.tokens.status != LS_INPUTS_DIFFER) {
        LS_TRY(ls_proof_run(d, error));
        if (!d->is_replayed) /* what is computed says more than what looks alike */
            LS_TRY(during(LS_STAGE_PAIRING, ls_value_pairs_find, d, error));
        LS_TRY(ls_diff_compare_all(d, error));
        LS_TRY(ls_proof_correct_names(d, error));
    }
    return ls_diff_finish(d, error);
}

lockstep_status ls_diff_traces(ls_trace *reference, ls_trace *candidate, const ls_diff_options *options, ls_diff **out_diff, lockstep_error *error) {
    ls_diff *d;
    LS_TRY(ls_diff_open(reference, candidate, options, &d, error));
    lockstep_status status = run(d, error);
    if (status != LOCKSTEP_OK)
        ls_diff_free(d);
    else
        *out_diff = d;
    return status;
}

lockstep_status ls_diff_paths(const char *reference, const char *candidate, const ls_diff_options *options, ls_diff **out_diff, lockstep_error *error) {
    ls_trace *traces[2];
    ls_progress_begin(LS_STAGE_READING, 2);
    lockstep_status status = ls_trace_open(candidate, &traces[1], error);
    ls_progress_add(LS_STAGE_READING, 1);
    if (status == LOCKSTEP_OK && (status = ls_trace_open(reference, &traces[0], error)) != LOCKSTEP_OK)
        ls_trace_close(traces[1]);
    ls_progress_end(LS_STAGE_READING);
    LS_TRY(status);
    return ls_diff_traces(traces[0], traces[1], options, out_diff, error);
}
