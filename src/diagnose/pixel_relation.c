#include "diagnose/pixel_relation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GLANCE = 2000 };
static const ls_pixel_order as_is = {.channels = {0, 1, 2}};

/* Places that are spread over a picture, the same ones each time. */
static size_t place(size_t i, size_t count) { return (size_t)((i * UINT64_C(0x9e3779b97f4a7c15) >> 16) % count); }

static double left_of(const ls_line_fit fits[3]) {
    double left = 0, spread = 0;
    for (int c = 0; c < 3; c++) {
        const ls_line line = ls_line_of(&fits[c]);
        left += line.left;
        spread += line.spread;
    }
    return spread > 0 ? sqrt(left / spread) : INFINITY;
}

typedef struct sides {
    const ls_pixels *reference, *candidate;
    const size_t *tiles; /* NULL: in order */
} sides;

static void add(const sides *s, const ls_pixel_order *o, size_t image, size_t pixel, ls_line_fit fits[3]) {
    const size_t y = pixel / s->reference->width, x = pixel % s->reference->width;
    for (size_t c = 0; c < 3; c++)
        ls_line_add(&fits[c], ls_pixel_at(s->reference, &as_is, image, c, y, x), ls_pixel_at(s->candidate, o, s->tiles != NULL ? s->tiles[image] : image, c, y, x));
}

static double glance(const sides *s, const ls_pixel_order *o) {
    const size_t pixels = s->reference->height * s->reference->width;
    ls_line_fit fits[3] = {0};
    for (size_t i = 0; i < GLANCE; i++)
        add(s, o, place(i, s->reference->images), place(i + GLANCE, pixels), fits);
    return left_of(fits);
}

static bool fits_shape(const ls_pixels *p, const ls_pixel_order *o) { return !o->is_turned || p->height == p->width; }

/* A simpler order is left only for one that is clearly better. */
static double best_order(const sides *s, ls_pixel_order *out) {
    double best = INFINITY;
    for (size_t i = 0; i < LS_PIXEL_ORDERS; i++) {
        const ls_pixel_order o = ls_pixel_order_of(i);
        const double left = fits_shape(s->candidate, &o) ? glance(s, &o) : INFINITY;
        if (left < 0.8 * best) {
            best = left;
            *out = o;
        }
    }
    return best;
}

/* How unlike two tiles are, in one order. */
static double unlike(const sides *s, const ls_pixel_order *o, size_t reference, size_t candidate) {
    const size_t pixels = s->reference->height * s->reference->width;
    ls_line_fit fits[3] = {0};
    for (size_t i = 0; i < GLANCE / 4; i++) {
        const size_t pixel = place(i, pixels), y = pixel / s->reference->width, x = pixel % s->reference->width;
        for (size_t c = 0; c < 3; c++)
            ls_line_add(&fits[c], ls_pixel_at(s->reference, &as_is, reference, c, y, x), ls_pixel_at(s->candidate, o, candidate, c, y, x));
    }
    return left_of(fits);
}

static bool is_flat(const ls_pixels *p, size_t image) {
    const size_t count = 3 * p->height * p->width;
    for (size_t i = 1; i < count; i++)
        if (p->values[image * count + i] != p->values[image * count])
            return false;
    return true;
}

/* Each of the reference's tiles among the candidate's; those of one colour stay where they are. Whether any moved. */
static bool find_tiles(const sides *s, const ls_pixel_order *o, size_t *out) {
    const size_t count = s->reference->images;
    bool taken[LS_TILES_MAX] = {0}, moved = false;
    for (size_t i = 0; i < count; i++) {
        double best = INFINITY;
        out[i] = i;
        for (size_t k = 0; k < count && !is_flat(s->reference, i); k++) {
            const double left = taken[k] ? INFINITY : unlike(s, o, i, k);
            if (left < best * (k == i ? 1 : 0.8)) {
                best = left;
                out[i] = k;
            }
        }
        if (taken[out[i]])
            return false;
        taken[out[i]] = true;
        moved = moved || out[i] != i;
    }
    return moved;
}

static double fit_all(const sides *s, const ls_pixel_order *o, ls_line lines[3]) {
    ls_line_fit fits[3] = {0};
    for (size_t n = 0; n < s->reference->images; n++)
        for (size_t i = 0; i < s->reference->height * s->reference->width; i++)
            add(s, o, n, i, fits);
    for (int c = 0; c < 3; c++)
        lines[c] = ls_line_of(&fits[c]);
    return left_of(fits);
}

