#include "diagnose/pixel_plan.h"

#include <math.h>
#include <stdlib.h>

enum { GLANCE = 1500, FINALISTS = 4, LEAST_INSIDE = 12 };

/* Which of the tensor's pictures a place of the canvas is in, and where in it. */
typedef struct spot {
    size_t image, y, x;
} spot;

static spot spot_of(const ls_geometry *g, const ls_pixels *p, size_t row, size_t column) {
    const size_t tile_row = row / p->height, tile_column = column / p->width;
    const size_t image = g->by_column ? tile_column * g->rows + tile_row : tile_row * g->columns + tile_column;
    return (spot){image, row % p->height, column % p->width};
}

/* The part of the canvas that the picture covers. */
typedef struct cover {
    size_t top, left, bottom, right; /* behind the last */
} cover;

static cover cover_of(const ls_geometry *g, const ls_pixels *p) {
    const int64_t height = (int64_t)(g->rows * p->height), width = (int64_t)(g->columns * p->width), bottom = g->top + g->height, right = g->left + g->width;
    return (cover){(size_t)(g->top > 0 ? g->top : 0), (size_t)(g->left > 0 ? g->left : 0), (size_t)(bottom < height ? bottom : height), (size_t)(right < width ? right : width)};
}

static const uint8_t *colours_at(const ls_image *resized, const ls_geometry *g, size_t row, size_t column) {
    return resized->rgb + ((size_t)((int64_t)row - g->top) * resized->width + (size_t)((int64_t)column - g->left)) * 3;
}

typedef struct trial {
    const ls_pixels *pixels;
    const ls_geometry *geometry;
    const ls_image *resized;
    ls_pixel_order order;
} trial;

static void add_pixel(const trial *t, size_t row, size_t column, ls_line_fit fits[3]) {
    const uint8_t *colours = colours_at(t->resized, t->geometry, row, column);
    const spot s = spot_of(t->geometry, t->pixels, row, column);
    for (size_t c = 0; c < 3; c++)
        ls_line_add(&fits[c], colours[c], ls_pixel_at(t->pixels, &t->order, s.image, c, s.y, s.x));
}

/* The share of the tensor's spread that straight lines leave, at some places. */
static double glance(const trial *t) {
    const cover area = cover_of(t->geometry, t->pixels);
    const size_t height = area.bottom - area.top, width = area.right - area.left;
    ls_line_fit fits[3] = {0};
    double left = 0, spread = 0;
    for (size_t i = 0; i < GLANCE; i++)
        add_pixel(t, area.top + (i * UINT64_C(0x9e3779b97f4a7c15) >> 20) % height, area.left + (i * UINT64_C(0xd1b54a32d192ed03) >> 20) % width, fits);
    for (int c = 0; c < 3; c++) {
        const ls_line line = ls_line_of(&fits[c]);
        left += line.left;
        spread += line.spread;
    }
    return spread > 0 ? left / spread : INFINITY;
}

/* ------------------------------------------------------------------ in full */

typedef struct sums {
    double squares, most, norm;
    size_t count;
} sums;

static void add_rest(sums *s, double value, double expected, double step) {
    const double rest = fabs(value - expected) / step;
    s->squares += rest * rest;
    s->most = fmax(s->most, rest);
    s->norm += value / step * (value / step);
    s->count++;
}

/* Borders have one colour each, which is their mean. */
static void measure_borders(const trial *t, const cover *area, ls_pixel_plan *plan, sums *s) {
    double total[3] = {0}, count = 0;
    const size_t height = t->geometry->rows * t->pixels->height, width = t->geometry->columns * t->pixels->width;
    for (int round = 0; round < 2; round++)
        for (size_t row = 0; row < height; row++)
            for (size_t column = 0; column < width; column++) {
                if (row >= area->top && row < area->bottom && column == area->left)
                    column = area->right;
                if (column >= width)
                    break;
                const spot at = spot_of(t->geometry, t->pixels, row, column);
                count += round == 0;
                for (size_t c = 0; c < 3; c++) {
                    const double value = ls_pixel_at(t->pixels, &t->order, at.image, c, at.y, at.x);
                    total[c] += round == 0 ? value : 0;
                    if (round == 1)
                        add_rest(s, value, total[c] / count, fabs(plan->scale.slope[c]));
                }
            }
    for (size_t c = 0; c < 3 && count > 0; c++)
        plan->border[c] = (total[c] / count - plan->scale.offset[c]) / plan->scale.slope[c];
}

