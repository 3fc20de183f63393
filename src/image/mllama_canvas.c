/* Mllama: the picture keeps its proportions within a canvas of up to max_image_tiles tiles. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image/processor_kind.h"

typedef struct canvas {
    uint32_t rows, columns; /* of tiles */
    int64_t id;             /* from 1, in the order in which arrangements are listed */
} canvas;

/* The smallest enlargement that is possible, or else the smallest reduction; of equals, the smallest canvas. */
static canvas choose(const ls_image *image, uint32_t tile, uint32_t most) {
    canvas best = {0};
    double best_scale = 0;
    int64_t id = 0;
    for (uint32_t rows = 1; rows <= most; rows++)
        for (uint32_t columns = 1; rows * columns <= most; columns++) {
            const double by_height = (double)(rows * tile) / image->height, by_width = (double)(columns * tile) / image->width;
            const double scale = fmin(by_height, by_width);
            const bool is_better = id++ == 0 || (scale >= 1 ? best_scale < 1 || scale < best_scale : best_scale < 1 && scale > best_scale) ||
                                   (scale == best_scale && rows * columns < best.rows * best.columns);
            if (is_better) {
                best = (canvas){rows, columns, id};
                best_scale = scale;
            }
        }
    return best;
}

static uint32_t between(uint32_t value, uint32_t least, uint32_t most) { return value < least ? least : value > most ? most : value; }

/* Rounded down, and at least 1. */
static uint32_t scaled(uint32_t length, double scale, uint32_t most) {
    const double exact = floor(length * scale);
    return exact < 1 ? 1 : exact > most ? most : (uint32_t)exact;
}

static void fit(const ls_image *image, const canvas *c, uint32_t tile, uint32_t *width, uint32_t *height) {
    *width = between(image->width, tile, c->columns * tile);
    *height = between(image->height, tile, c->rows * tile);
    const double by_height = (double)*height / image->height, by_width = (double)*width / image->width;
    if (by_width < by_height)
        *height = scaled(image->height, by_width, *height);
    else
        *width = scaled(image->width, by_height, *width);
}

static lockstep_status split(ls_preprocessing *run, const ls_image *padded, const canvas *c, uint32_t tile) {
    const size_t count = (size_t)c->rows * c->columns;
    ls_image *tiles = calloc(count, sizeof *tiles);
    lockstep_status status = tiles != NULL ? LOCKSTEP_OK : ls_fail(run->error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (size_t i = 0; status == LOCKSTEP_OK && i < count; i++)
        status = ls_step_place(run, padded, -(int64_t)(i % c->columns * tile), -(int64_t)(i / c->columns * tile), tile, tile, &tiles[i]);
    if (status == LOCKSTEP_OK)
        status = ls_stage_images(run, "tiles", tiles, count, false, run->stages->count - 1);
    for (size_t i = 0; tiles != NULL && i < count; i++)
        ls_image_free(&tiles[i]);
    free(tiles);
    return status;
}

static lockstep_status place(ls_preprocessing *run, const ls_image *image, const canvas *c, uint32_t tile) {
    ls_image resized = {0}, padded = {0};
    uint32_t width, height;
    fit(image, c, tile, &width, &height);
    lockstep_status status = ls_step_resize(run, image, NULL, width, height, &resized);
    if (status == LOCKSTEP_OK)
        status = ls_stage_images(run, "resized", &resized, 1, true, run->stages->count - 1);
    if (status == LOCKSTEP_OK)
        status = ls_step_place(run, &resized, 0, 0, c->columns * tile, c->rows * tile, &padded);
    if (status == LOCKSTEP_OK)
        status = ls_stage_images(run, "padded", &padded, 1, true, run->stages->count - 1);
    if (status == LOCKSTEP_OK)
        status = split(run, &padded, c, tile);
    ls_image_free(&resized);
    ls_image_free(&padded);
    return status;
}

enum { MOST_TILES = 64 };

static lockstep_status check(const ls_preprocessing *run) {
    const ls_processor *p = run->processor;
    if (p->size.height == 0 || p->size.height != p->size.width)
        return ls_fail(run->error, LOCKSTEP_MALFORMED, "size: found %ux%u, expected the height and width of a tile, which are equal", p->size.width, p->size.height);
    if (!p->do_resize || !p->do_pad)
        return ls_fail(run->error, LOCKSTEP_UNSUPPORTED, "Mllama's processor has no do_resize or do_pad that is false");
    if (p->max_image_tiles > MOST_TILES)
        return ls_fail(run->error, LOCKSTEP_LIMIT, "max_image_tiles: found %u, expected at most %d", p->max_image_tiles, MOST_TILES);
    return ls_image_check_size("all tiles together", p->size.width, (uint64_t)p->size.height * p->max_image_tiles, run->error);
}

lockstep_status ls_run_mllama(ls_preprocessing *run, const ls_image *image) {
    const ls_processor *p = run->processor;
    LS_TRY(check(run));
    const uint32_t tile = p->size.height, most = p->max_image_tiles;
    const canvas c = choose(image, tile, most);
    LS_TRY(place(run, image, &c, tile));
    LS_TRY(ls_stage_values(run));
    LS_TRY(ls_stage_output(run, "pixel_values", 6, (uint64_t[]){1, 1, most, 3, tile, tile}));
    const int64_t count = (int64_t)c.rows * c.columns;
    int64_t mask[MOST_TILES] = {0};
    for (int64_t i = 0; i < count; i++)
        mask[i] = 1;
    LS_TRY(ls_stage_integers(run, "aspect_ratio_ids", 2, (uint64_t[]){1, 1}, &c.id, 0));
    LS_TRY(ls_stage_integers(run, "aspect_ratio_mask", 3, (uint64_t[]){1, 1, most}, mask, 0));
    return ls_stage_integers(run, "num_tiles", 2, (uint64_t[]){1, 1}, &count, 0);
}
