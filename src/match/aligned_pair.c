#include "match/aligned_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "match/picture_node.h"
#include "tensor/dtype.h"

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

static ls_output_rows rows_of(const ls_side *s, size_t node, size_t pass, size_t sequences) {
    ls_output_rows rows = ls_row_selection_of(&s->selections, node);
    rows.rows = s->trace->passes[pass].rows;
    rows.sequences = sequences;
    return rows;
}

/* A dump holds the rows of the pass that it belongs to, or only the last one. */
static ls_output_rows rows_of_dump(const ls_pass_geometry *geometry, const ls_output_rows *run, uint64_t own, uint64_t other) {
    ls_output_rows rows = {.rows = run->rows, .sequences = run->sequences};
    if (rows.rows > 1 && run->selected_count == 0 && own * rows.rows == other) {
        rows.selected = &geometry->last_row;
        rows.selected_count = 1;
    }
    return rows;
}

/* Rows that the candidate's code chose may be the wrong ones: they count only where the reference chose rows, too, or
 * where the last one is among them. */
static bool is_to_be_trusted(const ls_layout_request *q) {
    bool trusted = q->candidate_rows.by_input || q->reference_rows.selected_count > 0;
    for (size_t i = 0; i < q->candidate_rows.selected_count && !trusted; i++)
        trusted = (size_t)q->candidate_rows.selected[i] + 1 == q->candidate_rows.rows;
    return trusted;
}

static bool have_equal_shapes(ls_view a, ls_view b) {
    ls_layout_squeeze(&a);
    ls_layout_squeeze(&b);
    return a.rank == b.rank && memcmp(a.shape, b.shape, (size_t)a.rank * sizeof *a.shape) == 0;
}

/* In two files, a name stands for one tensor, which both write in the same order of its axes. What two programs are given has
 * the same order where that can be. */
static bool is_as_is(const ls_matching *m, const ls_pair *p, const ls_view *reference, const ls_view *candidate) {
    if (p->method == LS_METHOD_INPUT)
        return have_equal_shapes(*reference, *candidate);
    return p->method == LS_METHOD_NAME && !m->in->reference.trace->is_graph && !m->in->candidate.trace->is_graph && reference->rank == candidate->rank &&
           memcmp(reference->shape, candidate->shape, (size_t)reference->rank * sizeof *reference->shape) == 0;
}

ls_layout_request ls_aligned_pair_request(const ls_matching *m, const ls_pair *p, ls_reorder reorder, const ls_view *reference, const ls_view *candidate) {
    const ls_pass_pair *pp = &m->tokens.pairs[p->pass_pair];
    const ls_pass_geometry *geometry = &m->geometry[p->pass_pair];
    ls_layout_request q = {.reference = *reference, .candidate = *candidate, .passes = pp,
                           .grids = geometry->has_grids ? &geometry->grids : NULL,
                           .reference_rows = rows_of(&m->in->reference, p->reference_value, pp->reference, geometry->reference_sequences),
                           .candidate_rows = rows_of(&m->in->candidate, p->candidate_value, pp->candidate, geometry->candidate_sequences),
                           .reference_window = m->in->reference.windows[p->reference_value],
                           .candidate_window = m->in->candidate.windows[p->candidate_value],
                           .reference_last = geometry->reference_last, .candidate_last = geometry->candidate_last,
                           .square = is_square(m, p), .head_size = m->facts[pp->candidate].head_size, .reorder = reorder, .kind = kind_of(m, p), .permutation = p->permutation, .as_is = is_as_is(m, p, reference, candidate)};
    q.is_picture = ls_nodes_are_pictures(&m->in->reference.trace->nodes[p->reference_value], &m->in->candidate.trace->nodes[p->candidate_value]);
    if ((p->method == LS_METHOD_INPUT || q.is_picture) && geometry->items == NULL) { /* its axes are not tokens, however many they are */
        q.passes = NULL;
        q.reference_window = q.candidate_window = (ls_kv_window){0};
        q.square = false;
        q.reference_rows = q.candidate_rows = (ls_output_rows){0};
        return q;
    }
    if (geometry->items != NULL) {
        q.passes = geometry->items;
        q.reference_rows = (ls_output_rows){.rows = pp->reference_items, .sequences = 1};
        q.candidate_rows = (ls_output_rows){.rows = pp->candidate_items, .sequences = 1};
    }
    if (!m->in->reference.trace->is_graph && pp->rows != NULL)
        q.reference_rows = rows_of_dump(geometry, &q.candidate_rows, ls_view_elements(reference), ls_view_elements(candidate));
    else if (!m->in->candidate.trace->is_graph && pp->rows != NULL)
        q.candidate_rows = rows_of_dump(geometry, &q.reference_rows, ls_view_elements(candidate), ls_view_elements(reference));
    if (!is_to_be_trusted(&q))
        q.candidate_rows.selected_count = 0;
    return q;
}

/* The reference's rows, or elements, in the pair's order, in the candidate's shape. */
static lockstep_status order_rows(const ls_pair *p, const ls_view *reference, const ls_view *candidate, ls_layout *out, lockstep_error *error) {
    const size_t size = ls_dtype(reference->dtype)->block_bytes, columns = p->orders_elements ? 1 : reference->rank == 2 ? (size_t)reference->shape[1] : 0;
    const uint64_t rows = columns > 0 ? ls_view_elements(candidate) / columns : 0;
    const bool fits = rows > 0 && ls_dtype(reference->dtype)->block_elements == 1 && ls_view_is_contiguous(reference) && rows * columns <= ls_view_elements(reference) && rows * columns == ls_view_elements(candidate);
    uint8_t *copy = fits ? malloc(rows * columns * size) : NULL;
    if (copy == NULL)
        return ls_fail(error, fits ? LOCKSTEP_NO_MEMORY : LOCKSTEP_INCOMPARABLE, fits ? "out of memory" : "rows that can't be put into another order");
    for (uint64_t row = 0; row < rows; row++)
        memcpy(copy + row * columns * size, reference->data + p->order[row] * columns * size, columns * size);
    *out = (ls_layout){.reference = *reference, .candidate = *candidate, .gathered = {copy, NULL}};
    snprintf(out->text, sizeof out->text, "%s", p->orders_elements ? LS_HEADS_REGROUPED : LS_ROWS_BY_EXPERT);
    out->reference.data = copy;
    out->reference.mapped = false;
    out->reference.rank = candidate->rank;
    memcpy(out->reference.shape, candidate->shape, sizeof candidate->shape);
    ls_view_set_contiguous(&out->reference);
    return LOCKSTEP_OK;
}

lockstep_status ls_aligned_pair_open(const ls_matching *m, const ls_pair *p, ls_reorder reorder, ls_layout_choice choice, ls_aligned_pair *out_aligned,
                                     lockstep_error *error) {
    ls_aligned_pair a = {0};
    LS_TRY(ls_trace_hold(m->in->reference.trace, p->reference_value, &a.reference, error));
    lockstep_status status = ls_trace_hold(m->in->candidate.trace, p->candidate_value, &a.candidate, error);
    if (status != LOCKSTEP_OK) {
        ls_hold_release(&a.reference);
        return status;
    }
    const ls_layout_request q = ls_aligned_pair_request(m, p, reorder, &a.reference.view, &a.candidate.view);
    status = p->order != NULL ? order_rows(p, &a.reference.view, &a.candidate.view, &a.layout, error) : ls_layout_find(&q, &m->votes, choice, &a.layout, error);
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
