#include "verify/computed.h"

#include <math.h>
#include <stdlib.h>

#include "eval/sampling.h"

bool ls_has_nan(const double *values, uint64_t count) {
    uint64_t i = 0;
    while (i < count && !isnan(values[i]))
        i++;
    return i < count;
}

static bool is_recorded_nan(const ls_recorded *r, size_t node, const ls_array *values) {
    return r->trace->nodes[node].role != LOCKSTEP_ROLE_WEIGHT && ls_has_nan(values->values, values->elements) && !ls_recorded_is_of_cache(r, node);
}

static bool read_operands(const ls_recorded *r, const ls_node *n, const ls_rows *rows, ls_array operands[LS_EVAL_OPERANDS], ls_evaluation *e, ls_computed *out) {
    if (n->operand_count > LS_EVAL_OPERANDS)
        return ls_eval_refuse(e, "more operands than any operation has");
    for (size_t i = 0; i < n->operand_count; i++) {
        if (n->operands[i] == LS_NONE)
            continue;
        if (!ls_leaf_borrow(r->models, n, i, &operands[i]) && !ls_recorded_read_rows(r, n->operands[i], rows, ls_rows_axis_of(r->trace, n, i, rows), &operands[i], &e->reason))
            return false;
        e->operands[i] = &operands[i];
        out->reads_nan = out->reads_nan || is_recorded_nan(r, n->operands[i], &operands[i]);
    }
    return true;
}

bool ls_computed_of(const ls_recorded *r, size_t node, const ls_rows *rows, bool exact, ls_computed *out) {
    const ls_node *n = &r->trace->nodes[node], some = ls_rows_node(rows, n);
    ls_array operands[LS_EVAL_OPERANDS] = {0};
    ls_evaluation e = {.node = &some, .every = exact ? 1 : ls_eval_every(r->trace, n), .is_rough = !exact};
    *out = (ls_computed){0};
    bool ok = read_operands(r, n, rows, operands, &e, out);
    double *values = ok ? ls_values_new(&some, &e.reason) : NULL;
    out->scale = values != NULL ? ls_values_new(&some, &e.reason) : NULL;
    e.out = values;
    e.scale = out->scale;
    ok = values != NULL && out->scale != NULL && ls_eval(&e);
    for (int i = 0; i < LS_EVAL_OPERANDS; i++)
        ls_array_release(&operands[i]);
    ls_values_give(&some, values, &out->values);
    if (!ok)
        ls_computed_done(out);
    out->reason = e.reason;
    return ok;
}

void ls_computed_done(ls_computed *c) {
    ls_array_release(&c->values);
    free(c->scale);
    *c = (ls_computed){.reason = c->reason};
}
