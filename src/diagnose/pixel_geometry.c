/* The ways to bring a picture into a size. */
#include <math.h>

#include "diagnose/pixel_plan.h"

typedef struct list {
    const ls_image *picture;
    uint32_t width, height; /* of the canvas */
    ls_geometry base;
    ls_geometry *items;
    size_t count;
} list;

/* Of a long picture, a crop is a small part of something large, which takes long to compute, and nobody makes. */
static void add(list *l, ls_placing placing, double width, double height, bool is_centered, bool rounds_up) {
    const double most = 16 * (double)l->width * l->height + (double)l->picture->width * l->picture->height;
    ls_geometry g = l->base;
    if (width < 1 || height < 1 || width * height > most || l->count == LS_GEOMETRIES_MAX)
        return;
    g.placing = placing;
    g.width = (uint32_t)width;
    g.height = (uint32_t)height;
    g.is_centered = is_centered;
    const int64_t x = (int64_t)l->width - g.width, y = (int64_t)l->height - g.height;
    g.left = is_centered ? (x + (x >= 0 && rounds_up)) / 2 : 0;
    g.top = is_centered ? (y + (y >= 0 && rounds_up)) / 2 : 0;
    for (size_t i = 0; i < l->count; i++) {
        const ls_geometry *o = &l->items[i];
        if (o->width == g.width && o->height == g.height && o->left == g.left && o->top == g.top && o->rows == g.rows && o->columns == g.columns && o->by_column == g.by_column)
            return;
    }
    l->items[l->count++] = g;
}

/* The side that isn't full is rounded down, to the nearest, or up; the picture lies in the corner or in the middle. */
static void add_letterboxes(list *l) {
    const double by_width = (double)l->width / l->picture->width, by_height = (double)l->height / l->picture->height, scale = fmin(by_width, by_height);
    double (*const roundings[])(double) = {floor, rint, ceil};
    for (size_t i = 0; i < 3; i++)
        for (int centered = 0; centered < 3; centered++) {
            const double width = by_width <= by_height ? l->width : roundings[i](l->picture->width * scale), height = by_width <= by_height ? roundings[i](l->picture->height * scale) : l->height;
            add(l, LS_PLACING_LETTERBOX, width, height, centered > 0, centered > 1);
        }
}

static void add_crops(list *l) {
    const double by_width = (double)l->width / l->picture->width, by_height = (double)l->height / l->picture->height, scale = fmax(by_width, by_height);
    double (*const roundings[])(double) = {floor, rint, ceil};
    for (size_t i = 0; i < 3; i++) {
        const double width = by_width >= by_height ? l->width : roundings[i](l->picture->width * scale), height = by_width >= by_height ? roundings[i](l->picture->height * scale) : l->height;
        add(l, LS_PLACING_CROP, width, height, true, false);
    }
}

static void add_all(list *l) {
    if (l->picture->width == l->width && l->picture->height == l->height)
        add(l, LS_PLACING_UNRESIZED, l->width, l->height, false, false);
    add(l, LS_PLACING_STRETCH, l->width, l->height, false, false);
    add_letterboxes(l);
    if (l->base.rows * l->base.columns == 1)
        add_crops(l);
    /* smaller pictures are not always made larger */
    if (l->picture->width <= l->width && l->picture->height <= l->height)
        for (int centered = 0; centered < 2; centered++)
            add(l, LS_PLACING_LETTERBOX, l->picture->width, l->picture->height, centered > 0, false);
    if (l->picture->width >= l->width && l->picture->height >= l->height)
        add(l, LS_PLACING_UNRESIZED, l->picture->width, l->picture->height, true, false);
}

size_t ls_geometries(const ls_image *picture, const ls_pixels *like, ls_geometry out[LS_GEOMETRIES_MAX]) {
    enum { MOST_TILES = 9 };
    list l = {.picture = picture, .items = out};
    const size_t most = like->images < MOST_TILES ? like->images : MOST_TILES;
    if (like->width > LS_IMAGE_LONGEST_SIDE / MOST_TILES || like->height > LS_IMAGE_LONGEST_SIDE / MOST_TILES)
        return 0;
    for (size_t rows = 1; rows <= most; rows++)
        for (size_t columns = 1; rows * columns <= most; columns++)
            for (int by_column = 0; by_column < (rows > 1 && columns > 1 ? 2 : 1); by_column++) {
                l.base = (ls_geometry){.rows = rows, .columns = columns, .by_column = by_column > 0};
                l.width = (uint32_t)(columns * like->width);
                l.height = (uint32_t)(rows * like->height);
                add_all(&l);
            }
    return l.count;
}

ls_spot ls_spot_of(const ls_geometry *g, const ls_pixels *p, size_t row, size_t column) {
    const size_t tile_row = row / p->height, tile_column = column / p->width;
    const size_t image = g->by_column ? tile_column * g->rows + tile_row : tile_row * g->columns + tile_column;
    return (ls_spot){image, row % p->height, column % p->width};
}

ls_cover ls_cover_of(const ls_geometry *g, const ls_pixels *p) {
    const int64_t height = (int64_t)(g->rows * p->height), width = (int64_t)(g->columns * p->width), bottom = g->top + g->height, right = g->left + g->width;
    return (ls_cover){(size_t)(g->top > 0 ? g->top : 0), (size_t)(g->left > 0 ? g->left : 0), (size_t)(bottom < height ? bottom : height), (size_t)(right < width ? right : width)};
}
