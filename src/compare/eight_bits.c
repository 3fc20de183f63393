#include "compare/eight_bits.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_ELEMENTS = 1 << 25, SAMPLE = 4096, LEVELS = 255 };

typedef struct grid {
    double least, step;
} grid;

static int by_value(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Which colour an element is of. */
typedef struct colours {
    bool is_last; /* the innermost axis */
    uint64_t plane;
} colours;

static bool colours_of(const ls_view *v, colours *out) {
    if (v->rank < 3)
        return false;
    out->is_last = v->shape[v->rank - 3] != 3;
    out->plane = v->shape[v->rank - 2] * v->shape[v->rank - 1];
    return !out->is_last || v->shape[v->rank - 1] == 3;
}

static size_t colour_at(const colours *c, size_t i) { return c->is_last ? i % 3 : i / c->plane % 3; }

/* The step is the least distance between values of a sample. */
static grid grid_of(const float *values, size_t count, const colours *c, size_t colour) {
    float *sample = malloc(SAMPLE * sizeof *sample);
    size_t taken = 0;
    grid g = {INFINITY, INFINITY};
    for (size_t i = 0; i < count; i++)
        if (colour_at(c, i) == colour)
            g.least = fmin(g.least, values[i]);
    for (size_t i = 0; sample != NULL && taken < SAMPLE && i < 64 * SAMPLE; i++) {
        const size_t at = (i * UINT64_C(0x9e3779b97f4a7c15) >> 16) % count;
        if (colour_at(c, at) == colour)
            sample[taken++] = values[at];
    }
    if (taken > 0)
        qsort(sample, taken, sizeof *sample, by_value);
    for (size_t i = 1; i < taken; i++)
        if (sample[i] - sample[i - 1] > 1e-5 * (fabs(sample[0]) + fabs(sample[taken - 1])))
            g.step = fmin(g.step, sample[i] - sample[i - 1]);
    free(sample);
    return g;
}

static double level(const grid *g, float value) { return (value - g->least) / g->step; }

static bool is_level(double at) { return fabs(at - rint(at)) < 0.05 && at > -1.5 && at < LEVELS + 1.5; }

/* Whether the step is that of 8 bits shows in the number of levels: a coarser one, of few, may be anything. */
static bool compare(const float *reference, const float *candidate, size_t count, const colours *c, ls_eight_bits *out) {
    grid grids[3];
    for (size_t k = 0; k < 3; k++) {
        grids[k] = grid_of(reference, count, c, k);
        if (!isfinite(grids[k].step))
            return false;
    }
    size_t up = 0, down = 0;
    for (size_t i = 0; i < count; i++) {
        const grid *g = &grids[colour_at(c, i)];
        const double a = level(g, reference[i]), b = level(g, candidate[i]), steps = rint(b) - rint(a);
        if (!is_level(a) || !is_level(b) || fabs(steps) > 1)
            return false;
        up += steps > 0;
        down += steps < 0;
    }
    *out = (ls_eight_bits){(double)up / (double)count, (double)down / (double)count};
    return true;
}

bool ls_eight_bits_of(const ls_view *reference, const ls_view *candidate, ls_eight_bits *out) {
    const uint64_t count = ls_view_elements(reference);
    colours c;
    if (count == 0 || count > MOST_ELEMENTS || count != ls_view_elements(candidate) || !colours_of(candidate, &c))
        return false;
    float *values = malloc(2 * count * sizeof *values);
    if (values == NULL)
        return false;
    ls_view_read_f32(reference, 0, count, values);
    ls_view_read_f32(candidate, 0, count, values + count);
    const bool ok = compare(values, values + count, count, &c, out);
    free(values);
    return ok;
}
