#include "match/scores.h"

#include <string.h>

static bool is_input(const ls_node *n) { return n->role == LOCKSTEP_ROLE_INPUT; }

static uint64_t innermost(const ls_node *n) { return n->rank > 0 ? n->shape[n->rank - 1] : 1; }

/* Marks a tensor and its sources that have as many columns as the scores, up to the product that computed
 * them. */
static void mark_before(const ls_trace *t, size_t node, uint64_t columns, int levels, bool *scores) {
    const ls_node *n = &t->nodes[node];
    if (scores[node])
        return;
    scores[node] = true;
    if (n->kind->role == LS_OP_ROLE_PRODUCT)
        return;
    for (size_t k = 0; levels > 0 && k <= n->source_count; k++) {
        size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
        if (source != LS_NONE && t->nodes[source].role != LOCKSTEP_ROLE_WEIGHT && t->nodes[source].role != LOCKSTEP_ROLE_STATE &&
            (innermost(&t->nodes[source]) == columns || is_input(&t->nodes[source])))
            mark_before(t, source, columns, levels - 1, scores);
    }
}

void ls_scores_mark(const ls_trace *trace, size_t from, bool *scores) {
    enum { LEVELS = 6 };
    for (size_t i = from; i < trace->node_count; i++) {
        const ls_node *n = &trace->nodes[i];
        for (size_t k = 0; n->kind->role == LS_OP_ROLE_SOFTMAX && k < n->source_count; k++)
            mark_before(trace, n->sources[k], innermost(n), LEVELS, scores);
        if (is_input(n) && strcasestr(n->name, "mask") != NULL)
            scores[i] = true;
    }
}
