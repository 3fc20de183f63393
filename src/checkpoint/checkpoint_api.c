/* The public functions of section 4. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint_diff.h"

struct lockstep_comparison {
    ls_checkpoint_diff diff;
};

lockstep_status lockstep_checkpoints_compare(const char *reference, const char *candidate, lockstep_comparison **out_comparison,
                                             lockstep_error *error) {
    if (reference == NULL || candidate == NULL || out_comparison == NULL)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "no paths, or nowhere to put the comparison");
    lockstep_comparison *c = malloc(sizeof *c);
    if (c == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    const ls_checkpoint_options options = {.what = LS_WHAT_ALL};
    lockstep_status status = ls_checkpoint_diff_run(reference, candidate, &options, &c->diff, error);
    if (status == LOCKSTEP_OK)
        *out_comparison = c;
    else
        free(c);
    return status;
}

void lockstep_comparison_close(lockstep_comparison *comparison) {
    if (comparison == NULL)
        return;
    ls_checkpoint_diff_done(&comparison->diff);
    free(comparison);
}

bool lockstep_comparison_matches(const lockstep_comparison *comparison) { return comparison->diff.matches; }

size_t lockstep_comparison_finding_count(const lockstep_comparison *comparison) { return comparison->diff.finding_count; }

const char *lockstep_comparison_finding(const lockstep_comparison *comparison, size_t index, bool *out_fails) {
    if (index >= comparison->diff.finding_count)
        return NULL;
    if (out_fails != NULL)
        *out_fails = comparison->diff.findings[index].fails;
    return comparison->diff.findings[index].text;
}

size_t lockstep_comparison_weight_count(const lockstep_comparison *comparison) { return comparison->diff.weights.pair_count; }

static const char *name_of(const lockstep_comparison *c, int side, const ls_weight_pair *p) {
    return c->diff.sides[side].archive->tensors[p->part[side].tensor].name;
}

lockstep_status lockstep_comparison_weight(const lockstep_comparison *comparison, size_t index, lockstep_weight *out_weight) {
    if (index >= comparison->diff.weights.pair_count)
        return LOCKSTEP_INVALID_ARGUMENT;
    const ls_weight_pair *p = &comparison->diff.weights.pairs[index];
    *out_weight = (lockstep_weight){name_of(comparison, LS_REFERENCE, p), name_of(comparison, LS_CANDIDATE, p),
                                    ls_weight_verdict_name(p->verdict), ls_weight_fails(p),
                                    p->verdict < LS_WEIGHT_SHAPE ? p->metrics.nmse : NAN, p->allowed, p->layout, p->cause};
    return LOCKSTEP_OK;
}

size_t lockstep_comparison_find(const lockstep_comparison *comparison, const char *name) {
    for (size_t i = 0; i < comparison->diff.weights.pair_count; i++)
        if (strcmp(name_of(comparison, LS_CANDIDATE, &comparison->diff.weights.pairs[i]), name) == 0)
            return i;
    return SIZE_MAX;
}
