/* Matrix products. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/eval.h"
#include "eval/matrix_product.h"
#include "tensor/rounding.h"

bool ls_multiply(const double *a, const double *b, uint64_t m, uint64_t n, uint64_t k, double *out) {
    return ls_matrix_multiply(&(ls_matrix_product){.a = a, .b = b, .m = m, .n = n, .k = k, .out = out});
}

/* Rows of b that are multiplied with the same matrix, side by side, and what they give. */
typedef struct some_rows {
    uint64_t *numbers, count;
    double *b, *out, *scale;
} some_rows;

static bool rows_init(some_rows *r, uint64_t rows, uint64_t m, uint64_t k) {
    *r = (some_rows){.numbers = malloc((rows + 1) * sizeof *r->numbers), .b = malloc((rows * k + 1) * sizeof(double)), .out = malloc((rows * m + 1) * sizeof(double)),
                     .scale = malloc((rows * m + 1) * sizeof(double))};
    return r->numbers != NULL && r->b != NULL && r->out != NULL && r->scale != NULL;
}

static void rows_done(some_rows *r) {
    free(r->numbers);
    free(r->b);
    free(r->out);
    free(r->scale);
}

/* The result's row of this number is to be computed from these elements. */
static void rows_add(some_rows *r, uint64_t number, const double *b, uint64_t k) {
    memcpy(r->b + r->count * k, b, k * sizeof *b);
    r->numbers[r->count++] = number;
}

/* A product with the matrix [m, k] that begins at `at` of the first operand. */
static ls_matrix_product matrix_at(const ls_evaluation *e, uint64_t at, uint64_t m, uint64_t k) {
    const ls_array *a = e->operands[0];
    const bool stored = a->values == NULL;
    return (ls_matrix_product){.a = stored ? NULL : a->values + at, .weight = stored ? a : NULL, .at = at, .m = m, .k = k, .is_narrow = e->is_rough && stored && ls_rounding_is_lossy(a->stored.dtype)};
}

/* Multiplies a matrix with the rows, and takes them away. */
static bool rows_multiply(some_rows *r, ls_evaluation *e, ls_matrix_product *p) {
    const uint64_t m = p->m;
    p->b = r->b;
    p->n = r->count;
    p->out = r->out;
    p->scale = r->scale;
    if (!ls_matrix_multiply(p))
        return ls_eval_refuse(e, "out of memory");
    for (uint64_t i = 0; i < r->count; i++) {
        memcpy(e->out + r->numbers[i] * m, r->out + i * m, m * sizeof *r->out);
        memcpy(e->scale + r->numbers[i] * m, r->scale + i * m, m * sizeof *r->scale);
    }
    r->count = 0;
    return true;
}

static void set_unknown(ls_evaluation *e, uint64_t row, uint64_t m) {
    for (uint64_t i = 0; i < m; i++)
        e->out[row * m + i] = NAN;
}

static bool multiply_rows(ls_evaluation *e, uint64_t at, uint64_t first, uint64_t n, uint64_t m, uint64_t k) {
    ls_matrix_product p = matrix_at(e, at, m, k);
    p.b = e->operands[1]->values + first * k;
    p.n = n;
    p.out = e->out + first * m;
    p.scale = e->scale + first * m;
    return ls_matrix_multiply(&p) || ls_eval_refuse(e, "out of memory");
}

bool ls_eval_multiply(ls_evaluation *e, const double *a, const double *b, uint64_t first, uint64_t n, uint64_t rows, uint64_t m, uint64_t k) {
    some_rows some = {0};
    if (e->every <= 1)
        return ls_matrix_multiply(&(ls_matrix_product){.a = a, .b = b, .m = m, .n = n, .k = k, .out = e->out + first * m, .scale = e->scale + first * m}) || ls_eval_refuse(e, "out of memory");
    bool ok = rows_init(&some, n, m, k) || ls_eval_refuse(e, "out of memory");
    for (uint64_t row = first; row < first + n && ok; row++)
        if (ls_eval_wants(e, row, rows))
            rows_add(&some, row, b + (row - first) * k, k);
        else
            set_unknown(e, row, m);
    ok = ok && rows_multiply(&some, e, &(ls_matrix_product){.a = a, .m = m, .k = k});
    rows_done(&some);
    return ok;
}

/* a [.., m, k] times b [.., n, k] -> [.., n, m]; b's outer axes are multiples of a's. */
bool ls_eval_mul_mat(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    const uint64_t k = ls_array_size(a, 0), m = ls_array_size(a, 1);
    uint64_t n = ls_array_size(b, 1), of_a[] = {ls_array_size(a, 2), ls_array_size(a, 3)}, of_b[] = {ls_array_size(b, 2), ls_array_size(b, 3)};
    const uint64_t all = of_b[0] * of_b[1] * n;
    if (a->elements == 0 || ls_array_size(b, 0) != k || of_b[0] % of_a[0] != 0 || of_b[1] % of_a[1] != 0 || e->node->elements != all * m || b->elements != all * k ||
        a->elements != of_a[1] * of_a[0] * m * k)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    if (of_a[0] * of_a[1] == 1) { /* one matrix for all rows */
        n = all;
        of_b[0] = of_b[1] = 1;
    }
    bool ok = true;
    for (uint64_t i = 0; i < of_b[0] * of_b[1] && ok; i++) {
        const uint64_t inner_a = i % of_b[0] / (of_b[0] / of_a[0]), outer_a = i / of_b[0] / (of_b[1] / of_a[1]), at = (outer_a * of_a[0] + inner_a) * m * k;
        ok = multiply_rows(e, at, i * n, n, m, k);
    }
    return ok;
}

