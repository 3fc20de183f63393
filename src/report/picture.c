#include "report/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare/metrics.h"

/* One pass over both tensors, a row at a time. */
typedef struct sweep {
    const ls_view *reference, *candidate;
    ls_picture *picture;
    double *of_reference, *of_candidate; /* of a piece of a row */
    double *squares, *of_slice;          /* per slice: of the differences, and of the reference */
} sweep;

enum { PIECE = 4096 };

typedef void on_element(sweep *s, uint64_t slice, uint64_t row, uint64_t column, double reference, double candidate);

bool ls_picture_has(double value) { return isfinite(value) && value > LS_MASK_BELOW; }

/* |candidate - reference|; infinite where only one side has a number, or both are infinite with different signs. */
static double difference_of(double reference, double candidate) {
    if (ls_picture_has(reference) && ls_picture_has(candidate))
        return fabs(candidate - reference);
    const bool same = (isnan(reference) && isnan(candidate)) || reference == candidate || (reference <= LS_MASK_BELOW && candidate <= LS_MASK_BELOW);
    return same ? 0 : INFINITY;
}

static void sweep_row(sweep *s, uint64_t slice, uint64_t row, on_element *each) {
    const ls_picture *p = s->picture;
    const uint64_t begin = (slice * p->rows + row) * p->columns;
    for (uint64_t column = 0; column < p->columns; column += PIECE) {
        const size_t count = (size_t)(p->columns - column < PIECE ? p->columns - column : PIECE);
        ls_view_read_f64(s->reference, begin + column, count, s->of_reference);
        ls_view_read_f64(s->candidate, begin + column, count, s->of_candidate);
        for (size_t i = 0; i < count; i++)
            each(s, slice, row, column + i, s->of_reference[i], s->of_candidate[i]);
    }
}

static void sweep_all(sweep *s, on_element *each) {
    for (uint64_t slice = 0; slice < s->picture->slices; slice++)
        for (uint64_t row = 0; row < s->picture->rows; row++)
            sweep_row(s, slice, row, each);
}

/* ------------------------------------------------------------------ the first pass: ranges, errors, the worst */

static void rank_place(ls_picture *p, uint64_t at, double reference, double candidate) {
    const double difference = difference_of(reference, candidate);
    size_t place = p->worst_count;
    while (place > 0 && difference > difference_of(p->worst[place - 1].reference, p->worst[place - 1].candidate))
        place--;
    if (place == LS_PICTURE_WORST || !(difference > 0))
        return;
    p->worst_count += p->worst_count < LS_PICTURE_WORST;
    memmove(p->worst + place + 1, p->worst + place, (p->worst_count - place - 1) * sizeof *p->worst);
    p->worst[place] = (ls_picture_place){at, reference, candidate};
}

static void measure(sweep *s, uint64_t slice, uint64_t row, uint64_t column, double reference, double candidate) {
    ls_picture *p = s->picture;
    rank_place(p, (slice * p->rows + row) * p->columns + column, reference, candidate);
    if (!ls_picture_has(reference) || !ls_picture_has(candidate)) {
        p->left_out++;
        s->squares[slice] += difference_of(reference, candidate);
        return;
    }
    const double d = candidate - reference;
    p->largest = fmax(p->largest, fmax(fabs(reference), fabs(candidate)));
    p->largest_difference = fmax(p->largest_difference, fabs(d));
    p->low = fmin(p->low, fmin(reference, candidate));
    p->high = fmax(p->high, fmax(reference, candidate));
    s->squares[slice] += d * d;
    s->of_slice[slice] += reference * reference;
}

/* The slices that differ most, in their order. */
static void choose_slices(sweep *s, uint64_t most) {
    ls_picture *p = s->picture;
    bool *taken = calloc((size_t)p->slices, sizeof *taken);
    const size_t wanted = (size_t)(p->slices < most ? p->slices : most);
    for (size_t k = 0; taken != NULL && k < wanted; k++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < p->slices; i++)
            if (!taken[i] && (best == SIZE_MAX || s->squares[i] > s->squares[best]))
                best = i;
        taken[best] = true;
    }
    for (size_t i = 0; taken != NULL && i < p->slices; i++) {
        if (!taken[i])
            continue;
        p->errors[p->drawn_count] = s->squares[i] > 0 ? sqrt(s->squares[i] / s->of_slice[i]) : 0;
        p->drawn[p->drawn_count++] = i;
    }
    free(taken);
}

/* ------------------------------------------------------------------ the second pass: bins and cells */

