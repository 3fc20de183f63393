#include "diff/lacked_term.h"

/* Whether an operation of the candidate gives a value of the reference. */
static bool is_given(const ls_diff *d, size_t reference) {
    bool any = false;
    for (size_t i = 0; i < d->replay.count && !any; i++)
        any = d->replay.items[i].partner != LS_NONE && ls_trace_shown(d->in.reference.trace, d->replay.items[i].partner) == reference;
    return any;
}

/* A sum of what the candidate has and of what it lacks: the latter; LS_NONE. */
static size_t lacked_of(const ls_diff *d, size_t sum) {
    const ls_trace *t = d->in.reference.trace;
    const ls_node *n = &t->nodes[sum];
    if (n->kind->role != LS_OP_ROLE_SUM || n->source_count != 2 || is_given(d, sum))
        return LS_NONE;
    const size_t a = ls_trace_shown(t, n->sources[0]), b = ls_trace_shown(t, n->sources[1]);
    const bool has_a = is_given(d, a), has_b = is_given(d, b);
    const size_t lacked = has_a && !has_b ? b : has_b && !has_a ? a : LS_NONE;
    return lacked != LS_NONE && t->nodes[lacked].elements > 1 ? lacked : LS_NONE;
}

size_t ls_lacked_term(const ls_diff *d, const ls_replayed *item, size_t *out_term) {
    const ls_trace *t = d->in.reference.trace;
    const ls_node *n = item->partner != LS_NONE ? &t->nodes[ls_trace_shown(t, item->partner)] : NULL;
    for (size_t i = 0; n != NULL && i < n->source_count; i++) {
        const size_t sum = ls_trace_shown(t, n->sources[i]);
        *out_term = lacked_of(d, sum);
        if (*out_term != LS_NONE)
            return sum;
    }
    return LS_NONE;
}
