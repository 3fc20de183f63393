/* Resampling of images. Where a sample lies is rounded to f32 by ggml, so errors grow with the place. */
#include <math.h>

#include "eval/eval.h"

/* ggml's modes, and flags besides them. */
enum { NEAREST = 0, BILINEAR = 1, BICUBIC = 2, MODE = 0xff, ALIGN_CORNERS = 0x100, ANTIALIAS = 0x200 };
enum { CUBIC_TAPS = 4 };

typedef struct scaling {
    const ls_array *x;
    int64_t mode;
    double factors[LS_EVAL_AXES]; /* how many elements of the result there are for one of the operand */
    double center;                /* of an element */
} scaling;

/* The element of the operand that an outer axis takes, or all axes in mode NEAREST: by a division in f32, as in ggml. */
static uint64_t nearest(const scaling *s, int axis, uint64_t at) {
    const uint64_t from = (uint64_t)((float)at / (float)s->factors[axis]), size = ls_array_size(s->x, axis);
    return from < size ? from : size - 1;
}

static double value_at(const scaling *s, const uint64_t outer[LS_EVAL_AXES], int64_t column, int64_t row) {
    const int64_t columns = (int64_t)ls_array_size(s->x, 0), rows = (int64_t)ls_array_size(s->x, 1);
    const uint64_t at[LS_EVAL_AXES] = {(uint64_t)(column < 0 ? 0 : column < columns ? column : columns - 1), (uint64_t)(row < 0 ? 0 : row < rows ? row : rows - 1), outer[2],
                                       outer[3]};
    return s->x->values[ls_array_index(s->x, at)];
}

/* The weights of neighboring elements along an axis, the first of which is returned. */
static int64_t weigh(const scaling *s, int axis, uint64_t at, double out[CUBIC_TAPS]) {
    const double place = ((double)at + s->center) / s->factors[axis] - s->center, low = floor(place), size = (double)ls_array_size(s->x, axis), a = -0.75;
    const double d = (s->mode & MODE) == BICUBIC ? place - low : fmin(1, fmax(0, place - fmin(size - 1, fmax(0, low))));
    if ((s->mode & MODE) == BILINEAR) {
        out[0] = 1 - d, out[1] = d, out[2] = out[3] = 0;
        return (int64_t)fmin(size - 1, fmax(0, low));
    }
    for (int i = 0; i < CUBIC_TAPS; i++) {
        const double t = fabs(d + 1 - i);
        out[i] = t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
    }
    return (int64_t)low - 1;
}

static void interpolate(ls_evaluation *e, const scaling *s, uint64_t i, const uint64_t at[LS_EVAL_AXES], const uint64_t from[LS_EVAL_AXES]) {
    double across[CUBIC_TAPS], down[CUBIC_TAPS], sum = 0, magnitudes = 0;
    const int64_t column = weigh(s, 0, at[0], across), row = weigh(s, 1, at[1], down);
    for (int k = 0; k < CUBIC_TAPS * CUBIC_TAPS; k++) {
        const double x = value_at(s, from, column + k % CUBIC_TAPS, row + k / CUBIC_TAPS);
        sum += across[k % CUBIC_TAPS] * down[k / CUBIC_TAPS] * x;
        magnitudes = fmax(magnitudes, fabs(x));
    }
    e->out[i] = sum;
    e->scale[i] = magnitudes * (1 + (double)(column > row ? column : row) / 8);
}

/* The elements of the operand under a triangle: [first, last). Its width is that of an element of either side. */
static double spread(const scaling *s, int axis, uint64_t at, uint64_t *out_first, uint64_t *out_last) {
    const double support = fmax(1, 1 / s->factors[axis]), place = ((double)at + s->center) / s->factors[axis];
    *out_first = (uint64_t)fmax(0, place - support + s->center);
    *out_last = (uint64_t)fmin((double)ls_array_size(s->x, axis), place + support + s->center);
    return place;
}

static double triangle(const scaling *s, int axis, uint64_t from, double place) {
    return fmax(0, 1 - fabs((double)from - place + s->center) / fmax(1, 1 / s->factors[axis]));
}

static void smooth(ls_evaluation *e, const scaling *s, uint64_t i, const uint64_t at[LS_EVAL_AXES], const uint64_t from[LS_EVAL_AXES]) {
    uint64_t first, last, top, bottom;
    const double across = spread(s, 0, at[0], &first, &last), down = spread(s, 1, at[1], &top, &bottom);
    double sum = 0, weights = 0, magnitudes = 0;
    for (uint64_t row = top; row < bottom; row++)
        for (uint64_t column = first; column < last; column++) {
            const double weight = triangle(s, 0, column, across) * triangle(s, 1, row, down), x = value_at(s, from, (int64_t)column, (int64_t)row);
            sum += weight * x;
            weights += weight;
            magnitudes = fmax(magnitudes, fabs(x));
        }
    e->out[i] = weights > 0 ? sum / weights : 0;
    e->scale[i] = magnitudes * (1 + fmax(across, down) / 8);
}

static bool set_scaling(ls_evaluation *e, scaling *s) {
    if (!ls_eval_has(e, 1) || !ls_eval_integer(e, "mode", 0, INT32_MAX, &s->mode))
        return false;
    s->x = e->operands[0];
    if ((s->mode & MODE) > BICUBIC || (s->mode & ~(MODE | ALIGN_CORNERS | ANTIALIAS)) != 0)
        return ls_eval_refuse(e, "a kind of resampling that is not covered");
    if (s->x->rank > LS_EVAL_AXES || e->node->rank > LS_EVAL_AXES || s->x->elements == 0)
        return ls_eval_misfit(e);
    s->center = s->mode & ALIGN_CORNERS ? 0 : 0.5;
    for (int axis = 0; axis < LS_EVAL_AXES; axis++) {
        const double from = (double)ls_array_size(s->x, axis), to = (double)ls_eval_size(e, axis);
        const bool aligns = (s->mode & ALIGN_CORNERS) && axis < 2 && from > 1 && to > 1;
        s->factors[axis] = aligns ? (to - 1) / (from - 1) : to / from;
    }
    return true;
}

/* x [.., rows, columns], of any two sizes. Outer axes repeat, or are picked from. */
bool ls_eval_upscale(ls_evaluation *e) {
    scaling s;
    if (!set_scaling(e, &s))
        return false;
    const bool smooths = (s.mode & MODE) == BILINEAR && (s.mode & ANTIALIAS);
    const double taps = smooths ? 4 * (1 + 1 / s.factors[0]) * (1 + 1 / s.factors[1]) : CUBIC_TAPS * CUBIC_TAPS;
    if (!ls_eval_affords(e, taps * (double)e->node->elements))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++) {
        uint64_t at[LS_EVAL_AXES], from[LS_EVAL_AXES];
        ls_eval_place(e, i, at);
        for (int axis = 0; axis < LS_EVAL_AXES; axis++)
            from[axis] = nearest(&s, axis, at[axis]);
        if (smooths)
            smooth(e, &s, i, at, from);
        else if ((s.mode & MODE) != NEAREST)
            interpolate(e, &s, i, at, from);
        else
            e->out[i] = s.x->values[ls_array_index(s.x, from)];
    }
    return true;
}
