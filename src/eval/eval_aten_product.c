/* ATen's matrix products. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/aten.h"

/* A matrix [rows, columns], with its axes exchanged. NULL if out of memory. */
static double *transposed(const double *values, uint64_t rows, uint64_t columns) {
    double *out = malloc((rows * columns + 1) * sizeof *out);
    for (uint64_t i = 0; out != NULL && i < rows; i++)
        for (uint64_t k = 0; k < columns; k++)
            out[k * rows + i] = values[i * columns + k];
    return out;
}

/* Adds factor * x, repeated along the result, to what was computed, of which so much counts. */
static bool add_to(ls_evaluation *e, const ls_array *x, double factor, double own) {
    const ls_node *n = e->node;
    const uint64_t columns = ls_eval_size(e, 0);
    ls_aten_broadcast b;
    if (!ls_aten_broadcast_to(x, n->rank, n->shape, &b))
        return ls_eval_misfit(e);
    for (uint64_t row = 0; columns > 0 && row < n->elements / columns; row++) {
        const double *values = ls_aten_row(&b, n->rank, n->shape, row);
        for (uint64_t i = 0; i < columns; i++) {
            const uint64_t at = row * columns + i;
            const double term = factor == 0 ? 0 : factor * values[n->rank > 0 ? i * b.strides[n->rank - 1] : 0];
            e->out[at] = own * e->out[at] + term;
            e->scale[at] = fabs(own) * e->scale[at] + fabs(term);
        }
    }
    return true;
}

/* x [.., k], weight [m, k], bias [m] -> [.., m] */
bool ls_aten_linear(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *x = e->operands[0], *weight = e->operands[1], *bias = e->operands[2];
    const uint64_t k = ls_array_size(x, 0), m = ls_array_size(weight, 1), rows = k > 0 ? x->elements / k : 0;
    if (weight->rank != 2 || k == 0 || ls_array_size(weight, 0) != k || ls_eval_size(e, 0) != m || e->node->elements != rows * m)
        return ls_eval_misfit(e);
    return ls_eval_multiply(e, weight->values, x->values, 0, rows, rows, m, k) && (bias == NULL || add_to(e, bias, 1, 1));
}

/* Matrices of a batch: the last two axes; of a vector, one is added. */
typedef struct matrices {
    ls_array array;
    ls_aten_broadcast batch; /* strides in matrices */
    uint64_t rows, columns;
} matrices;

static matrices matrices_of(const ls_array *x, bool vector_is_column) {
    matrices m = {.array = *x};
    if (x->rank == 1) {
        m.array.rank = 2;
        m.array.shape[0] = vector_is_column ? x->shape[0] : 1;
        m.array.shape[1] = vector_is_column ? 1 : x->shape[0];
    }
    m.rows = ls_array_size(&m.array, 1);
    m.columns = ls_array_size(&m.array, 0);
    return m;
}

/* The axes of the batch, repeated along each other's. */
static bool match_batches(matrices *a, matrices *b, int *out_rank, uint64_t shape[LOCKSTEP_MAX_RANK], uint64_t *out_count) {
    ls_array of_a = a->array, of_b = b->array;
    of_a.rank -= 2;
    of_b.rank -= 2;
    *out_rank = of_a.rank > of_b.rank ? of_a.rank : of_b.rank;
    *out_count = 1;
    for (int i = 0; i < *out_rank; i++) {
        const uint64_t x = ls_array_size(&of_a, i), y = ls_array_size(&of_b, i);
        shape[*out_rank - 1 - i] = x != 1 ? x : y;
        *out_count *= x != 1 ? x : y;
    }
    return ls_aten_broadcast_to(&of_a, *out_rank, shape, &a->batch) && ls_aten_broadcast_to(&of_b, *out_rank, shape, &b->batch);
}

/* Which matrix of a batch an element of the common axes has. */
static uint64_t matrix_at(const matrices *m, int rank, const uint64_t *shape, uint64_t at) {
    uint64_t index = 0;
    for (int i = rank - 1; i >= 0; i--) {
        index += at % shape[i] * m->batch.strides[i];
        at /= shape[i];
    }
    return index;
}

