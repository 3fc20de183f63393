#include "checkpoint/checkpoint_diff.h"

#include "checkpoint/weight_steps.h"

#include "checkpoint/hyperparameters.h"

#include <stdlib.h>
#include <string.h>

static lockstep_status compare(ls_checkpoint_diff *d, const ls_checkpoint_options *o, lockstep_error *error) {
    ls_checkpoint *reference = &d->sides[LS_REFERENCE], *candidate = &d->sides[LS_CANDIDATE];
    if ((o->what & LS_WHAT_CONFIG) != 0)
        LS_TRY(ls_settings_compare(reference, candidate, &d->settings, error));
    if ((o->what & LS_WHAT_VOCAB) != 0)
        LS_TRY(ls_vocabulary_compare(reference, candidate, &d->vocabulary, error));
    if ((o->what & LS_WHAT_WEIGHTS) != 0) {
        uint64_t heads[2];
        for (int k = 0; k < 2; k++) { /* the reference's, if it gives them */
            heads[k] = ls_settings_heads(reference, k);
            heads[k] = heads[k] != 0 ? heads[k] : ls_settings_heads(candidate, k);
        }
        LS_TRY(ls_weights_run(reference, candidate, heads, &o->weights, &d->weights, error));
    }
    return ls_checkpoint_judge(d, o->min_coverage, error);
}

lockstep_status ls_checkpoint_diff_run(const char *reference, const char *candidate, const ls_checkpoint_options *options,
                                       ls_checkpoint_diff *out_diff, lockstep_error *error) {
    *out_diff = (ls_checkpoint_diff){.what = options->what};
    lockstep_status status = ls_checkpoint_open(reference, &out_diff->sides[LS_REFERENCE], error);
    if (status == LOCKSTEP_OK)
        status = ls_checkpoint_open(candidate, &out_diff->sides[LS_CANDIDATE], error);
    if (status == LOCKSTEP_OK)
        status = compare(out_diff, options, error);
    if (status != LOCKSTEP_OK)
        ls_checkpoint_diff_done(out_diff);
    return status;
}

lockstep_status ls_checkpoint_diff_pair(ls_checkpoint_diff *d, size_t reference, size_t candidate, lockstep_error *error) {
    ls_weight_pair pair = {.method = LS_METHOD_REPLAY, .part = {{.tensor = reference, .axis = -1}, {.tensor = candidate, .axis = -1}}};
    LS_TRY(ls_weights_compare(&d->weights, &pair, error));
    return ls_weights_add_pair(&d->weights, &pair) != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

void ls_checkpoint_diff_done(ls_checkpoint_diff *diff) {
    ls_settings_done(&diff->settings);
    ls_vocabulary_done(&diff->vocabulary);
    ls_weights_done(&diff->weights);
    for (int side = 0; side < LS_SIDES; side++)
        ls_checkpoint_close(&diff->sides[side]);
    free(diff->findings);
    ls_arena_done(&diff->arena);
    *diff = (ls_checkpoint_diff){0};
}

const char *ls_finding_kind_name(ls_finding_kind kind) {
    static const char *const names[LS_FINDING_KINDS] = {"config",    "vocab",   "nonfinite", "shape",     "missing",
                                                        "extra",     "names", "duplicate", "cause",   "differs",   "worse", "lost-rows",
                                                        "unsupported", "unread", "coverage", "remark"};
    return names[kind];
}

const char *ls_checkpoint_verdict_name(const ls_checkpoint_diff *diff) {
    if (diff->differs)
        return "differs";
    return diff->matches ? "match" : diff->comparable ? "incomplete" : "incomparable";
}
