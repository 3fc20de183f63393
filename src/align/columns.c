#include "align/columns.h"

#include <stdlib.h>
#include <string.h>

static bool is_input(const ls_node *n) { return n->role == LS_ROLE_INPUT; }

/* ------------------------------------------------------------------ kept rows */

/* The last layer gathers the rows whose logits are wanted: GET_ROWS of a computed
 * tensor by a graph input. */
static size_t kept_index(const ls_trace *t, const ls_node *n) {
    if (n->kind->id != LS_OP_GET_ROWS || n->source_count < 2)
        return LS_NONE;
    const ls_node *table = &t->nodes[n->sources[0]], *index = &t->nodes[n->sources[1]];
    bool gathers = table->role != LS_ROLE_WEIGHT && table->role != LS_ROLE_STATE && !is_input(table) &&
                   is_input(index) && strcmp(index->dtype, "i32") == 0 && ls_node_has_values(index);
    return gathers ? n->sources[1] : LS_NONE;
}

static lockstep_status read_kept(const ls_trace *t, size_t index, ls_arena *arena, ls_pass_facts *facts, lockstep_error *error) {
    ls_hold hold;
    LS_TRY(ls_trace_hold(t, index, &hold, error));
    size_t count = (size_t)ls_view_elements(&hold.view);
    facts->kept_rows = ls_arena_array(arena, count + 1, sizeof *facts->kept_rows);
    for (size_t i = 0; facts->kept_rows != NULL && i < count; i++) {
        double value;
        ls_view_read_f64(&hold.view, i, 1, &value);
        facts->kept_rows[i] = (int32_t)value;
    }
    facts->kept_count = facts->kept_rows != NULL ? count : 0;
    ls_hold_release(&hold);
    return facts->kept_rows != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

lockstep_status ls_facts_read(const ls_trace *trace, size_t from, ls_arena *arena, ls_pass_facts *facts, lockstep_error *error) {
    for (size_t i = from; i < trace->node_count; i++) {
        const ls_node *n = &trace->nodes[i];
        if (n->pass == LS_NONE)
            continue;
        ls_pass_facts *f = &facts[n->pass];
        size_t index = f->kept_rows == NULL ? kept_index(trace, n) : LS_NONE;
        if (index != LS_NONE)
            LS_TRY(read_kept(trace, index, arena, f, error));
        const double *dims = n->kind->id == LS_OP_ROPE ? ls_node_parameter(n, "n_dims") : NULL;
        if (dims != NULL && *dims >= 2 && *dims < 1e6)
            f->head_size = (uint64_t)*dims;
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------- columns */

/* Columns that some row may look at: a mask adds 0 there and -inf elsewhere. */
static lockstep_status live_columns(const ls_trace *t, size_t mask, size_t rows, ls_columns *out, lockstep_error *error) {
    ls_hold hold;
    LS_TRY(ls_trace_hold(t, mask, &hold, error));
    const ls_view *v = &hold.view;
    uint64_t padded = v->rank > 0 ? v->shape[v->rank - 1] : 0, first = padded, last = 0;
    uint64_t all = padded > 0 ? ls_view_elements(v) / padded : 0, used = rows > 0 && rows < all ? rows : all;
    double *row = malloc((padded + 1) * sizeof *row);
    for (uint64_t r = 0; row != NULL && r < used; r++) {
        ls_view_read_f64(v, r * padded, padded, row);
        for (uint64_t c = 0; c < padded; c++)
            if (row[c] > -1e30) {
                first = c < first ? c : first;
                last = c > last ? c : last;
            }
    }
    *out = row != NULL && first <= last ? (ls_columns){padded, first, last - first + 1, 0} : (ls_columns){0};
    free(row);
    ls_hold_release(&hold);
    return LOCKSTEP_OK;
}

/* Softmax reads the mask; what it is the softmax of has the same columns. */
static void spread(const ls_trace *t, size_t node, const ls_columns *c, ls_columns *columns) {
    for (int steps = 0; steps < 8; steps++) {
        const ls_node *n = &t->nodes[node];
        if (n->rank == 0 || n->shape[n->rank - 1] != c->padded || is_input(n) || columns[node].padded != 0)
            return;
        columns[node] = *c;
        if (n->source_count == 0)
            return;
        node = n->sources[0];
    }
}

/* The kernels for fused attention get copies of the cache: columns are their rows. */
static void mark_copies(const ls_trace *t, const ls_node *attention, const ls_columns *c, ls_columns *columns) {
    for (size_t k = 0; k < attention->source_count; k++) {
        const ls_node *n = &t->nodes[attention->sources[k]];
        if (n->role == LS_ROLE_COMPUTED && n->rank >= 2 && n->shape[n->rank - 2] == c->padded) {
            columns[attention->sources[k]] = *c;
            columns[attention->sources[k]].from_last = 1;
        }
    }
}

/* The graph input among a node's sources that is its mask, or LS_NONE. */
static size_t mask_of(const ls_trace *t, const ls_node *n) {
    for (size_t k = n->source_count; k-- > 1;) {
        size_t mask = n->sources[k];
        while (t->nodes[mask].source_count > 0 && !is_input(&t->nodes[mask]))
            mask = t->nodes[mask].sources[0]; /* a mask that was cast first */
        if (is_input(&t->nodes[mask]) && ls_node_has_values(&t->nodes[mask]))
            return mask;
    }
    return LS_NONE;
}

lockstep_status ls_columns_read(const ls_trace *trace, size_t from, ls_columns *columns, lockstep_error *error) {
    for (size_t i = from; i < trace->node_count; i++) {
        const ls_node *n = &trace->nodes[i];
        bool softmax = n->kind->role == LS_OP_ROLE_SOFTMAX;
        if (n->pass == LS_NONE || (!softmax && n->kind->role != LS_OP_ROLE_ATTENTION))
            continue;
        size_t mask = mask_of(trace, n);
        if (mask == LS_NONE)
            continue;
        if (columns[mask].padded == 0)
            LS_TRY(live_columns(trace, mask, trace->passes[n->pass].rows, &columns[mask], error));
        if (columns[mask].padded != 0 && softmax)
            spread(trace, i, &columns[mask], columns);
        else if (columns[mask].padded != 0)
            mark_copies(trace, n, &columns[mask], columns);
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------- scores */

static uint64_t innermost(const ls_node *n) { return n->rank > 0 ? n->shape[n->rank - 1] : 1; }

/* What has as many columns as the scores; the factors of the product that they come from have not. */
static void mark_before(const ls_trace *t, size_t node, uint64_t columns, int levels, bool *scores) {
    const ls_node *n = &t->nodes[node];
    if (scores[node])
        return;
    scores[node] = true;
    if (n->kind->role == LS_OP_ROLE_PRODUCT)
        return;
    for (size_t k = 0; levels > 0 && k <= n->source_count; k++) {
        size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
        if (source != LS_NONE && t->nodes[source].role != LS_ROLE_WEIGHT && t->nodes[source].role != LS_ROLE_STATE &&
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