/* a [.., n, k] times b [.., k, m] */
static bool multiply_batches(ls_evaluation *e, matrices *a, matrices *b) {
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK], count, last = UINT64_MAX;
    const uint64_t n = a->rows, k = a->columns, m = b->columns;
    if (k == 0 || b->rows != k || a->array.rank < 2 || b->array.rank < 2 || !match_batches(a, b, &rank, shape, &count) || e->node->elements != count * n * m)
        return ls_eval_misfit(e);
    if (b->array.rank == 2) { /* one product for the whole batch */
        double *only = transposed(b->array.values, k, m);
        const bool done = only != NULL ? ls_eval_multiply(e, only, a->array.values, 0, count * n, count * n, m, k) : ls_eval_refuse(e, "out of memory");
        free(only);
        return done;
    }
    double *matrix = NULL;
    bool ok = true;
    for (uint64_t i = 0; i < count && ok; i++) {
        const uint64_t of_a = matrix_at(a, rank, shape, i), of_b = matrix_at(b, rank, shape, i);
        if (of_b != last) {
            free(matrix);
            matrix = transposed(b->array.values + of_b * k * m, k, m);
            last = of_b;
        }
        ok = (matrix != NULL || ls_eval_refuse(e, "out of memory")) && ls_eval_multiply(e, matrix, a->array.values + of_a * n * k, i * n, n, count * n, m, k);
    }
    free(matrix);
    return ok;
}

bool ls_aten_matmul(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    if (e->operands[0]->rank == 0 || e->operands[1]->rank == 0)
        return ls_eval_misfit(e);
    matrices a = matrices_of(e->operands[0], false), b = matrices_of(e->operands[1], true);
    return multiply_batches(e, &a, &b);
}

/* beta * self + alpha * (a times b), for matrices, batches of them, and a vector b. */
bool ls_aten_addmm(ls_evaluation *e) {
    if (!ls_eval_has(e, 3))
        return false;
    const ls_array *x = e->operands[1], *y = e->operands[2];
    if (x->rank < 2 || y->rank == 0 || (x->rank == 3 && e->node->rank == 2))
        return ls_eval_refuse(e, "a sum of products that is not covered");
    matrices a = matrices_of(x, false), b = matrices_of(y, true);
    return multiply_batches(e, &a, &b) && add_to(e, e->operands[0], ls_eval_parameter(e, "beta", 1), ls_eval_parameter(e, "alpha", 1));
}

/* The rows of x [n, k] in groups, the last row of each given by `ends`; each group times a matrix of its own, of [groups, k, m]. */
bool ls_aten_grouped_mm(ls_evaluation *e) {
    if (!ls_eval_has(e, 3))
        return false;
    const ls_array *x = e->operands[0], *weights = e->operands[1], *ends = e->operands[2];
    const uint64_t k = ls_array_size(x, 0), n = ls_array_size(x, 1), m = ls_array_size(weights, 0);
    if (x->rank != 2 || weights->rank != 3 || ls_array_size(weights, 1) != k || ends->elements != weights->shape[0] || e->node->elements != n * m)
        return ls_eval_misfit(e);
    bool ok = true;
    uint64_t from = 0;
    for (uint64_t group = 0; group < ends->elements && ok; group++) {
        const double end = ends->values[group];
        if (!(end >= (double)from && end <= (double)n))
            return ls_eval_refuse(e, "an index out of range");
        const uint64_t rows = (uint64_t)end - from;
        double *matrix = rows > 0 ? transposed(weights->values + group * k * m, k, m) : NULL;
        ok = rows == 0 || (matrix != NULL ? ls_eval_multiply(e, matrix, x->values + from * k, from, rows, n, m, k) : ls_eval_refuse(e, "out of memory"));
        free(matrix);
        from += rows;
    }
    for (uint64_t i = from * m; i < e->node->elements && ok; i++)
        e->out[i] = 0; /* of no group */
    return ok;
}
