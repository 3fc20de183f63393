#include "diff/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The oracle's nodes are the candidate's. */
static lockstep_status check(const ls_diff *d, const ls_diff *other, const char *path, lockstep_error *error) {
    const ls_trace *c = d->in.candidate.trace, *o = other->in.candidate.trace;
    bool same = c->node_count == o->node_count;
    for (size_t i = 0; i < c->node_count && same; i++)
        same = strcmp(c->nodes[i].name, o->nodes[i].name) == 0 && c->nodes[i].elements == o->nodes[i].elements;
    return same ? LOCKSTEP_OK
                : ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: is not the run of %s again: expected what `lockstep verify %s --replay` has written", path, c->path, c->path);
}

static double error_at(const ls_diff *d, size_t node) {
    for (size_t i = 0; i < d->pairs.count; i++)
        if (d->pairs.items[i].candidate_value == node && ls_pair_has_metrics(&d->pairs.items[i]))
            return d->pairs.items[i].metrics.rel_l2;
    return NAN;
}

static void add(ls_oracle *out, size_t node) {
    for (size_t i = 0; i < out->count; i++)
        if (out->opinions[i].node == node)
            return;
    out->opinions[out->count++] = (ls_opinion){node, NAN, NAN};
}

static bool list_nodes(const ls_diff *d, ls_oracle *out) {
    const ls_trace *t = d->in.candidate.trace;
    out->opinions = calloc(t->pass_count + 2, sizeof *out->opinions);
    if (out->opinions == NULL)
        return false;
    if (d->result.first != LS_NONE)
        add(out, d->pairs.items[d->result.first].candidate_value);
    for (size_t i = 0; i < d->matching.tokens.pair_count; i++) {
        const size_t output = d->matching.facts[d->matching.tokens.pairs[i].candidate].output;
        if (output != 0)
            add(out, output - 1);
    }
    return true;
}

lockstep_status ls_oracle_ask(const ls_diff *d, const char *path, ls_oracle *out, lockstep_error *error) {
    const ls_diff_options by_rules = {.map = d->options.map, .preset = d->options.preset, .profile = &ls_profiles[0]}, by_name = {.preset = "none", .profile = &ls_profiles[0]};
    ls_diff *with_reference = NULL, *with_candidate = NULL;
    *out = (ls_oracle){0};
    lockstep_status status = ls_diff_paths(d->in.reference.trace->path, path, &by_rules, &with_reference, error);
    if (status == LOCKSTEP_OK)
        status = check(d, with_reference, path, error);
    if (status == LOCKSTEP_OK)
        status = ls_diff_paths(path, d->in.candidate.trace->path, &by_name, &with_candidate, error);
    if (status == LOCKSTEP_OK && !list_nodes(d, out))
        status = ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < out->count && status == LOCKSTEP_OK; i++) {
        out->opinions[i].reference = error_at(with_reference, out->opinions[i].node);
        out->opinions[i].candidate = error_at(with_candidate, out->opinions[i].node);
    }
    ls_diff_free(with_reference);
    ls_diff_free(with_candidate);
    return status;
}

void ls_oracle_done(ls_oracle *o) {
    free(o->opinions);
    *o = (ls_oracle){0};
}
