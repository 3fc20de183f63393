#include "replay/row_order.h"

#include <math.h>
#include <stdlib.h>

#include "base/random_place.h"
#include "replay/distances.h"

enum { SKETCH = 16, ROWS_MAX = 1 << 12 };

/* Sums of a row's numbers with random signs, as many as a sketch has. */
static void sketch_row(const double *row, uint64_t columns, double out[SKETCH]) {
    for (int k = 0; k < SKETCH; k++)
        out[k] = 0;
    for (uint64_t i = 0; i < columns; i++) {
        const uint64_t signs = ls_random_place(i, 1 << SKETCH);
        for (int k = 0; k < SKETCH && ls_is_number(row[i]); k++)
            out[k] += (signs >> k & 1) != 0 ? row[i] : -row[i];
    }
}

static double *sketch_values(const double *values, uint64_t rows, uint64_t columns) {
    double *out = malloc((rows * SKETCH + 1) * sizeof *out);
    for (uint64_t row = 0; row < rows && out != NULL; row++)
        sketch_row(values + row * columns, columns, out + row * SKETCH);
    return out;
}

static double *sketch_view(const ls_view *view, uint64_t rows, uint64_t columns) {
    double *out = malloc((rows * SKETCH + 1) * sizeof *out), *row = malloc((columns + 1) * sizeof *row);
    for (uint64_t i = 0; i < rows && out != NULL && row != NULL; i++) {
        ls_view_read_f64(view, i * columns, columns, row);
        sketch_row(row, columns, out + i * SKETCH);
    }
    if (row == NULL) {
        free(out);
        out = NULL;
    }
    free(row);
    return out;
}

static double apart(const double *a, const double *b) {
    double sum = 0;
    for (int k = 0; k < SKETCH; k++)
        sum += (a[k] - b[k]) * (a[k] - b[k]);
    return sum;
}

/* Each row takes the nearest that is left, in order: rows of one token and one expert are equal, and then it makes no difference. */
static void take_nearest(const double *own, const double *other, uint64_t rows, uint64_t others, bool *taken, uint64_t *order) {
    for (uint64_t row = 0; row < rows; row++) {
        double least = INFINITY;
        uint64_t nearest = others;
        for (uint64_t i = 0; i < others; i++) {
            const double d = taken[i] ? INFINITY : apart(own + row * SKETCH, other + i * SKETCH);
            if (!taken[i] && (nearest == others || d < least)) {
                least = d;
                nearest = i;
            }
        }
        order[row] = nearest;
        taken[nearest] = true;
    }
}

uint64_t *ls_row_order_find(const double *values, const ls_view *reference, uint64_t rows, uint64_t columns) {
    const uint64_t others = ls_view_elements(reference) / columns;
    if (rows > others || others > ROWS_MAX)
        return NULL;
    double *own = sketch_values(values, rows, columns), *other = sketch_view(reference, others, columns);
    bool *taken = calloc(others + 1, sizeof *taken);
    uint64_t *order = malloc((rows + 1) * sizeof *order);
    const bool ok = own != NULL && other != NULL && taken != NULL && order != NULL;
    if (ok)
        take_nearest(own, other, rows, others, taken, order);
    free(own);
    free(other);
    free(taken);
    if (!ok)
        free(order);
    return ok ? order : NULL;
}

double *ls_row_order_apply(const uint64_t *order, const ls_view *reference, uint64_t rows, uint64_t columns) {
    double *out = malloc((rows * columns + 1) * sizeof *out);
    for (uint64_t row = 0; row < rows && out != NULL; row++)
        ls_view_read_f64(reference, order[row] * columns, columns, out + row * columns);
    return out;
}
