#include "diagnose/pixel_plan.h"

#include <math.h>
#include <stdlib.h>

enum { FINALISTS = 4 };

/* Of the resized picture. */
static const float *colours_at(const float *resized, const ls_geometry *g, size_t row, size_t column) {
    return resized + ((size_t)((int64_t)row - g->top) * g->width + (size_t)((int64_t)column - g->left)) * 3;
}

typedef struct trial {
    const ls_pixels *pixels;
    const ls_geometry *geometry;
    const float *resized;
    ls_pixel_order order;
} trial;

static void add_pixel(const trial *t, size_t row, size_t column, ls_line_fit fits[3]) {
    const float *colours = colours_at(t->resized, t->geometry, row, column);
    const ls_spot s = ls_spot_of(t->geometry, t->pixels, row, column);
    for (size_t c = 0; c < 3; c++)
        ls_line_add(&fits[c], colours[c], ls_pixel_at(t->pixels, &t->order, s.image, c, s.y, s.x));
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
static void measure_borders(const trial *t, const ls_cover *area, ls_pixel_plan *plan, sums *s) {
    double total[3] = {0}, count = 0;
    const size_t height = t->geometry->rows * t->pixels->height, width = t->geometry->columns * t->pixels->width;
    for (int round = 0; round < 2; round++)
        for (size_t row = 0; row < height; row++)
            for (size_t column = 0; column < width; column++) {
                if (row >= area->top && row < area->bottom && column == area->left)
                    column = area->right;
                if (column >= width)
                    break;
                const ls_spot at = ls_spot_of(t->geometry, t->pixels, row, column);
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
    const ls_cover area = ls_cover_of(t->geometry, t->pixels);
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
            const float *colours = colours_at(t->resized, t->geometry, row, column);
            const ls_spot at = ls_spot_of(t->geometry, t->pixels, row, column);
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

static lockstep_status choose_finalists(const ls_image *picture, const ls_pixels *pixels, finalist list[FINALISTS], lockstep_error *error) {
    ls_geometry *all = calloc(LS_GEOMETRIES_MAX, sizeof *all);
    if (all == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    const size_t count = ls_geometries(picture, pixels, all);
    for (size_t i = 0; i < FINALISTS; i++)
        list[i].left = INFINITY;
    for (size_t i = 0; i < count; i++) {
        finalist f = {.geometry = all[i]};
        f.left = ls_geometry_glance(picture, pixels, &all[i], &f.order);
        enter(list, &f);
    }
    free(all);
    return LOCKSTEP_OK;
}

static lockstep_status resize(const ls_image *picture, const ls_resizing *how, const ls_geometry *g, float *out) {
    ls_image resized;
    if (how->arithmetic == LS_ARITHMETIC_UNROUNDED)
        return ls_resize_f32(picture, NULL, how, g->width, g->height, out, NULL);
    LS_TRY(ls_resize(picture, NULL, how, g->width, g->height, &resized, NULL));
    for (size_t i = 0; i < ls_image_bytes(&resized); i++)
        out[i] = resized.rgb[i];
    ls_image_free(&resized);
    return LOCKSTEP_OK;
}

static void try_way(const ls_image *picture, const ls_pixels *pixels, const finalist *f, const ls_filter *filter, const ls_way *way, ls_pixel_plan *best) {
    const ls_resizing how = {filter, way->sampling, way->arithmetic};
    const bool is_resized = f->geometry.width != picture->width || f->geometry.height != picture->height;
    ls_pixel_plan plan = {.geometry = f->geometry, .filter = is_resized ? filter : NULL, .way = way, .order = f->order};
    float *resized = malloc((size_t)f->geometry.width * f->geometry.height * 3 * sizeof *resized);
    const trial t = {pixels, &plan.geometry, resized, f->order};
    if (resized != NULL && resize(picture, &how, &plan.geometry, resized) == LOCKSTEP_OK && measure(&t, &plan) && plan.steps < 0.95 * best->steps - 1e-6)
        *best = plan;
    free(resized);
}

/* With the usual filter first, which wins among equals. Filters differ by some steps: what is far off isn't this picture. */
static void try_ways(const ls_image *picture, const ls_pixels *pixels, const finalist *f, ls_pixel_plan *best) {
    const double exact = 0.01, far_off = 60;
    const ls_filter *const bilinear = ls_filter_find("bilinear");
    ls_pixel_plan usual = {.steps = INFINITY};
    try_way(picture, pixels, f, bilinear, ls_ways, &usual);
    if (usual.steps > far_off)
        return;
    *best = usual.steps < 0.95 * best->steps ? usual : *best;
    for (const ls_way *w = ls_ways + 1; w->name != NULL && best->steps > exact; w++)
        try_way(picture, pixels, f, bilinear, w, best);
    for (const ls_filter *filter = ls_filters; filter->name != NULL; filter++)
        for (const ls_way *w = ls_ways; w->name != NULL && best->steps > exact && filter != bilinear; w++)
            try_way(picture, pixels, f, filter, w, best);
}

lockstep_status ls_pixel_plan_find(const ls_image *picture, const ls_pixels *pixels, ls_pixel_plan *out, lockstep_error *error) {
    const double most_alike = 0.5, rivals = 4; /* what shows nothing of the picture isn't made of it; what is far less like it than another isn't, either */
    finalist list[FINALISTS] = {{.left = INFINITY}};
    out->steps = INFINITY;
    LS_TRY(choose_finalists(picture, pixels, list, error));
    for (size_t i = 0; i < FINALISTS && list[i].left <= fmin(most_alike, rivals * list[0].left + 1e-3); i++)
        try_ways(picture, pixels, &list[i], out);
    return LOCKSTEP_OK;
}
