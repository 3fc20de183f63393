#include "trace/in_place.h"

#include <string.h>

/* What views are taken of, from the first view's source on; LS_NONE where it is not in the trace. */
static size_t source_of_views(const ls_trace *t, size_t node) {
    enum { DEEPEST = 64 };
    for (int depth = 0; node != LS_NONE && t->nodes[node].role == LOCKSTEP_ROLE_VIEW && depth < DEEPEST; depth++)
        node = t->nodes[node].source_count > 0 ? t->nodes[node].sources[0] : LS_NONE;
    return node;
}

static bool is_contiguous(const ls_node *n) {
    bool ok = true;
    for (int axis = 0; axis + 1 < n->rank && n->strides != NULL && ok; axis++) {
        int64_t inner;
        ok = n->shape[axis + 1] <= INT64_MAX && !__builtin_mul_overflow(n->strides[axis + 1], (int64_t)n->shape[axis + 1], &inner) && inner == n->strides[axis];
    }
    return ok;
}

/* Whether a result has replaced all that was in the memory. */
static bool fills(const ls_node *result, const ls_node *memory) {
    return result->offset == 0 && result->elements == memory->elements && strcmp(result->dtype, memory->dtype) == 0 && is_contiguous(result) && is_contiguous(memory);
}

void ls_trace_settle_view(const ls_trace *t, ls_node *view) {
    if (view->role != LOCKSTEP_ROLE_VIEW || view->view_of == LS_NONE || view->source_count == 0)
        return;
    const size_t at = source_of_views(t, view->sources[0]);
    if (at != LS_NONE && t->nodes[at].role == LOCKSTEP_ROLE_COMPUTED && t->nodes[at].view_of == view->view_of && fills(&t->nodes[at], &t->nodes[view->view_of]))
        view->view_of = at;
}
