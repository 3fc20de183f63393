/* Pairs tensors of archives whose names are mere numbers by their place. */

#include "match/match_by_values.h"
#include "match/mere_number.h"

/* "7", "arr_7", "tensor7" number a tensor without naming it. */
static bool has_only_numbers(const ls_trace *t) {
    for (size_t i = 0; i < t->node_count; i++)
        if (!ls_is_mere_number(t->nodes[i].name))
            return false;
    return true;
}

lockstep_status ls_match_by_place(ls_matching *m, lockstep_error *error) {
    const ls_trace *r = m->in->reference.trace, *c = m->in->candidate.trace;
    bool alike = r->is_ordered && c->is_ordered && r->node_count == c->node_count && (has_only_numbers(r) || has_only_numbers(c));
    for (size_t i = 0; alike && i < c->node_count; i++)
        if (m->pair_of[i] == 0 && !m->reference_used[i] && r->nodes[i].elements == c->nodes[i].elements)
            LS_TRY(ls_matching_add(m, &(ls_pair){.reference = i, .candidate = i, .method = LS_METHOD_PLACE}, error));
    return LOCKSTEP_OK;
}