/* experts [experts, m, k], b [tokens, used or 1, k], ids [tokens, used] -> [tokens, used, m] */
bool ls_eval_mul_mat_id(ls_evaluation *e) {
    if (!ls_eval_has(e, 3))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1], *ids = e->operands[2];
    const uint64_t k = ls_array_size(a, 0), m = ls_array_size(a, 1), experts = ls_array_size(a, 2), used = ls_array_size(ids, 0), own = ls_array_size(b, 1),
                   tokens = ls_array_size(b, 2);
    if (a->elements == 0 || a->elements != experts * m * k || ls_array_size(b, 0) != k || own == 0 || used % own != 0 || ids->elements != tokens * used ||
        e->node->elements != tokens * used * m || b->elements != tokens * own * k)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    some_rows some;
    bool ok = rows_init(&some, tokens * used, m, k) || ls_eval_refuse(e, "out of memory");
    for (uint64_t slot = 0; slot < tokens * used && ok; slot++) {
        set_unknown(e, slot, m);
        if (ls_eval_wants(e, slot, tokens * used) && !(ids->values[slot] >= 0 && ids->values[slot] < (double)experts))
            ok = ls_eval_refuse(e, "an index out of range");
    }
    for (uint64_t expert = 0; expert < experts && ok; expert++) {
        for (uint64_t slot = 0; slot < tokens * used; slot++)
            if (ls_eval_wants(e, slot, tokens * used) && (uint64_t)ids->values[slot] == expert)
                rows_add(&some, slot, b->values + (slot / used * own + slot % used % own) * k, k);
        ls_matrix_product p = matrix_at(e, expert * m * k, m, k);
        ok = some.count == 0 || rows_multiply(&some, e, &p);
    }
    rows_done(&some);
    return ok;
}

/* a [.., k, m], b [.., k, n] -> [.., n, m]: a sum of outer products; b's outer axes are multiples of a's. */
bool ls_eval_out_prod(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    const uint64_t m = ls_array_size(a, 0), n = ls_array_size(b, 0), k = ls_array_size(a, 1), of_a[2] = {ls_array_size(a, 2), ls_array_size(a, 3)},
                   of_b[2] = {ls_array_size(b, 2), ls_array_size(b, 3)};
    if (a->elements == 0 || b->elements == 0 || a->rank > LS_EVAL_AXES || !ls_array_is(b, n, k, of_b[0], of_b[1]) || of_b[0] % of_a[0] != 0 || of_b[1] % of_a[1] != 0 ||
        !ls_eval_gives(e, m, n, of_b[0], of_b[1]))
        return ls_eval_misfit(e);
    if (!ls_eval_affords(e, (double)e->node->elements * (double)k))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++) {
        uint64_t at[LS_EVAL_AXES];
        ls_eval_place(e, i, at);
        const uint64_t outer_a = at[3] / (of_b[1] / of_a[1]) * of_a[0] + at[2] / (of_b[0] / of_a[0]), outer_b = at[3] * of_b[0] + at[2];
        double sum = 0, squares = 0;
        e->out[i] = NAN;
        if (!ls_eval_wants(e, i / m, e->node->elements / m))
            continue;
        for (uint64_t j = 0; j < k; j++) {
            const double term = a->values[(outer_a * k + j) * m + at[0]] * b->values[(outer_b * k + j) * n + at[1]];
            sum += term;
            squares += term * term;
        }
        e->out[i] = sum;
        e->scale[i] = fmax(fabs(sum), sqrt(squares));
    }
    return true;
}

/* Solves for one column of x, which starts at `at`. The errors of earlier rows go into later ones. */
static void solve_column(ls_evaluation *e, const double *a, const double *b, uint64_t n, uint64_t columns, uint64_t at) {
    for (uint64_t row = 0; row < n; row++) {
        double sum = b[row * columns], squares = sum * sum;
        for (uint64_t i = 0; i < row; i++) {
            const double factor = a[row * n + i], term = factor * e->out[at + i * columns], error = factor * e->scale[at + i * columns];
            sum -= term;
            squares += term * term + error * error;
        }
        e->out[at + row * columns] = sum / a[row * n + row];
        e->scale[at + row * columns] = sqrt(squares) / fabs(a[row * n + row]);
    }
}

/* a [.., n, n], of which the part above the diagonal is ignored, b [.., n, columns] -> x [.., n, columns] with a x = b */
bool ls_eval_solve_tri(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    const uint64_t n = ls_array_size(a, 0), columns = ls_array_size(b, 0), of[2] = {ls_array_size(a, 2), ls_array_size(a, 3)};
    if (a->elements == 0 || b->elements == 0 || !ls_array_is(a, n, n, of[0], of[1]) || !ls_array_is(b, columns, n, of[0], of[1]) ||
        !ls_eval_gives(e, columns, n, of[0], of[1]))
        return ls_eval_misfit(e);
    if (!ls_eval_affords(e, (double)e->node->elements * (double)n / 2 * (double)(e->every > 1 ? e->every : 1)))
        return false;
    for (uint64_t outer = 0; outer < of[0] * of[1]; outer++)
        for (uint64_t column = 0; column < columns; column++) {
            const uint64_t at = outer * n * columns + column;
            solve_column(e, a->values + outer * n * n, b->values + at, n, columns, at);
        }
    return true;
}
