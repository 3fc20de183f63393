#include "eval/sampling.h"

#include <math.h>

enum { COST_MAX = 1 << 28, ROWS_LEAST = 32 };

double ls_eval_keys(const ls_trace *t, const ls_node *n) {
    const ls_node *keys = n->operand_count > 1 && n->operands[1] != LS_NONE ? &t->nodes[n->operands[1]] : NULL;
    return keys != NULL && keys->rank > 1 ? (double)keys->shape[keys->rank - 2] : 1;
}

uint64_t ls_eval_rows(const ls_node *n) {
    const int inner = n->kind->role == LS_OP_ROLE_ATTENTION ? 2 : 1;
    uint64_t rows = 1;
    for (int i = 0; i < n->rank - inner; i++)
        rows *= n->shape[i];
    return rows;
}

/* How many terms each element of a product is a sum of, where its first operand has this shape; for a transposed
 * convolution, about as many. */
static double terms_of(const ls_node *n, const ls_node *a) {
    if (n->kind->role == LS_OP_ROLE_CONVOLUTION) {
        const double *filters = ls_node_parameter(n, "channels_out");
        const int axis = n->kind->id == LS_OP_CONV_TRANSPOSE_1D ? 3 : 4; /* from the innermost, 1 */
        return (double)a->elements / fmax(1, filters != NULL ? *filters : a->rank >= axis ? (double)a->shape[a->rank - axis] : 1);
    }
    return n->kind->id == LS_OP_OUT_PROD && a->rank > 1 ? (double)a->shape[a->rank - 2] : (double)a->shape[a->rank - 1];
}

double ls_eval_cost(const ls_trace *t, const ls_node *n) {
    if (n->kind->role == LS_OP_ROLE_ATTENTION)
        return 2 * ls_eval_keys(t, n) * (double)n->elements; /* scores, and their sums of values */
    const bool multiplies = (n->kind->role == LS_OP_ROLE_PRODUCT && n->kind->id != LS_OP_SOLVE_TRI) || n->kind->role == LS_OP_ROLE_CONVOLUTION;
    const ls_node *a = multiplies && n->operand_count > 0 && n->operands[0] != LS_NONE ? &t->nodes[n->operands[0]] : NULL;
    return a != NULL && a->rank > 0 ? terms_of(n, a) * (double)n->elements : 0;
}

uint64_t ls_eval_every(const ls_trace *t, const ls_node *n) {
    const double wanted = ceil(ls_eval_cost(t, n) / COST_MAX);
    const uint64_t most = ls_eval_rows(n) / ROWS_LEAST;
    return wanted <= 1 || most <= 1 ? 1 : wanted < (double)most ? (uint64_t)wanted : most;
}
