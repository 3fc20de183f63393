/* Matrix products. */
#include <math.h>

#include "eval/eval.h"

typedef struct row_product {
    double sum, squares;
} row_product;

/* A factor of 0 (what a mask left out) makes the other one irrelevant, even if it is not known. */
static row_product multiply(const double *a, const double *b, uint64_t n) {
    row_product p = {0, 0};
    for (uint64_t i = 0; i < n; i++) {
        const double term = a[i] == 0 || b[i] == 0 ? 0 : a[i] * b[i];
        p.sum += term;
        p.squares += term * term;
    }
    return p;
}

/* a [.., m, k] times b [.., n, k] -> [.., n, m]; b's outer axes are multiples of a's. */
bool ls_eval_mul_mat(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    const uint64_t k = ls_array_size(a, 0), m = ls_array_size(a, 1), n = ls_array_size(b, 1), of_a[2] = {ls_array_size(a, 2), ls_array_size(a, 3)},
                   of_b[2] = {ls_array_size(b, 2), ls_array_size(b, 3)};
    if (a->elements == 0 || ls_array_size(b, 0) != k || of_b[0] % of_a[0] != 0 || of_b[1] % of_a[1] != 0 || e->node->elements != of_b[1] * of_b[0] * n * m ||
        b->elements != of_b[1] * of_b[0] * n * k || a->elements != of_a[1] * of_a[0] * m * k)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t row = i / m;
        e->out[i] = NAN;
        if (!ls_eval_wants(e, row, of_b[1] * of_b[0] * n))
            continue;
        const uint64_t outer = row / n, inner_a = outer % of_b[0] / (of_b[0] / of_a[0]), outer_a = outer / of_b[0] / (of_b[1] / of_a[1]);
        const row_product p = multiply(a->values + ((outer_a * of_a[0] + inner_a) * m + i % m) * k, b->values + row * k, k);
        e->out[i] = p.sum;
        e->scale[i] = fmax(fabs(p.sum), sqrt(p.squares));
    }
    return true;
}

/* experts [experts, m, k], b [tokens, used or 1, k], ids [tokens, used] -> [tokens, used, m] */
bool ls_eval_mul_mat_id(ls_evaluation *e) {
    if (!ls_eval_has(e, 3))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1], *ids = e->operands[2];
    const uint64_t k = ls_array_size(a, 0), m = ls_array_size(a, 1), experts = ls_array_size(a, 2), used = ls_array_size(ids, 0), own = ls_array_size(b, 1),
                   tokens = ls_array_size(b, 2);
    if (a->elements == 0 || ls_array_size(b, 0) != k || own == 0 || used % own != 0 || ids->elements != tokens * used || e->node->elements != tokens * used * m ||
        b->elements != tokens * own * k)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t slot = i / m, token = slot / used;
        const double id = ids->values[slot];
        e->out[i] = NAN;
        if (!ls_eval_wants(e, slot, tokens * used))
            continue;
        if (!(id >= 0 && id < (double)experts))
            return ls_eval_refuse(e, "an index out of range");
        const row_product p = multiply(a->values + ((uint64_t)id * m + i % m) * k, b->values + (token * own + slot % used % own) * k, k);
        e->out[i] = p.sum;
        e->scale[i] = fmax(fabs(p.sum), sqrt(p.squares));
    }
    return true;
}
