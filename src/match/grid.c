#include "match/grid.h"

#include <stdlib.h>
#include <string.h>

ls_grid ls_grid_of(const ls_pass *pass) {
    ls_grid one = {1, pass->rows};
    size_t length = 1;
    if (pass->sequences == NULL || pass->rows == 0)
        return one;
    while (length < pass->rows && pass->sequences[length] == pass->sequences[0])
        length++;
    if (pass->rows % length != 0)
        return one;
    for (size_t r = 1; r < pass->rows; r++)
        if ((pass->sequences[r] == pass->sequences[r - 1]) != (r % length != 0))
            return one;
    return (ls_grid){pass->rows / length, length};
}

static bool make_axis(ls_grid_axis *axis, size_t room) {
    axis->reference = malloc((room + 1) * sizeof *axis->reference);
    axis->candidate = malloc((room + 1) * sizeof *axis->candidate);
    return axis->reference != NULL && axis->candidate != NULL;
}

static void append(ls_grid_axis *axis, uint64_t reference, uint64_t candidate) {
    axis->reference[axis->count] = (uint32_t)reference;
    axis->candidate[axis->count++] = (uint32_t)candidate;
}

size_t ls_grids_run(const ls_grids *g, size_t row) {
    size_t to = row + 1;
    const ls_row_pair *first = &g->rows[row];
    while (to < g->row_count && g->rows[to].candidate / g->candidate.length == first->candidate / g->candidate.length &&
           g->rows[to].reference / g->reference.length == first->reference / g->reference.length)
        to++;
    return to;
}

/* Does this run share the same tokens as the first? Only such sequences can be selected together. */
static bool is_like_first(const ls_grids *g, const ls_pass_pair *pair, size_t from, size_t to) {
    bool like = to - from == g->tokens.count;
    for (size_t i = from; i < to && like; i++)
        like = pair->rows[i].reference % g->reference.length == g->tokens.reference[i - from] &&
               pair->rows[i].candidate % g->candidate.length == g->tokens.candidate[i - from];
    return like;
}

bool ls_grids_read(const ls_pass *reference, const ls_pass *candidate, const ls_pass_pair *pair, ls_grids *out_grids) {
    ls_grids g = {.reference = ls_grid_of(reference), .candidate = ls_grid_of(candidate), .regular = true, .rows = pair->rows, .row_count = pair->row_count};
    if (pair->row_count == 0 || g.reference.length == 0 || g.candidate.length == 0 || !make_axis(&g.sequences, pair->row_count) ||
        !make_axis(&g.tokens, pair->row_count)) {
        ls_grids_done(&g);
        return false;
    }
    for (size_t from = 0, to; from < pair->row_count; from = to) {
        to = ls_grids_run(&g, from);
        for (size_t i = from; from == 0 && i < to; i++)
            append(&g.tokens, pair->rows[i].reference % g.reference.length, pair->rows[i].candidate % g.candidate.length);
        if (is_like_first(&g, pair, from, to))
            append(&g.sequences, pair->rows[from].reference / g.reference.length, pair->rows[from].candidate / g.candidate.length);
        else
            g.regular = false;
    }
    *out_grids = g;
    return true;
}

void ls_grids_done(ls_grids *grids) {
    free(grids->sequences.reference);
    free(grids->sequences.candidate);
    free(grids->tokens.reference);
    free(grids->tokens.candidate);
}
