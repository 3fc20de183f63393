#include "report/tile_errors.h"

#include "compare/sample.h"
#include "match/aligned_pair.h"
#include "match/picture_node.h"

enum { TILES_MOST = 24, TILE_AXIS = 4 /* from behind: tiles, colours, rows, columns */ };

static bool are_pictures(const ls_diff *d, const ls_pair *p) {
    return ls_nodes_are_pictures(&d->in.reference.trace->nodes[p->reference_value], &d->in.candidate.trace->nodes[p->candidate_value]);
}

const char *ls_picture_axis_name(const ls_diff *d, const ls_pair *p, int axis) {
    const ls_node *n = &d->in.candidate.trace->nodes[p->candidate_value];
    static const char *const planar[] = {"tiles", "colours", "rows", "columns"}, *const interleaved[] = {"tiles", "rows", "columns", "colours"};
    const int from = n->rank - TILE_AXIS;
    if (!are_pictures(d, p) || axis < from || axis < 0 || axis >= n->rank)
        return NULL;
    if (axis == from)
        return n->rank > TILE_AXIS ? planar[0] : "pictures";
    return (n->shape[n->rank - 3] == 3 ? planar : interleaved)[axis - from];
}

/* How many tiles the tensor consists of, one after another; 0 where it doesn't. */
static size_t tiles_of(const ls_node *n) {
    uint64_t outside = 1;
    for (int i = 0; i < n->rank - TILE_AXIS; i++)
        outside *= n->shape[i];
    const uint64_t tiles = n->rank >= TILE_AXIS ? n->shape[n->rank - TILE_AXIS] : 0;
    return outside == 1 && tiles > 1 && tiles <= TILES_MOST ? (size_t)tiles : 0;
}

void ls_put_tile_errors(const ls_diff *d, const ls_pair *p, ls_text *out) {
    const size_t tiles = are_pictures(d, p) ? tiles_of(&d->in.candidate.trace->nodes[p->candidate_value]) : 0;
    ls_aligned_pair aligned;
    if (tiles == 0 || ls_aligned_pair_open(&d->matching, p, p->reorder, LS_LAYOUT_VOTED, &aligned, NULL) != LOCKSTEP_OK)
        return;
    const uint64_t elements = ls_view_elements(&aligned.layout.candidate);
    if (elements == ls_view_elements(&aligned.layout.reference) && elements % tiles == 0) {
        ls_text_printf(out, "  rel. L2 of each %s:", d->in.candidate.trace->nodes[p->candidate_value].rank > TILE_AXIS ? "tile" : "picture");
        for (size_t i = 0; i < tiles; i++) {
            const ls_squares s = ls_squares_between(&aligned.layout.reference, i * (elements / tiles), &aligned.layout.candidate, i * (elements / tiles), elements / tiles);
            ls_text_printf(out, "%s %.3g", i > 0 ? "," : "", ls_relative_l2(s.difference, s.reference));
        }
        ls_text_printf(out, "\n");
    }
    ls_aligned_pair_close(&aligned);
}
