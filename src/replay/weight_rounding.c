/* What the rounding of a product's own weight explains of its result. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "replay/matrix_rounding.h"
#include "replay/replayer.h"
#include "tensor/dtype.h"
#include "tensor/rounding.h"

void ls_rounding_release(ls_rounding *r) {
    free(r->variance);
    if (!r->is_borrowed)
        free(r->weight);
    ls_array_release(&r->x);
    *r = (ls_rounding){0};
}

/* A weight, whose groups are looked at in parts of so many elements. */
typedef struct grouping {
    const ls_array *weight;
    lockstep_dtype dtype;
    uint64_t group, part;
    double *out;
} grouping;

static void group_part(void *context, uint64_t i, int worker) {
    const grouping *g = context;
    const uint64_t at = i * g->part, count = g->weight->elements - at < g->part ? g->weight->elements - at : g->part;
    float *buffer = malloc((count + 1) * sizeof *buffer);
    (void)worker;
    if (buffer != NULL && g->weight->values == NULL)
        ls_view_read_f32(&g->weight->stored, at, count, buffer);
    for (uint64_t k = 0; buffer != NULL && g->weight->values != NULL && k < count; k++)
        buffer[k] = (float)g->weight->values[at + k];
    if (buffer != NULL)
        ls_rounding_variance(g->dtype, buffer, count, g->group, g->out + at / g->group);
    free(buffer);
}

/* The variances of a weight's groups; where there is no memory to decode them, 0. */
static double *new_variances(ls_replayer *w, size_t weight, lockstep_dtype dtype, uint64_t group) {
    enum { PARTS = 1 << 10 };
    const ls_node *n = &w->candidate->nodes[weight];
    ls_array values = {0};
    ls_view view;
    const char *reason;
    if (!ls_node_has_values(n) && ls_models_find(w->models, weight, &view, &reason)) {
        ls_values_give(n, NULL, &values);
        values.stored = view;
    } else if (!ls_replayer_weight_values(w, weight, &values, &reason)) {
        return NULL;
    }
    grouping g = {.weight = &values, .dtype = dtype, .group = group, .part = group * PARTS, .out = calloc(n->elements / group + 1, sizeof *g.out)};
    if (g.out != NULL)
        ls_pool_run((n->elements + g.part - 1) / g.part, group_part, &g);
    ls_array_release(&values);
    return g.out;
}

bool ls_rounding_of_weight(ls_replayer *w, size_t weight, ls_rounding *out) {
    const ls_node *n = &w->candidate->nodes[weight];
    lockstep_dtype dtype;
    if (!ls_dtype_find(n->dtype, &dtype) || !ls_rounding_is_lossy(dtype) || n->elements == 0)
        return false;
    out->k = n->rank > 0 ? n->shape[n->rank - 1] : 1;
    out->m = n->elements / out->k;
    out->group = ls_rounding_group(dtype, out->k);
    out->is_borrowed = out->group > 1;
    out->weight = out->is_borrowed ? w->variances[weight] : NULL;
    if (out->weight == NULL)
        out->weight = new_variances(w, weight, dtype, out->group);
    if (out->is_borrowed)
        w->variances[weight] = out->weight;
    return out->weight != NULL;
}

/* Leaves the rows out of an operand that are not wanted. */
static void keep_rows(ls_array *x, uint64_t columns, const bool *known) {
    const uint64_t rows = x->elements / columns;
    uint64_t kept = 0;
    for (uint64_t row = 0; row < rows; row++)
        if (known[row] && kept++ != row)
            memcpy(x->values + (kept - 1) * columns, x->values + row * columns, columns * sizeof *x->values);
    x->elements = kept * columns;
}

/* Sums of squares of groups of a row. */
static double *squares_of_groups(const double *x, uint64_t count, uint64_t group) {
    double *squares = malloc((count / group + 1) * sizeof *squares);
    for (uint64_t at = 0; at < count / group && squares != NULL; at++) {
        double sum = 0;
        for (uint64_t i = at * group; i < (at + 1) * group; i++)
            sum += x[i] * x[i];
        squares[at] = sum;
    }
    return squares;
}

static bool variance_of_product(const ls_node *n, const ls_node *weight, const bool *known, ls_rounding *r) {
    if (weight->rank > 2)
        return ls_rounding_of_stack(n, weight, known, r);
    if (r->m != n->shape[n->rank - 1] || r->x.elements / r->k * r->m != n->elements)
        return false;
    if (known != NULL)
        keep_rows(&r->x, r->k, known);
    const uint64_t rows = r->x.elements / r->k;
    double *squares = squares_of_groups(r->x.values, r->x.elements, r->group);
    r->variance = malloc((rows * r->m + 1) * sizeof *r->variance);
    const bool ok = squares != NULL && r->variance != NULL && ls_multiply(r->weight, squares, r->m, rows, r->k / r->group, r->variance);
    free(squares);
    return ok;
}

