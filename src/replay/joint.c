#include "replay/joint.h"

#include <stdlib.h>

typedef struct search {
    const ls_partners *p;
    bool *below; /* per node: is computed from the input */
} search;

/* Marks what is computed from the input, or is another name of that. Sources come first. */
static void mark_below(search *s, size_t input) {
    const ls_trace *t = s->p->trace;
    s->below[input] = true;
    for (size_t i = input; i < t->node_count; i++)
        for (size_t k = s->p->first_child[i]; s->below[i] && k < s->p->first_child[i + 1]; k++)
            s->below[s->p->children[k]] = t->nodes[s->p->children[k]].pass == t->nodes[input].pass;
}

/* Whether an operation also reads floats that have nothing to do with the input. */
static bool joins(const search *s, size_t node) {
    const ls_trace *t = s->p->trace;
    const ls_node *n = &t->nodes[node];
    bool other = false;
    for (size_t i = 0; i < n->source_count && s->p->is_value[node] && !other; i++) {
        const size_t source = ls_trace_shown(t, n->sources[i]);
        other = !s->below[source] && s->p->is_value[source];
    }
    return other;
}

/* Whether a value is read by such an operation, through views, too. */
static bool is_joined(const search *s, size_t node, int depth) {
    enum { DEEPEST = 8 };
    bool any = false;
    for (size_t k = s->p->first_child[node]; k < s->p->first_child[node + 1] && depth < DEEPEST && !any; k++) {
        const size_t child = s->p->children[k];
        any = joins(s, child) || (!s->p->is_value[child] && is_joined(s, child, depth + 1));
    }
    return any;
}

size_t ls_joint_below(const ls_partners *p, size_t input, uint64_t elements) {
    const ls_trace *t = p->trace;
    search s = {p, calloc(t->node_count + 1, sizeof *s.below)};
    size_t found = LS_NONE;
    if (s.below != NULL)
        mark_below(&s, input);
    for (size_t i = t->node_count; s.below != NULL && i-- > input && found == LS_NONE;)
        if (s.below[i] && p->is_value[i] && t->nodes[i].elements == elements && is_joined(&s, i, 0))
            found = i;
    free(s.below);
    return found;
}
