#include "replay/matrix_rounding.h"

#include <stdlib.h>

#include "eval/eval.h"

/* A row's variances: of each of its elements, the squares of the operand's groups times the variances of the matrix's. */
static void fill_row(const double *x, const double *variances, const ls_rounding *r, uint64_t columns, double *out) {
    const uint64_t groups = r->k / r->group;
    for (uint64_t c = 0; c < columns; c++)
        out[c] = 0;
    for (uint64_t g = 0; g < groups; g++) {
        double squares = 0;
        for (uint64_t i = g * r->group; i < (g + 1) * r->group; i++)
            squares += x[i] * x[i];
        for (uint64_t c = 0; c < columns; c++)
            out[c] += squares * variances[c * groups + g];
    }
}

static void add_row(ls_rounding *r, uint64_t row_of_x, uint64_t matrix, uint64_t columns, uint64_t kept) {
    fill_row(r->x.values + row_of_x * r->k, r->weight + matrix * columns * (r->k / r->group), r, columns, r->variance + kept * columns);
}

static uint64_t columns_of(const ls_node *n) { return n->rank > 0 ? n->shape[n->rank - 1] : 1; }

/* Rows of equal matrices. */
static bool may_hold(const ls_node *n, const ls_rounding *r, uint64_t rows) {
    const uint64_t columns = columns_of(n);
    return columns > 0 && r->m % columns == 0 && n->elements % columns == 0 && n->elements / columns == rows && r->x.values != NULL;
}

bool ls_rounding_of_experts(const ls_node *n, const ls_array *ids, const bool *known, ls_rounding *r) {
    const uint64_t used = ls_array_size(ids, 0), own = ls_array_size(&r->x, 1), columns = columns_of(n);
    if (ids->values == NULL || used == 0 || own == 0 || used % own != 0 || ids->elements % used != 0 || r->x.elements != ids->elements / used * own * r->k || !may_hold(n, r, ids->elements))
        return false;
    uint64_t kept = 0;
    r->variance = malloc((n->elements + 1) * sizeof *r->variance);
    for (uint64_t row = 0; r->variance != NULL && row < ids->elements; row++) {
        const double expert = ids->values[row];
        if (known != NULL && !known[row])
            continue;
        if (!(expert >= 0 && expert < (double)(r->m / columns)))
            return false;
        add_row(r, row / used * own + row % used % own, (uint64_t)expert, columns, kept++);
    }
    return r->variance != NULL;
}

bool ls_rounding_of_stack(const ls_node *n, const ls_node *weight, const bool *known, ls_rounding *r) {
    const uint64_t columns = columns_of(n), rows = ls_array_size(&r->x, 1), inner = ls_array_size(&r->x, 2), outer = ls_array_size(&r->x, 3);
    const uint64_t of_inner = weight->rank > 2 ? weight->shape[weight->rank - 3] : 1, of_outer = weight->rank > 3 ? weight->shape[weight->rank - 4] : 1;
    if (rows == 0 || of_inner == 0 || of_outer == 0 || inner % of_inner != 0 || outer % of_outer != 0 || r->x.elements != rows * inner * outer * r->k ||
        r->m != of_inner * of_outer * columns || !may_hold(n, r, rows * inner * outer))
        return false;
    uint64_t kept = 0;
    r->variance = malloc((n->elements + 1) * sizeof *r->variance);
    for (uint64_t row = 0; r->variance != NULL && row < rows * inner * outer; row++) {
        const uint64_t of_row = row / rows % inner / (inner / of_inner), outermost = row / rows / inner / (outer / of_outer);
        if (known == NULL || known[row])
            add_row(r, row, outermost * of_inner + of_row, columns, kept++);
    }
    return r->variance != NULL;
}