static bool variance_of_rows(const ls_node *n, const bool *known, ls_rounding *r) {
    uint64_t kept = 0;
    r->variance = calloc(n->elements + 1, sizeof *r->variance);
    for (uint64_t i = 0; r->variance != NULL && i < n->elements / r->k && i < r->x.elements; i++) {
        const double row = r->x.values[i];
        if (known != NULL && !known[i])
            continue;
        for (uint64_t k = 0; k < r->k && row >= 0 && row < (double)r->m; k++)
            r->variance[kept * r->k + k] = r->weight[((uint64_t)row * r->k + k) / r->group];
        kept++;
    }
    return r->variance != NULL;
}

/* An operation whose first operand is the weight. */
static bool may_round(const ls_node *n, size_t weight) {
    const bool is_kind = n->kind->id == LS_OP_MUL_MAT || n->kind->id == LS_OP_GET_ROWS || n->kind->id == LS_OP_MUL_MAT_ID;
    const size_t operands = n->kind->id == LS_OP_MUL_MAT_ID ? 3 : 2;
    bool ok = n->dialect == LS_DIALECT_GGML && is_kind && n->operand_count >= operands && n->operands[0] == weight && n->rank > 0;
    for (size_t i = 1; i < operands && ok; i++)
        ok = n->operands[i] != LS_NONE;
    return ok;
}

static bool variance_of_experts(ls_replayer *w, size_t node, const bool *known, ls_rounding *r) {
    const ls_node *n = &w->candidate->nodes[node];
    const char *reason;
    ls_array ids;
    if (!ls_replayer_operand(w, n->operands[2], node, false, &ids, &reason))
        return false;
    const bool ok = ls_rounding_of_experts(n, &ids, known, r);
    ls_array_release(&ids);
    return ok;
}

static bool variance_of(ls_replayer *w, size_t node, size_t weight, const bool *known, ls_rounding *r) {
    const ls_node *n = &w->candidate->nodes[node];
    if (n->kind->id == LS_OP_MUL_MAT_ID)
        return variance_of_experts(w, node, known, r);
    if (n->kind->id == LS_OP_GET_ROWS)
        return n->shape[n->rank - 1] == r->k && variance_of_rows(n, known, r);
    return variance_of_product(n, &w->candidate->nodes[weight], known, r);
}

bool ls_replayer_rounding(ls_replayer *w, size_t node, const bool *known, ls_rounding *r) {
    const ls_node *n = &w->candidate->nodes[node];
    const size_t weight = ls_replayer_weight(w, n, 0);
    const char *reason;
    *r = (ls_rounding){0};
    if (weight == LS_NONE || !may_round(n, weight))
        return false;
    const bool ok = ls_rounding_of_weight(w, weight, r) && ls_replayer_operand(w, n->operands[1], node, false, &r->x, &reason) && variance_of(w, node, weight, known, r);
    if (!ok)
        ls_rounding_release(r);
    return ok;
}

/* Every `step`-th column of a table of `rows`, as rows. */
static double *transposed(const double *values, uint64_t rows, uint64_t columns, uint64_t step) {
    const uint64_t kept = (columns + step - 1) / step;
    double *out = malloc((rows * kept + 1) * sizeof *out);
    for (uint64_t row = 0; out != NULL && row < rows; row++)
        for (uint64_t i = 0; i < kept; i++)
            out[i * rows + row] = values[row * columns + i * step];
    return out;
}

/* Of many channels, some stand for all: an estimate of a variance need not be exact. */
double ls_rounding_along(const ls_rounding *r, const double *direction) {
    enum { CHANNELS = 192 };
    const uint64_t rows = r->x.elements / r->k, step = 1 + (r->m - 1) / CHANNELS, kept = (r->m + step - 1) / step;
    double *x = transposed(r->x.values, rows, r->k, 1), *d = transposed(direction, rows, r->m, step), *weights = malloc((kept * r->k + 1) * sizeof *weights), sum = 0;
    if (x != NULL && d != NULL && weights != NULL && ls_multiply(x, d, r->k, kept, rows, weights)) {
        double *squares = squares_of_groups(weights, kept * r->k, r->group);
        const uint64_t groups = r->k / r->group;
        for (uint64_t i = 0; squares != NULL && i < kept * groups; i++)
            sum += squares[i] * r->weight[i / groups * step * groups + i % groups];
        sum = squares != NULL ? sum : INFINITY;
        free(squares);
        sum *= (double)r->m / (double)kept;
    } else {
        sum = INFINITY;
    }
    free(x);
    free(d);
    free(weights);
    return sum;
}
