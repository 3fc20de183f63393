/* A geometry is recognized at some places, where the mean of the picture's pixels stands for what any filter makes of them. */
#include <math.h>

#include "diagnose/pixel_plan.h"

enum { PLACES = 1500, LEAST_INSIDE = 200 };

typedef struct probe {
    ls_spot spot;
    float colours[3];
} probe;

/* The first and the number of pixels along one side that fall into the i-th of `outputs`. */
static void span(uint32_t inputs, uint32_t outputs, size_t i, size_t *first, size_t *count) {
    const double scale = (double)inputs / outputs, from = (double)i * scale, to = (double)(i + 1) * scale;
    *first = scale > 1 ? (size_t)(from + 0.5) : (size_t)((from + to) / 2);
    *first = *first < inputs ? *first : inputs - 1;
    const size_t end = scale > 1 ? (size_t)(to + 0.5) : *first + 1;
    *count = end > *first ? (end < inputs ? end : inputs) - *first : 1;
}

static void take_mean(const ls_image *picture, const ls_geometry *g, size_t row, size_t column, float out[3]) {
    size_t top, rows, left, columns, sums[3] = {0};
    span(picture->height, g->height, (size_t)((int64_t)row - g->top), &top, &rows);
    span(picture->width, g->width, (size_t)((int64_t)column - g->left), &left, &columns);
    for (size_t y = top; y < top + rows; y++)
        for (size_t x = left; x < left + columns; x++)
            for (size_t c = 0; c < 3; c++)
                sums[c] += picture->rgb[(y * picture->width + x) * 3 + c];
    for (size_t c = 0; c < 3; c++)
        out[c] = (float)sums[c] / (float)(rows * columns);
}

static double left_in_order(const ls_pixels *pixels, const probe *probes, const ls_pixel_order *o) {
    ls_line_fit fits[3] = {{0}};
    double left = 0, spread = 0;
    for (const probe *p = probes; p < probes + PLACES; p++)
        for (size_t c = 0; c < 3; c++)
            ls_line_add(&fits[c], p->colours[c], ls_pixel_at(pixels, o, p->spot.image, c, p->spot.y, p->spot.x));
    for (int c = 0; c < 3; c++) {
        const ls_line line = ls_line_of(&fits[c]);
        left += line.left;
        spread += line.spread;
    }
    return spread > 0 ? left / spread : INFINITY;
}

double ls_geometry_glance(const ls_image *picture, const ls_pixels *pixels, const ls_geometry *g, ls_pixel_order *out) {
    const ls_cover area = ls_cover_of(g, pixels);
    probe probes[PLACES];
    double best = INFINITY;
    if (area.bottom <= area.top || area.right <= area.left || (area.bottom - area.top) * (area.right - area.left) < LEAST_INSIDE)
        return INFINITY;
    for (size_t i = 0; i < PLACES; i++) {
        const size_t row = area.top + (i * UINT64_C(0x9e3779b97f4a7c15) >> 20) % (area.bottom - area.top), column = area.left + (i * UINT64_C(0xd1b54a32d192ed03) >> 20) % (area.right - area.left);
        probes[i].spot = ls_spot_of(g, pixels, row, column);
        take_mean(picture, g, row, column, probes[i].colours);
    }
    for (size_t i = 0; i < LS_PIXEL_ORDERS; i++) {
        const ls_pixel_order o = ls_pixel_order_of(i);
        const double left = o.is_turned && pixels->height != pixels->width ? INFINITY : left_in_order(pixels, probes, &o);
        if (left < 0.7 * best) { /* a simpler order is left only for one that is clearly better */
            best = left;
            *out = o;
        }
    }
    return best;
}