static uint64_t cells_of(uint64_t count, uint64_t step) { return count / step + (count % step != 0); }

/* The longer axis is divided first. */
static void choose_steps(ls_picture *p, uint64_t most) {
    const uint64_t longest = 4096; /* of a side */
    p->row_step = p->rows / longest + 1;
    p->column_step = p->columns / longest + 1;
    while ((p->height = cells_of(p->rows, p->row_step)) * (p->width = cells_of(p->columns, p->column_step)) > most)
        *(p->height > p->width ? &p->row_step : &p->column_step) += 1;
}

static size_t bin_of(double value, double low, double high) {
    const double place = high > low ? (value - low) / (high - low) * LS_PICTURE_BINS : LS_PICTURE_BINS / 2.0;
    return place < 0 ? 0 : place >= LS_PICTURE_BINS ? LS_PICTURE_BINS - 1 : (size_t)place;
}

static size_t drawn_place(const ls_picture *p, uint64_t slice) {
    size_t k = 0;
    while (k < p->drawn_count && p->drawn[k] != slice)
        k++;
    return k;
}

static void fill(sweep *s, uint64_t slice, uint64_t row, uint64_t column, double reference, double candidate) {
    ls_picture *p = s->picture;
    if (ls_picture_has(reference) && ls_picture_has(candidate)) {
        p->differences[bin_of(candidate - reference, -p->largest_difference, p->largest_difference)]++;
        p->values[0][bin_of(reference, p->low, p->high)]++;
        p->values[1][bin_of(candidate, p->low, p->high)]++;
    }
    const size_t drawn = drawn_place(p, slice);
    if (drawn == p->drawn_count)
        return;
    ls_picture_cell *cell = &p->cells[(drawn * p->height + row / p->row_step) * p->width + column / p->column_step];
    const uint64_t at = row % p->row_step * p->column_step + column % p->column_step;
    if (at == 0 || difference_of(reference, candidate) > difference_of((double)cell->reference, (double)cell->candidate))
        *cell = (ls_picture_cell){(float)reference, (float)candidate, (uint32_t)at};
}

/* ------------------------------------------------------------------ whole */

static void see_shape(const ls_view *view, ls_picture *p) {
    for (int i = 0; i < view->rank; i++)
        if (view->shape[i] != 1)
            p->shape[p->rank++] = view->shape[i];
    p->slices = p->rows = p->columns = 1;
    for (int i = 0; i < p->rank; i++)
        *(i == p->rank - 1 ? &p->columns : i == p->rank - 2 ? &p->rows : &p->slices) *= p->shape[i];
}

static lockstep_status draw(sweep *s, uint64_t cells, lockstep_error *error) {
    ls_picture *p = s->picture;
    sweep_all(s, measure);
    choose_slices(s, cells < LS_PICTURE_SLICES ? 1 : LS_PICTURE_SLICES);
    if (p->drawn_count == 0)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    choose_steps(p, cells / p->drawn_count);
    p->cells = calloc(p->drawn_count * (size_t)(p->height * p->width), sizeof *p->cells);
    if (p->cells == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    sweep_all(s, fill);
    return LOCKSTEP_OK;
}

lockstep_status ls_picture_draw(const ls_view *reference, const ls_view *candidate, uint64_t cells, ls_picture *out, lockstep_error *error) {
    *out = (ls_picture){.low = INFINITY, .high = -INFINITY};
    see_shape(candidate, out);
    if (ls_view_elements(candidate) == 0 || ls_view_elements(reference) != ls_view_elements(candidate))
        return ls_fail(error, LOCKSTEP_INCOMPARABLE, "no elements to draw, or not equally many");
    sweep s = {.reference = reference, .candidate = candidate, .picture = out, .of_reference = malloc(PIECE * sizeof(double)), .of_candidate = malloc(PIECE * sizeof(double)),
               .squares = calloc((size_t)out->slices, sizeof(double)), .of_slice = calloc((size_t)out->slices, sizeof(double))};
    lockstep_status status = LOCKSTEP_OK;
    if (s.of_reference == NULL || s.of_candidate == NULL || s.squares == NULL || s.of_slice == NULL)
        status = ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    else
        status = draw(&s, cells > 0 ? cells : 1, error);
    free(s.of_reference);
    free(s.of_candidate);
    free(s.squares);
    free(s.of_slice);
    if (status != LOCKSTEP_OK)
        ls_picture_done(out);
    return status;
}

void ls_picture_done(ls_picture *p) {
    free(p->cells);
    p->cells = NULL;
}
