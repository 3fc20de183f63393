/* From a picture to pixels: what programs do to it, and which of that gives a tensor's pixels. */
#ifndef LS_DIAGNOSE_PIXEL_PLAN_H
#define LS_DIAGNOSE_PIXEL_PLAN_H

#include "diagnose/pixel_array.h"
#include "diagnose/pixel_scale.h"
#include "image/resample.h"

typedef enum ls_placing {
    LS_PLACING_STRETCH,   /* to the whole size */
    LS_PLACING_LETTERBOX, /* in proportion, beside borders */
    LS_PLACING_CROP,      /* in proportion, the middle of it */
    LS_PLACING_UNRESIZED, /* as it is, or the middle of it */
    LS_PLACING_COUNT
} ls_placing;

/* Where a resized picture lies on a canvas of rows * columns tiles, each of the tensor's height and width. */
typedef struct ls_geometry {
    ls_placing placing;
    size_t rows, columns;
    bool by_column;         /* tiles are numbered from top to bottom first */
    bool is_centered;       /* beside borders on both sides, and not in the top left corner */
    uint32_t width, height; /* of the resized picture */
    int64_t left, top;      /* of it on the canvas; negative: cut off */
} ls_geometry;

enum { LS_GEOMETRIES_MAX = 256 };
/* All that are tried for tensors of this size. Returns how many. */
size_t ls_geometries(const ls_image *picture, const ls_pixels *like, ls_geometry out[LS_GEOMETRIES_MAX]);

/* Which of a tensor's pictures a place of the canvas is in, and where in it. */
typedef struct ls_spot {
    size_t image, y, x;
} ls_spot;
ls_spot ls_spot_of(const ls_geometry *geometry, const ls_pixels *pixels, size_t row, size_t column);

/* The part of the canvas that the picture covers. */
typedef struct ls_cover {
    size_t top, left, bottom, right; /* bottom, right: behind the last */
} ls_cover;
ls_cover ls_cover_of(const ls_geometry *geometry, const ls_pixels *pixels);

/* The order in which a tensor's pixels are most like the picture's in this geometry, and the share of their variance that
 * straight lines leave, both by a glance at some places; infinite where too little of the picture is seen. */
double ls_geometry_glance(const ls_image *picture, const ls_pixels *pixels, const ls_geometry *geometry, ls_pixel_order *out_order);

/* A way from the picture to a tensor, and how far the tensor is from it. */
typedef struct ls_pixel_plan {
    ls_geometry geometry;
    const ls_filter *filter; /* NULL where nothing is resized */
    const ls_way *way;
    ls_pixel_order order;
    ls_pixel_scale scale;
    double border[3]; /* the colour of borders, 0 to 255 */
    double steps;     /* root mean square of what is left, in 8-bit steps */
    double most;      /* the largest, in steps */
    double left;      /* relative L2 of what is left */
} ls_pixel_plan;

/* Root mean square, in steps, up to which a plan gives a tensor's pixels: values that were not rounded to 8 bits are 0.29 away. */
#define LS_PLAN_STEPS 0.6

/* The plan that is closest. False where none could be computed. */
lockstep_status ls_pixel_plan_find(const ls_image *picture, const ls_pixels *pixels, ls_pixel_plan *out_plan, lockstep_error *error);

/* "letterboxed, 56x42 in 56x56, centered, the rest black". */
void ls_pixel_geometry_text(const ls_pixel_plan *plan, const ls_pixels *of, ls_text *out);

#endif
