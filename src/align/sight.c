#include "align/sight.h"

#include <string.h>

#include "base/hash.h"

/* Pairs of one rule are of one kind, whatever their layer: they vote together. */
static uint64_t kind_of(const ls_diff *d, const ls_pair *p) {
    if (p->rule != NULL)
        return XXH3_64bits(&p->rule, sizeof p->rule);
    const char *name = d->candidate->nodes[p->candidate_value].name;
    return XXH3_64bits(name, strlen(name));
}

static bool is_of_scores(const ls_node *n) {
    static const char *const words[] = {"score", "weights", "prob", "mask", "softmax", "soft_max"};
    bool square = n->kind->role == LS_OP_ROLE_SOFTMAX || n->kind->role == LS_OP_ROLE_MASKING;
    for (size_t i = 0; i < sizeof words / sizeof words[0] && !square; i++)
        square = strcasestr(n->name, words[i]) != NULL;
    return square;
}

/* Rows and columns are tokens. */
static bool is_square(const ls_diff *d, const ls_pair *p) {
    return d->reference_scores[p->reference_value] || d->candidate_scores[p->candidate_value] || is_of_scores(&d->reference->nodes[p->reference_value]) ||
           is_of_scores(&d->candidate->nodes[p->candidate_value]);
}

static int32_t last_position(const ls_pass *pass) {
    int32_t last = -1;
    for (size_t i = 0; pass->positions != NULL && i < pass->rows; i++)
        last = pass->positions[i] > last ? pass->positions[i] : last;
    return last;
}

lockstep_status ls_sight_open(ls_diff *d, const ls_pair *p, ls_reorder reorder, ls_layout_choice choice, ls_sight *out_sight,
                              lockstep_error *error) {
    const ls_pass_pair *pp = &d->rows.pairs[p->passes];
    const ls_pass_facts *facts = &d->facts[pp->candidate];
    ls_sight s = {0};
    LS_TRY(ls_trace_hold(d->reference, p->reference_value, &s.reference, error));
    lockstep_status status = ls_trace_hold(d->candidate, p->candidate_value, &s.candidate, error);
    if (status != LOCKSTEP_OK) {
        ls_hold_release(&s.reference);
        return status;
    }
    const ls_pass *reference_pass = &d->reference->passes[pp->reference], *candidate_pass = &d->candidate->passes[pp->candidate];
    ls_layout_request q = {.reference = s.reference.view, .candidate = s.candidate.view, .passes = pp,
                           .reference_rows = reference_pass->rows,
                           .candidate_rows = candidate_pass->rows,
                           .kept_rows = facts->kept_rows, .kept_count = facts->kept_count,
                           .reference_columns = d->reference_columns[p->reference_value],
                           .candidate_columns = d->candidate_columns[p->candidate_value],
                           .reference_last = last_position(reference_pass), .candidate_last = last_position(candidate_pass),
                           .square = is_square(d, p), .head_size = facts->head_size, .reorder = reorder, .kind = kind_of(d, p)};
    ls_grids grids;
    bool cut = pp->rows != NULL && !pp->whole && ls_grids_read(reference_pass, candidate_pass, pp, &grids);
    q.grids = cut ? &grids : NULL;
    status = ls_layout_find(&q, &d->votes, choice, &s.layout, error);
    if (cut)
        ls_grids_done(&grids);
    if (status != LOCKSTEP_OK)
        ls_sight_close(&s);
    else
        *out_sight = s;
    return status;
}

void ls_sight_close(ls_sight *sight) {
    ls_layout_done(&sight->layout);
    ls_hold_release(&sight->reference);
    ls_hold_release(&sight->candidate);
}