/* Fits a line to each colour, and measures what is left everywhere. False for a picture that has one colour only. */
static bool measure(const trial *t, ls_pixel_plan *plan) {
    const cover area = cover_of(t->geometry, t->pixels);
    ls_line_fit fits[3] = {0};
    sums s = {0};
    for (size_t row = area.top; row < area.bottom; row++)
        for (size_t column = area.left; column < area.right; column++)
            add_pixel(t, row, column, fits);
    for (int c = 0; c < 3; c++) {
        const ls_line line = ls_line_of(&fits[c]);
        plan->scale.slope[c] = line.slope;
        plan->scale.offset[c] = line.offset;
        if (!(fabs(line.slope) > 0))
            return false;
    }
    for (size_t row = area.top; row < area.bottom; row++)
        for (size_t column = area.left; column < area.right; column++) {
            const uint8_t *colours = colours_at(t->resized, t->geometry, row, column);
            const spot at = spot_of(t->geometry, t->pixels, row, column);
            for (size_t c = 0; c < 3; c++)
                add_rest(&s, ls_pixel_at(t->pixels, &t->order, at.image, c, at.y, at.x), plan->scale.slope[c] * colours[c] + plan->scale.offset[c], fabs(plan->scale.slope[c]));
        }
    measure_borders(t, &area, plan, &s);
    plan->steps = sqrt(s.squares / (double)s.count);
    plan->most = s.most;
    plan->left = s.norm > 0 ? sqrt(s.squares / s.norm) : INFINITY;
    return true;
}

/* ------------------------------------------------------------------ search */

typedef struct finalist {
    ls_geometry geometry;
    ls_pixel_order order;
    double left;
} finalist;

static void enter(finalist *list, const finalist *f) {
    size_t at = FINALISTS;
    while (at > 0 && f->left < list[at - 1].left)
        at--;
    for (size_t i = FINALISTS - 1; i > at && at < FINALISTS; i--)
        list[i] = list[i - 1];
    if (at < FINALISTS)
        list[at] = *f;
}

static bool is_worth_trying(const ls_geometry *g, const ls_pixels *p) {
    const cover area = cover_of(g, p);
    return area.bottom > area.top && area.right > area.left && (area.bottom - area.top) * (area.right - area.left) >= LEAST_INSIDE;
}

/* The order in which a geometry's pixels are most like the tensor's; a simpler one is left only for one that is clearly better. */
static finalist best_order(const ls_pixels *pixels, const ls_geometry *g, const ls_image *resized) {
    trial t = {.pixels = pixels, .geometry = g, .resized = resized};
    finalist best = {*g, ls_pixel_order_of(0), INFINITY};
    for (size_t i = 0; i < LS_PIXEL_ORDERS; i++) {
        t.order = ls_pixel_order_of(i);
        const double left = t.order.is_turned && pixels->height != pixels->width ? INFINITY : glance(&t);
        if (left < 0.7 * best.left) {
            best.left = left;
            best.order = t.order;
        }
    }
    return best;
}

/* Most of it shows with any filter. */
static lockstep_status choose_finalists(const ls_image *picture, const ls_pixels *pixels, finalist list[FINALISTS], lockstep_error *error) {
    const ls_resizing usual = {ls_filter_find("bilinear"), LS_SAMPLING_AREA, LS_ARITHMETIC_PILLOW};
    ls_geometry *all = calloc(LS_GEOMETRIES_MAX, sizeof *all);
    if (all == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    const size_t count = ls_geometries(picture, pixels, all);
    for (size_t i = 0; i < FINALISTS; i++)
        list[i].left = INFINITY;
    for (size_t i = 0; i < count; i++) {
        ls_image resized;
        if (!is_worth_trying(&all[i], pixels) || ls_resize(picture, NULL, &usual, all[i].width, all[i].height, &resized, error) != LOCKSTEP_OK)
            continue;
        const finalist f = best_order(pixels, &all[i], &resized);
        enter(list, &f);
        ls_image_free(&resized);
    }
    free(all);
    return LOCKSTEP_OK;
}

static void try_way(const ls_image *picture, const ls_pixels *pixels, const finalist *f, const ls_filter *filter, const ls_way *way, ls_pixel_plan *best) {
    const ls_resizing how = {filter, way->sampling, way->arithmetic};
    const bool is_resized = f->geometry.width != picture->width || f->geometry.height != picture->height;
    ls_pixel_plan plan = {.geometry = f->geometry, .filter = is_resized ? filter : NULL, .way = way, .order = f->order};
    ls_image resized;
    if (ls_resize(picture, NULL, &how, f->geometry.width, f->geometry.height, &resized, NULL) != LOCKSTEP_OK)
        return;
    const trial t = {pixels, &plan.geometry, &resized, f->order};
    if (measure(&t, &plan) && plan.steps < 0.95 * best->steps - 1e-6)
        *best = plan;
    ls_image_free(&resized);
}

lockstep_status ls_pixel_plan_find(const ls_image *picture, const ls_pixels *pixels, ls_pixel_plan *out, lockstep_error *error) {
    finalist list[FINALISTS];
    const ls_filter *const bilinear = ls_filter_find("bilinear");
    out->steps = INFINITY;
    LS_TRY(choose_finalists(picture, pixels, list, error));
    for (size_t i = 0; i < FINALISTS && isfinite(list[i].left); i++) {
        try_way(picture, pixels, &list[i], bilinear, ls_ways, out); /* the usual one first: of equals, it wins */
        for (const ls_filter *f = ls_filters; f->name != NULL; f++)
            for (const ls_way *w = ls_ways; w->name != NULL; w++)
                try_way(picture, pixels, &list[i], f, w, out);
    }
    return LOCKSTEP_OK;
}
