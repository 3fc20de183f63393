/* Which rows of a divergence fail, and which places along its other axes: a fault of the mask, of positions or of one
 * token shows in some rows only, one of a head or of a part of a weight in some channels. */
#include "diagnose/diagnose.h"

#include <math.h>
#include <stdlib.h>

enum { TILE = 4096 };

typedef struct row_error {
    double error2, reference2;
    bool lost; /* a NaN, or an infinity on one side */
} row_error;

/* The one axis of this size, or -1. */
static int only_axis_of(const ls_view *v, uint64_t size) {
    int found = -1;
    for (int i = 0; i < v->rank; i++) {
        if (v->shape[i] == size && found >= 0)
            return -1;
        found = v->shape[i] == size ? i : found;
    }
    return found;
}

static void add(row_error *row, const ls_pair *p, double reference, double candidate) {
    double d = candidate - reference;
    bool masked = reference <= p->mask_reference, masked_too = candidate <= p->mask_candidate;
    if (masked || masked_too) {
        row->lost = row->lost || masked != masked_too;
    } else if (d - d == 0) {
        row->error2 += d * d;
        row->reference2 += reference * reference;
    } else if (reference != candidate) { /* equal infinities are fine */
        row->lost = true;
    }
}

static bool fails(const row_error *row, double tolerance) {
    return row->lost || sqrt(row->error2) > tolerance * sqrt(row->reference2);
}

static double error_of(const row_error *row) {
    return row->lost ? INFINITY : row->reference2 > 0 ? sqrt(row->error2 / row->reference2) : row->error2 > 0 ? INFINITY : 0;
}

/* Some fail and some don't, and the two are far apart: where a coarse tolerance runs through the middle of what all places have, it says
 * nothing about where the fault is. */
static bool is_sharp(const row_error *rows, uint64_t count, double tolerance) {
    const double far = 4;
    double least = INFINITY, most = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (fails(&rows[i], tolerance))
            least = fmin(least, error_of(&rows[i]));
        else
            most = fmax(most, error_of(&rows[i]));
    }
    return least > far * most;
}

/* Sums up the errors along an axis; false when out of memory. */
static bool measure(const ls_layout *layout, const ls_pair *p, int axis, row_error *rows) {
    const ls_view *candidate = &layout->candidate;
    double (*values)[TILE] = malloc(2 * sizeof *values);
    uint64_t elements = ls_view_elements(candidate), inner = 1;
    for (int i = axis + 1; i < candidate->rank; i++)
        inner *= candidate->shape[i];
    for (uint64_t done = 0; values != NULL && done < elements; done += TILE) {
        size_t n = elements - done < TILE ? (size_t)(elements - done) : TILE;
        ls_view_read_f64(&layout->reference, done, n, values[0]);
        ls_view_read_f64(candidate, done, n, values[1]);
        for (size_t i = 0; i < n; i++)
            add(&rows[(done + i) / inner % candidate->shape[axis]], p, values[0][i], values[1][i]);
    }
    bool measured = values != NULL;
    free(values);
    return measured;
}

static int rows_axis(const ls_pass_pair *pp, const ls_aligned_pair *aligned) {
    return pp->rows != NULL && pp->row_count > 1 ? only_axis_of(&aligned->layout.candidate, pp->row_count) : -1;
}

/* Along one axis. What has next to no values of its own fails where it differs by more than the others' rounding. */
static void find_along(const ls_aligned_pair *aligned, const ls_pair *p, int axis, ls_failing_places *out) {
    const uint64_t of = aligned->layout.candidate.shape[axis];
    row_error *places = calloc(of, sizeof *places);
    double typical = 0;
    if (places == NULL || !measure(&aligned->layout, p, axis, places)) {
        free(places);
        return;
    }
    *out = (ls_failing_places){.axis = axis, .of = of};
    for (uint64_t k = 0; k < of; k++)
        typical += places[k].reference2 / (double)of;
    for (uint64_t k = 0; k < of; k++)
        places[k].reference2 = fmax(places[k].reference2, typical);
    const bool sharp = is_sharp(places, of, p->mark.tolerance);
    for (uint64_t k = 0; k < of && sharp; k++) {
        if (!fails(&places[k], p->mark.tolerance))
            continue;
        out->first = out->count++ == 0 ? k : out->first;
        out->last = k;
    }
    free(places);
}

void ls_find_failing_places(const ls_diff *d, const ls_pair *p, const ls_aligned_pair *aligned, ls_diagnosis *out) {
    enum { LONGEST = 1 << 22 };
    const ls_view *view = &aligned->layout.candidate;
    const int rows = rows_axis(&d->matching.tokens.pairs[p->pass_pair], aligned);
    for (int axis = 0; axis < view->rank && out->axis_count < LS_FAILING_AXES; axis++) {
        ls_failing_places found = {0};
        if (axis != rows && view->shape[axis] > 1 && view->shape[axis] <= LONGEST)
            find_along(aligned, p, axis, &found);
        found.is_last = axis == view->rank - 1;
        if (found.count > 0 && found.count < found.of)
            out->axes[out->axis_count++] = found;
    }
}

void ls_find_failing_rows(const ls_diff *d, const ls_pair *p, const ls_aligned_pair *aligned, ls_failing_rows *f) {
    const ls_pass_pair *pp = &d->matching.tokens.pairs[p->pass_pair];
    const int axis = rows_axis(pp, aligned);
    row_error *rows = axis >= 0 ? calloc(pp->row_count, sizeof *rows) : NULL;
    if (rows == NULL || !measure(&aligned->layout, p, axis, rows)) {
        free(rows);
        return;
    }
    f->of = pp->row_count;
    const bool sharp = is_sharp(rows, pp->row_count, p->mark.tolerance);
    for (size_t k = 0; k < pp->row_count && sharp; k++)
        if (fails(&rows[k], p->mark.tolerance)) {
            f->first = f->count++ == 0 ? pp->rows[k].candidate : f->first;
            f->last = pp->rows[k].candidate;
        }
    free(rows);
}
