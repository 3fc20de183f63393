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

lockstep_status ls_aligned_pair_open(const ls_matching *m, const ls_pair *p, ls_reorder reorder, ls_layout_choice choice, ls_aligned_pair *out_aligned,
                                     lockstep_error *error) {
    const ls_pass_pair *pp = &m->tokens.pairs[p->pass_pair];
    const ls_pass_facts *facts = &m->facts[pp->candidate];
    const ls_pass_geometry *geometry = &m->geometry[p->pass_pair];
    ls_aligned_pair a = {0};
    LS_TRY(ls_trace_hold(m->in->reference.trace, p->reference_value, &a.reference, error));
    lockstep_status status = ls_trace_hold(m->in->candidate.trace, p->candidate_value, &a.candidate, error);
    if (status != LOCKSTEP_OK) {
        ls_hold_release(&a.reference);
        return status;
    }
    ls_layout_request q = {.reference = a.reference.view, .candidate = a.candidate.view, .passes = pp,
                           .grids = geometry->has_grids ? &geometry->grids : NULL,
                           .reference_rows = m->reference_facts[pp->reference].output_rows, .candidate_rows = facts->output_rows,
                           .reference_window = m->in->reference.windows[p->reference_value],
                           .candidate_window = m->in->candidate.windows[p->candidate_value],
                           .reference_last = geometry->reference_last, .candidate_last = geometry->candidate_last,
                           .square = is_square(m, p), .head_size = facts->head_size, .reorder = reorder, .kind = kind_of(m, p)};
    q.reference_rows.rows = m->in->reference.trace->passes[pp->reference].rows;
    q.reference_rows.sequences = geometry->reference_sequences;
    q.candidate_rows.rows = m->in->candidate.trace->passes[pp->candidate].rows;
    q.candidate_rows.sequences = geometry->candidate_sequences;
    status = ls_layout_find(&q, &m->votes, choice, &a.layout, error);
    if (status != LOCKSTEP_OK)
        ls_aligned_pair_close(&a);
    else
        *out_aligned = a;
    return status;
}

void ls_aligned_pair_close(ls_aligned_pair *aligned) {
    ls_layout_done(&aligned->layout);
    ls_hold_release(&aligned->reference);
    ls_hold_release(&aligned->candidate);
}
