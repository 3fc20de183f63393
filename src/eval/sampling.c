#include "eval/sampling.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS_LEAST = 32 };

double ls_eval_keys(const ls_trace *t, const ls_node *n) {
    const ls_node *keys = n->operand_count > 1 && n->operands[1] != LS_NONE ? &t->nodes[n->operands[1]] : NULL;
    return keys != NULL && keys->rank > 1 ? (double)keys->shape[keys->rank - 2] : 1;
}

/* ggml's attention has the heads of a token side by side. */
uint64_t ls_eval_rows(const ls_node *n) {
    const int inner = n->kind->role == LS_OP_ROLE_ATTENTION && n->dialect != LS_DIALECT_ATEN ? 2 : 1;
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

static double size_of_axis(const ls_node *n, int axis) { return axis < n->rank ? (double)n->shape[n->rank - 1 - axis] : 1; }

/* The same for ATen, whose weights come after what they are multiplied with. */
static double terms_of_aten(const ls_trace *t, const ls_node *n) {
    const size_t slot = n->kind->role == LS_OP_ROLE_CONVOLUTION || n->kind->id == LS_OP_ADDMM ? 1 : 0;
    const ls_node *a = n->operand_count > slot && n->operands[slot] != LS_NONE ? &t->nodes[n->operands[slot]] : NULL;
    if (a == NULL || a->rank == 0)
        return 0;
    return n->kind->role == LS_OP_ROLE_CONVOLUTION ? (double)a->elements / fmax(1, (double)a->shape[0]) : size_of_axis(a, 0);
}

double ls_eval_cost(const ls_trace *t, const ls_node *n) {
    if (n->kind->role == LS_OP_ROLE_ATTENTION)
        return 2 * ls_eval_keys(t, n) * (double)n->elements; /* scores, and their sums of values */
    const bool is_product = n->kind->role == LS_OP_ROLE_PRODUCT || n->kind->role == LS_OP_ROLE_CONVOLUTION;
    if (n->dialect == LS_DIALECT_ATEN)
        return is_product ? terms_of_aten(t, n) * (double)n->elements : 0;
    const bool multiplies = is_product && n->kind->id != LS_OP_SOLVE_TRI;
    const ls_node *a = multiplies && n->operand_count > 0 && n->operands[0] != LS_NONE ? &t->nodes[n->operands[0]] : NULL;
    return a != NULL && a->rank > 0 ? terms_of(n, a) * (double)n->elements : 0;
}

uint64_t ls_eval_rows_forced(void) {
    const char *text = getenv("LOCKSTEP_ROWS");
    const long rows = text != NULL ? strtol(text, NULL, 10) : 0;
    return rows > 0 ? (uint64_t)rows : 0;
}

uint64_t ls_eval_every(const ls_trace *t, const ls_node *n) {
    if (n->dialect == LS_DIALECT_GGML && (n->kind->id == LS_OP_MUL_MAT || n->kind->id == LS_OP_FLASH_ATTN_EXT))
        return 1;
    const double wanted = ceil(ls_eval_cost(t, n) / LS_EVAL_COST_MAX);
    const uint64_t forced = ls_eval_rows_forced(), most = ls_eval_rows(n) / ROWS_LEAST;
    if (forced > 0)
        return wanted > 0 && ls_eval_rows(n) > forced ? ls_eval_rows(n) / forced : 1;
    return wanted <= 1 || most <= 1 ? 1 : wanted < (double)most ? (uint64_t)wanted : most;
}
