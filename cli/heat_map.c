#include "heat_map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare/metrics.h"

typedef struct colour {
    uint8_t part[3];
} colour;

static const colour negative = {{33, 102, 172}}, zero = {{247, 247, 247}}, positive = {{178, 24, 43}}, masked = {{160, 160, 160}}, not_finite = {{255, 0, 255}};

/* Blue for negative, red for positive; the same as colourOf() in the HTML report's heatmap.js, in its light theme. */
static colour colour_of(double value, double limit) {
    if (!isfinite(value) || value <= LS_MASK_BELOW)
        return value <= LS_MASK_BELOW ? masked : not_finite;
    const double share = limit > 0 ? fmin(fabs(value) / limit, 1) : 0;
    const colour *end = value < 0 ? &negative : &positive;
    colour out;
    for (int i = 0; i < 3; i++)
        out.part[i] = (uint8_t)floor((double)zero.part[i] + (end->part[i] - zero.part[i]) * share + 0.5);
    return out;
}

static double value_of(const ls_picture_cell *cell, int panel) {
    const double reference = (double)cell->reference, candidate = (double)cell->candidate;
    if (panel < 2)
        return panel == 0 ? reference : candidate;
    if (reference <= LS_MASK_BELOW && candidate <= LS_MASK_BELOW)
        return reference;
    return ls_picture_has(reference) && ls_picture_has(candidate) ? candidate - reference : NAN;
}

static void fill_square(png_pixels *pixels, uint64_t x, uint64_t y, uint32_t side, colour c) {
    for (uint64_t row = y; row < y + side; row++)
        for (uint64_t column = x; column < x + side; column++)
            memcpy(pixels->rgb + (row * pixels->width + column) * 3, c.part, 3);
}

static void draw_panel(const ls_picture *p, int panel, const heat_scale *scale, png_pixels *out) {
    const double limit = panel == 2 ? scale->difference : scale->values;
    const uint64_t left = (uint64_t)panel * (p->width * scale->zoom + HEAT_GAP), of_slice = p->height * scale->zoom + HEAT_GAP;
    for (size_t slice = 0; slice < p->drawn_count; slice++)
        for (uint64_t row = 0; row < p->height; row++)
            for (uint64_t column = 0; column < p->width; column++) {
                const ls_picture_cell *cell = &p->cells[(slice * p->height + row) * p->width + column];
                fill_square(out, left + column * scale->zoom, slice * of_slice + row * scale->zoom, scale->zoom, colour_of(value_of(cell, panel), limit));
            }
}

lockstep_status heat_map_draw(const ls_picture *p, const heat_scale *scale, png_pixels *out, lockstep_error *error) {
    enum { MOST = 30000 };
    const uint64_t width = 3 * (p->width * scale->zoom) + 2 * HEAT_GAP, height = p->drawn_count * (p->height * scale->zoom + HEAT_GAP) - HEAT_GAP;
    if (width > MOST || height > MOST)
        return ls_fail(error, LOCKSTEP_LIMIT, "a picture of %llu x %llu pixels is too large, expected at most %d: choose a smaller --zoom", (unsigned long long)width, (unsigned long long)height, MOST);
    *out = (png_pixels){.width = (uint32_t)width, .height = (uint32_t)height, .rgb = malloc((size_t)(width * height) * 3)};
    if (out->rgb == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    memset(out->rgb, 255, (size_t)(width * height) * 3);
    for (int panel = 0; panel < 3; panel++)
        draw_panel(p, panel, scale, out);
    return LOCKSTEP_OK;
}
