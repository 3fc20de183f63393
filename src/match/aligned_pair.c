#include "match/aligned_pair.h"

#include <string.h>

#include "base/hash.h"

/* Pairs of one rule are of one kind, whatever their layer: they vote together. */
static uint64_t kind_of(const ls_matching *m, const ls_pair *p) {
    if (p->rule != NULL)
        return XXH3_64bits(&p->rule, sizeof p->rule);
    const char *name = m->in->candidate.trace->nodes[p->candidate_value].name;
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
static bool is_square(const ls_matching *m, const ls_pair *p) {
    return m->in->reference.is_score[p->reference_value] || m->in->candidate.is_score[p->candidate_value] || is_of_scores(&m->in->reference.trace->nodes[p->reference_value]) ||
           is_of_scores(&m->in->candidate.trace->nodes[p->candidate_value]);
}

static int32_t last_position(const ls_pass *pass) {
    int32_t last = -1;
    for (size_t i = 0; pass->positions != NULL && i < pass->rows; i++)
        last = pass->positions[i] > last ? pass->positions[i] : last;
    return last;
}

lockstep_status ls_aligned_pair_open(ls_matching *m, const ls_pair *p, ls_reorder reorder, ls_layout_choice choice, ls_aligned_pair *out_aligned,
                              lockstep_error *error) {
    const ls_pass_pair *pp = &m->tokens.pairs[p->passes];
    const ls_pass_facts *facts = &m->facts[pp->candidate];
    ls_aligned_pair s = {0};
    LS_TRY(ls_trace_hold(m->in->reference.trace, p->reference_value, &s.reference, error));
    lockstep_status status = ls_trace_hold(m->in->candidate.trace, p->candidate_value, &s.candidate, error);
    if (status != LOCKSTEP_OK) {
        ls_hold_release(&s.reference);
        return status;
    }
    const ls_pass *reference_pass = &m->in->reference.trace->passes[pp->reference], *candidate_pass = &m->in->candidate.trace->passes[pp->candidate];
    ls_layout_request q = {.reference = s.reference.view, .candidate = s.candidate.view, .passes = pp,
                           .reference_rows = reference_pass->rows,
                           .candidate_rows = candidate_pass->rows,
                           .output_rows = facts->output_rows, .output_row_count = facts->output_row_count,
                           .reference_window = m->in->reference.windows[p->reference_value],
                           .candidate_window = m->in->candidate.windows[p->candidate_value],
                           .reference_last = last_position(reference_pass), .candidate_last = last_position(candidate_pass),
                           .square = is_square(m, p), .head_size = facts->head_size, .reorder = reorder, .kind = kind_of(m, p)};
    ls_grids grids;
    bool cut = pp->rows != NULL && !pp->whole && ls_grids_read(reference_pass, candidate_pass, pp, &grids);
    q.grids = cut ? &grids : NULL;
    status = ls_layout_find(&q, &m->votes, choice, &s.layout, error);
    if (cut)
        ls_grids_done(&grids);
    if (status != LOCKSTEP_OK)
        ls_aligned_pair_close(&s);
    else
        *out_aligned = s;
    return status;
}

void ls_aligned_pair_close(ls_aligned_pair *aligned) {
    ls_layout_done(&aligned->layout);
    ls_hold_release(&aligned->reference);
    ls_hold_release(&aligned->candidate);
}
