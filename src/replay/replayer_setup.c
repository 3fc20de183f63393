/* What is known of the candidate's graph before it is replayed. */
#include <stdlib.h>
#include <string.h>

#include "replay/replayer.h"

static bool list_consumers(ls_replayer *w) {
    const ls_trace *t = w->candidate;
    size_t edges = 0;
    for (size_t i = 0; i < t->node_count; i++)
        for (size_t k = 0; k < t->nodes[i].operand_count; k++)
            if (t->nodes[i].operands[k] != LS_NONE) {
                w->first_consumer[t->nodes[i].operands[k] + 1]++;
                edges++;
            }
    size_t *next = malloc((t->node_count + 1) * sizeof *next);
    w->consumers = malloc((edges + 1) * sizeof *w->consumers);
    const bool ok = next != NULL && w->consumers != NULL;
    for (size_t i = 0; i < t->node_count && ok; i++) {
        w->first_consumer[i + 1] += w->first_consumer[i];
        next[i] = w->first_consumer[i];
    }
    for (size_t i = 0; i < t->node_count && ok; i++)
        for (size_t k = 0; k < t->nodes[i].operand_count; k++)
            if (t->nodes[i].operands[k] != LS_NONE)
                w->consumers[next[t->nodes[i].operands[k]]++] = i;
    free(next);
    return ok;
}

static void mark_given(ls_replayer *w) {
    for (size_t i = 0; i < w->candidate->node_count; i++) {
        const ls_node *n = &w->candidate->nodes[i];
        w->is_given[i] = n->role == LOCKSTEP_ROLE_COMPUTED || n->role == LOCKSTEP_ROLE_VIEW;
        for (size_t k = 0; k < n->operand_count && w->is_given[i]; k++)
            w->is_given[i] = n->operands[k] == LS_NONE || (n->operands[k] < i && w->is_given[n->operands[k]]);
    }
}

void ls_replayer_done(ls_replayer *w) {
    ls_replayer_untry(w);
    for (size_t i = 0; w->steps != NULL && i < w->candidate->node_count; i++) {
        ls_array_release(&w->steps[i].value);
        ls_array_release(&w->steps[i].computed);
        ls_array_release(&w->steps[i].moved);
    }
    for (size_t i = 0; w->decoded != NULL && i < w->candidate->node_count; i++)
        ls_array_release(&w->decoded[i]);
    for (size_t i = 0; w->variances != NULL && i < w->candidate->node_count; i++)
        free(w->variances[i]);
    free(w->variances);
    for (size_t i = 0; i < w->cache_count; i++)
        free(w->caches[i].nodes);
    ls_partners_done(&w->partners);
    ls_map_done(&w->cache_numbers);
    ls_map_done(&w->learned);
    ls_map_done(&w->votes);
    ls_map_done(&w->lessons);
    ls_arena_done(&w->scratch);
    free(w->steps);
    free(w->consumers);
    free(w->first_consumer);
    free(w->caches);
    free(w->cache_of);
    free(w->last_node);
    free(w->decoded);
    free(w->is_handed_on);
    free(w->is_given);
    free(w->is_silent);
    free(w->orders);
    free(w->anchors);
    free(w->places);
    free(w->taken);
    free(w->is_right);
    free(w->tried);
    free(w->depends);
    free(w->touched);
}

lockstep_status ls_replayer_init(ls_replayer *w, lockstep_error *error) {
    const size_t n = w->candidate->node_count, m = w->m->in->reference.trace->node_count;
    LS_TRY(ls_partners_init(w->m->in->reference.trace, &w->partners, error));
    w->steps = calloc(n + 1, sizeof *w->steps);
    w->first_consumer = calloc(n + 2, sizeof *w->first_consumer);
    w->cache_of = calloc(n + 1, sizeof *w->cache_of);
    w->last_node = calloc(w->candidate->pass_count + 1, sizeof *w->last_node);
    w->decoded = calloc(n + 1, sizeof *w->decoded);
    w->variances = calloc(n + 1, sizeof *w->variances);
    w->is_handed_on = calloc(n + 1, sizeof *w->is_handed_on);
    w->orders = calloc(n + 1, sizeof *w->orders);
    w->is_given = calloc(n + 1, sizeof *w->is_given);
    w->is_silent = calloc(w->candidate->pass_count + 1, sizeof *w->is_silent);
    w->anchors = malloc((n + 1) * sizeof *w->anchors);
    w->places = malloc((m + 1) * sizeof *w->places);
    w->taken = malloc((m + 1) * sizeof *w->taken);
    w->tried = calloc(n + 1, sizeof *w->tried);
    w->depends = calloc(n + 1, 1);
    if (w->steps == NULL || w->first_consumer == NULL || w->cache_of == NULL || w->last_node == NULL || w->decoded == NULL || w->variances == NULL || w->is_handed_on == NULL || w->orders == NULL || w->is_given == NULL || w->is_silent == NULL || w->anchors == NULL || w->places == NULL || w->taken == NULL || w->tried == NULL || w->depends == NULL || !list_consumers(w))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < m; i++)
        w->places[i] = LS_NONE;
    for (size_t i = 0; i < n; i++) {
        w->anchors[i] = w->steps[i].partner = w->steps[i].likeness = LS_NONE;
        if (w->candidate->nodes[i].pass != LS_NONE)
            w->last_node[w->candidate->nodes[i].pass] = i + 1;
    }
    for (size_t i = 0; i < w->m->tokens.pair_count; i++)
        w->is_silent[w->m->tokens.pairs[i].candidate] = w->m->tokens.status != LS_INPUTS_UNKNOWN && w->m->tokens.pairs[i].rows == NULL;
    mark_given(w);
    w->types = ls_replayer_type_error(w);
    w->type_error = w->types.most;
    w->trials_left = LS_REPLAYER_TRIALS * n;
    return ls_replayer_prepare(w, error);
}

size_t ls_replayer_first(const ls_replayer *w, size_t pass) {
    const size_t first = w->candidate->passes[pass].first_node;
    return first != LS_NONE ? first : 0;
}
