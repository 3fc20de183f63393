#include "eval/leaves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "format/archive.h"
#include "tensor/dtype.h"

enum { VALUES_MAX = 1 << 27 }; /* elements of one operand */

bool ls_no_values(const char **out_reason, const char *reason) {
    *out_reason = reason;
    return false;
}

double *ls_values_new(const ls_node *n, const char **out_reason) {
    double *values = n->elements <= VALUES_MAX ? malloc((n->elements + 1) * sizeof *values) : NULL;
    if (values == NULL)
        *out_reason = n->elements <= VALUES_MAX ? "out of memory" : "an operand of more than 2^27 elements";
    return values;
}

void ls_values_give(const ls_node *n, double *values, ls_array *out) {
    *out = (ls_array){.rank = n->rank, .elements = n->elements, .is_flags = strcmp(n->dtype, "bool") == 0, .values = values};
    memcpy(out->shape, n->shape, sizeof out->shape);
}

typedef struct decoding {
    const ls_view *view;
    uint64_t elements;
    double *values;
} decoding;

enum { DECODED_AT_ONCE = 1 << 17 };

static void decode_part(void *context, uint64_t i, int worker) {
    const decoding *d = context;
    const uint64_t at = i * DECODED_AT_ONCE, left = d->elements - at;
    (void)worker;
    ls_view_read_f64(d->view, at, left < DECODED_AT_ONCE ? (size_t)left : DECODED_AT_ONCE, d->values + at);
}

static bool read_view(const ls_view *view, const ls_node *n, ls_array *out, const char **out_reason) {
    double *values = ls_values_new(n, out_reason);
    if (values == NULL)
        return false;
    decoding d = {view, n->elements, values};
    ls_pool_run((n->elements + DECODED_AT_ONCE - 1) / DECODED_AT_ONCE, decode_part, &d);
    ls_values_give(n, values, out);
    return true;
}

bool ls_leaf_stored(const ls_trace *trace, size_t node, ls_array *out, const char **out_reason) {
    ls_hold hold;
    lockstep_error error;
    if (ls_trace_hold(trace, node, &hold, &error) != LOCKSTEP_OK)
        return ls_no_values(out_reason, "values that can't be read");
    const bool fits = ls_view_elements(&hold.view) == trace->nodes[node].elements || ls_no_values(out_reason, "values of another size");
    const bool ok = fits && read_view(&hold.view, &trace->nodes[node], out, out_reason);
    ls_hold_release(&hold);
    return ok;
}

bool ls_leaf_unwritten(const ls_node *n, ls_array *out, const char **out_reason) {
    double *values = ls_values_new(n, out_reason);
    for (uint64_t i = 0; values != NULL && i < n->elements; i++)
        values[i] = NAN;
    if (values != NULL)
        ls_values_give(n, values, out);
    return values != NULL;
}

bool ls_leaf_weight(const ls_models *m, size_t node, ls_array *out, const char **out_reason) {
    ls_view view;
    return ls_models_find(m, node, &view, out_reason) && read_view(&view, &m->trace->nodes[node], out, out_reason);
}

bool ls_leaf_borrow(const ls_models *m, const ls_node *reader, size_t slot, ls_array *out) {
    const ls_node *n = m->count > 0 && ls_eval_takes_stored(reader, slot) ? &m->trace->nodes[reader->operands[slot]] : NULL;
    const char *reason;
    ls_view view;
    if (n == NULL || n->role != LOCKSTEP_ROLE_WEIGHT || n->alias_of != LS_NONE || ls_node_has_values(n) || !ls_models_find(m, reader->operands[slot], &view, &reason) ||
        ls_view_elements(&view) != n->elements)
        return false;
    ls_values_give(n, NULL, out);
    out->stored = view;
    return true;
}