bool ls_pixel_relation_find(const ls_pixels *reference, const ls_pixels *candidate, ls_pixel_relation *out) {
    sides s = {reference, candidate, NULL};
    ls_line lines[3];
    if (reference->images != candidate->images || reference->height != candidate->height || reference->width != candidate->width)
        return false;
    *out = (ls_pixel_relation){.order = as_is};
    out->plain = fit_all(&s, &as_is, lines);
    const double in_order = best_order(&s, &out->order);
    if (reference->images > 1 && reference->images <= LS_TILES_MAX && find_tiles(&s, &out->order, out->tiles)) {
        ls_pixel_order other;
        s.tiles = out->tiles;
        out->has_tiles = best_order(&s, &other) < 0.5 * in_order;
        if (out->has_tiles)
            out->order = other;
        else
            s.tiles = NULL;
    }
    out->left = fit_all(&s, &out->order, out->lines);
    return isfinite(out->left);
}

/* ------------------------------------------------------------------ borders */

/* Whether a row, or a column, has only the colour of the corner. */
static bool is_plain(const ls_pixels *p, const ls_pixel_order *o, bool is_row, size_t at) {
    for (size_t c = 0; c < 3; c++) {
        const float first = ls_pixel_at(p, o, 0, c, is_row ? at : 0, is_row ? 0 : at);
        for (size_t i = 0; i < (is_row ? p->width : p->height); i++)
            if (ls_pixel_at(p, o, 0, c, is_row ? at : i, is_row ? i : at) != first)
                return false;
    }
    return true;
}

static bool has_same_colour(const ls_pixels *p, const ls_pixel_order *o, size_t y, size_t x, size_t y2, size_t x2) {
    bool same = true;
    for (size_t c = 0; c < 3; c++)
        same = same && ls_pixel_at(p, o, 0, c, y, x) == ls_pixel_at(p, o, 0, c, y2, x2);
    return same;
}

static size_t count_plain(const ls_pixels *p, const ls_pixel_order *o, bool is_row, bool from_end) {
    const size_t length = is_row ? p->height : p->width, edge = from_end ? length - 1 : 0;
    size_t count = 0;
    while (count < length) {
        const size_t at = from_end ? length - 1 - count : count;
        if (!is_plain(p, o, is_row, at) || !has_same_colour(p, o, is_row ? at : 0, is_row ? 0 : at, is_row ? edge : 0, is_row ? 0 : edge))
            break;
        count++;
    }
    return count;
}

ls_pixel_borders ls_pixel_borders_of(const ls_pixels *p, const ls_pixel_order *o) {
    const ls_pixel_borders b = {count_plain(p, o, true, false), count_plain(p, o, true, true), count_plain(p, o, false, false), count_plain(p, o, false, true)};
    return b.top == p->height || b.left == p->width || p->images > 1 ? (ls_pixel_borders){0} : b;
}

double ls_pixel_borders_left(const ls_pixels *bordered, const ls_pixel_order *order, const ls_pixel_borders *b, const ls_pixels *other, const ls_pixel_order *other_order) {
    const double height = (double)(bordered->height - b->top - b->bottom), width = (double)(bordered->width - b->left - b->right);
    ls_line_fit fits[3] = {0};
    for (size_t y = 0; y < other->height; y++)
        for (size_t x = 0; x < other->width; x++) {
            const double v = fmin(fmax(((double)y + 0.5) * height / (double)other->height - 0.5, 0), height - 1), u = fmin(fmax(((double)x + 0.5) * width / (double)other->width - 0.5, 0), width - 1);
            const size_t y0 = (size_t)v, x0 = (size_t)u, y1 = y0 + (v > (double)y0), x1 = x0 + (u > (double)x0);
            const double fy = v - (double)y0, fx = u - (double)x0;
            for (size_t c = 0; c < 3; c++) {
                const double above = ls_pixel_at(bordered, order, 0, c, b->top + y0, b->left + x0) * (1 - fx) + ls_pixel_at(bordered, order, 0, c, b->top + y0, b->left + x1) * fx;
                const double below = ls_pixel_at(bordered, order, 0, c, b->top + y1, b->left + x0) * (1 - fx) + ls_pixel_at(bordered, order, 0, c, b->top + y1, b->left + x1) * fx;
                ls_line_add(&fits[c], ls_pixel_at(other, other_order, 0, c, y, x), above * (1 - fy) + below * fy);
            }
        }
    return left_of(fits);
}
