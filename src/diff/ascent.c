#include "diff/ascent.h"

#include <stdlib.h>

lockstep_status ls_ascent_open(const ls_walk *w, ls_ascent *out, lockstep_error *error) {
    const size_t count = w->graph->node_count + 1;
    *out = (ls_ascent){.walk = w, .stack = calloc(count, sizeof(size_t)), .seen = calloc(count, sizeof(size_t)), .inputs.items = calloc(count, sizeof(size_t)),
                       .interval.items = calloc(count, sizeof(size_t)), .weights.items = calloc(count, sizeof(size_t))};
    if (out->stack != NULL && out->seen != NULL && out->inputs.items != NULL && out->interval.items != NULL && out->weights.items != NULL)
        return LOCKSTEP_OK;
    ls_ascent_close(out);
    return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

void ls_ascent_close(ls_ascent *a) {
    free(a->stack);
    free(a->seen);
    free(a->inputs.items);
    free(a->interval.items);
    free(a->weights.items);
    *a = (ls_ascent){0};
}

static void append(ls_index_list *list, size_t index) { list->items[list->count++] = index; }

/* Takes a node's weights and pushes its other sources. */
static void push_sources(ls_ascent *a, const ls_node *n) {
    const ls_node *nodes = a->walk->graph->nodes;
    for (size_t k = 0; k <= n->source_count; k++) {
        size_t source = ls_node_input(n, k);
        if (source == LS_NONE || a->seen[source] == a->round)
            continue;
        bool weight = nodes[source].role == LOCKSTEP_ROLE_WEIGHT, carries = ls_node_carries(&nodes[source]);
        if (weight || carries)
            a->seen[source] = a->round;
        if (weight)
            append(&a->weights, source);
        else if (carries)
            a->stack[a->depth++] = source;
    }
}

static bool is_of_interval(const ls_walk *w, size_t at) {
    const ls_matching *m = &w->diff->matching;
    const ls_node *n = &w->graph->nodes[at];
    bool absorbed = w->graph == m->in->candidate.trace && m->absorbed_into[at] != 0;
    return n->role == LOCKSTEP_ROLE_COMPUTED && n->alias_of == LS_NONE && n->elements > 0 && !absorbed;
}

void ls_ascent_climb(ls_ascent *a, size_t from) {
    const ls_walk *w = a->walk;
    const ls_pair *p = &w->diff->pairs.items[from];
    const size_t start = w->graph == w->diff->in.candidate.trace ? p->candidate_value : w->values->value_of[p->reference_value];
    a->inputs.count = a->interval.count = a->weights.count = 0;
    a->round++;
    a->stack[a->depth++] = start;
    while (a->depth > 0) {
        size_t at = a->stack[--a->depth], value = w->values->value_of[at], pair = ls_walk_pair(w, at);
        if (at != start && pair != 0) {
            if (a->seen[value] != a->round || value == at)
                append(&a->inputs, pair - 1);
            a->seen[value] = a->round;
            continue;
        }
        if (at != start && is_of_interval(w, at))
            append(&a->interval, at);
        push_sources(a, &w->graph->nodes[at]);
    }
}
