#include "match/kv_window.h"

#include <stdlib.h>

static bool is_input(const ls_node *n) { return n->role == LOCKSTEP_ROLE_INPUT; }

/* Columns that some row may attend to: the mask adds 0 there and -inf elsewhere. */
static lockstep_status live_columns(const ls_trace *t, size_t mask, size_t rows, ls_kv_window *out, lockstep_error *error) {
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
    *out = row != NULL && first <= last ? (ls_kv_window){padded, first, last - first + 1, 0} : (ls_kv_window){0};
    free(row);
    ls_hold_release(&hold);
    return LOCKSTEP_OK;
}

/* The tensors from which a softmax is computed have the same columns as its mask. */
static void spread(const ls_trace *t, size_t node, const ls_kv_window *c, ls_kv_window *columns) {
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

/* Kernels for fused attention read copies of the cache, whose rows are the columns of the mask. */
static void mark_copies(const ls_trace *t, const ls_node *attention, const ls_kv_window *c, ls_kv_window *columns) {
    for (size_t k = 0; k < attention->source_count; k++) {
        const ls_node *n = &t->nodes[attention->sources[k]];
        if (n->role == LOCKSTEP_ROLE_COMPUTED && n->rank >= 2 && n->shape[n->rank - 2] == c->padded) {
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
            mask = t->nodes[mask].sources[0]; /* the mask was cast first */
        if (is_input(&t->nodes[mask]) && ls_node_has_values(&t->nodes[mask]))
            return mask;
    }
    return LS_NONE;
}

lockstep_status ls_kv_windows_read(const ls_trace *trace, size_t from, ls_kv_window *columns, lockstep_error *error) {
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
