/* The public functions of section 4. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint_diff.h"

struct lockstep_comparison {
    ls_checkpoint_diff diff;
    const char **causes; /* one for each pair of weights, in the diff's arena; NULL where there is none */
};

static lockstep_status write_causes(lockstep_comparison *c, lockstep_error *error) {
    const ls_weights *w = &c->diff.weights;
    c->causes = calloc(w->pair_count + 1, sizeof *c->causes);
    for (size_t i = 0; c->causes != NULL && i < w->pair_count; i++) {
        ls_text text = {0};
        if (!ls_weight_has_cause(&w->pairs[i]))
            continue;
        ls_cause_text(&w->pairs[i].cause, &text);
        c->causes[i] = text.data != NULL ? ls_arena_copy(&c->diff.arena, text.data, text.length) : NULL;
        ls_text_done(&text);
        if (c->causes[i] == NULL)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    return c->causes != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

lockstep_status lockstep_checkpoints_compare(const char *reference, const char *candidate, lockstep_comparison **out_comparison,
                                             lockstep_error *error) {
    if (reference == NULL || candidate == NULL || out_comparison == NULL)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "no paths, or nowhere to put the comparison");
    lockstep_comparison *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    const ls_checkpoint_options options = {.what = LS_WHAT_ALL};
    lockstep_status status = ls_checkpoint_diff_run(reference, candidate, &options, &c->diff, error);
    if (status != LOCKSTEP_OK) {
        free(c);
        return status;
    }
    status = write_causes(c, error);
    if (status == LOCKSTEP_OK)
        *out_comparison = c;
    else
        lockstep_comparison_close(c);
    return status;
}

void lockstep_comparison_close(lockstep_comparison *comparison) {
    if (comparison == NULL)
        return;
    ls_checkpoint_diff_done(&comparison->diff);
    free(comparison->causes);
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
                                    ls_verdict_name(p->verdict), ls_weight_fails(p),
                                    p->verdict < LS_VERDICT_SHAPE ? p->metrics.nmse : NAN, p->allowed, p->layout != NULL ? p->layout : "", comparison->causes[index]};
    return LOCKSTEP_OK;
}

size_t lockstep_comparison_find(const lockstep_comparison *comparison, const char *name) {
    for (size_t i = 0; i < comparison->diff.weights.pair_count; i++)
        if (strcmp(name_of(comparison, LS_CANDIDATE, &comparison->diff.weights.pairs[i]), name) == 0)
            return i;
    return SIZE_MAX;
}
