#include "match/pass_facts.h"

#include <string.h>

/* The last layer gathers the rows whose logits are wanted: GET_ROWS of a computed
 * tensor by a graph input. */
static size_t output_index(const ls_trace *t, const ls_node *n) {
    if (n->kind->id != LS_OP_GET_ROWS || n->source_count < 2)
        return LS_NONE;
    const ls_node *table = &t->nodes[n->sources[0]], *index = &t->nodes[n->sources[1]];
    bool gathers = table->role != LOCKSTEP_ROLE_WEIGHT && table->role != LOCKSTEP_ROLE_STATE && table->role != LOCKSTEP_ROLE_INPUT &&
                   index->role == LOCKSTEP_ROLE_INPUT && strcmp(index->dtype, "i32") == 0 && ls_node_has_values(index);
    return gathers ? n->sources[1] : LS_NONE;
}

static lockstep_status read_output_rows(const ls_trace *t, size_t index, ls_arena *arena, ls_pass_facts *facts, lockstep_error *error) {
    ls_hold hold;
    LS_TRY(ls_trace_hold(t, index, &hold, error));
    size_t count = (size_t)ls_view_elements(&hold.view);
    facts->output_rows = ls_arena_array(arena, count + 1, sizeof *facts->output_rows);
    for (size_t i = 0; facts->output_rows != NULL && i < count; i++) {
        double value;
        ls_view_read_f64(&hold.view, i, 1, &value);
        facts->output_rows[i] = (int32_t)value;
    }
    facts->output_row_count = facts->output_rows != NULL ? count : 0;
    ls_hold_release(&hold);
    return facts->output_rows != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

lockstep_status ls_pass_facts_read(const ls_trace *trace, size_t from, ls_arena *arena, ls_pass_facts *facts, lockstep_error *error) {
    for (size_t i = from; i < trace->node_count; i++) {
        const ls_node *n = &trace->nodes[i];
        if (n->pass == LS_NONE)
            continue;
        ls_pass_facts *f = &facts[n->pass];
        size_t index = f->output_rows == NULL ? output_index(trace, n) : LS_NONE;
        if (index != LS_NONE)
            LS_TRY(read_output_rows(trace, index, arena, f, error));
        const double *dims = n->kind->id == LS_OP_ROPE ? ls_node_parameter(n, "n_dims") : NULL;
        if (dims != NULL && *dims >= 2 && *dims < 1e6)
            f->head_size = (uint64_t)*dims;
    }
    return LOCKSTEP_OK;
}
