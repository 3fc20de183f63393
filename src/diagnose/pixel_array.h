/* Tensors that hold pictures: which numbers are the colours of which pixel, and a linear fit of one picture to another. */
#ifndef LS_DIAGNOSE_PIXEL_ARRAY_H
#define LS_DIAGNOSE_PIXEL_ARRAY_H

#include "trace/trace.h"

/* Pictures of equal size, three colours each. */
typedef struct ls_pixels {
    size_t images, height, width;
    bool is_interleaved; /* [image, y, x, colour] in memory, and not [image, colour, y, x] */
    float *values;
} ls_pixels;

/* Reads a node; false for one that holds no pictures, is too large, or has values that are no numbers. */
bool ls_pixels_open(const ls_trace *trace, size_t node, ls_pixels *out_pixels);
void ls_pixels_close(ls_pixels *pixels);

/* Where a program has put what belongs somewhere else. All zero with channels 0, 1, 2: nowhere. */
typedef struct ls_pixel_order {
    uint8_t channels[3];  /* where red, green and blue are */
    bool flip_x, flip_y;  /* mirrored */
    bool is_turned;       /* x and y exchanged */
    bool is_reread;       /* memory is interleaved where the shape says it isn't, or the other way round */
} ls_pixel_order;

enum { LS_PIXEL_ORDERS = 96 };
/* Simplest first; the first is no change. */
ls_pixel_order ls_pixel_order_of(size_t index);

/* A colour of the pixel that belongs at (y, x). */
static inline float ls_pixel_at(const ls_pixels *p, const ls_pixel_order *o, size_t image, size_t colour, size_t y, size_t x) {
    const size_t row = o->flip_y ? p->height - 1 - y : y, column = o->flip_x ? p->width - 1 - x : x, c = o->channels[colour];
    const size_t a = o->is_turned ? column : row, b = o->is_turned ? row : column, at = image * 3 * p->height * p->width;
    const bool interleaved = p->is_interleaved != o->is_reread;
    return p->values[at + (interleaved ? (a * p->width + b) * 3 + c : (c * p->height + a) * p->width + b)];
}

/* A straight line through pairs of numbers. */
typedef struct ls_line_fit {
    double count, x, y, xx, xy, yy;
} ls_line_fit;

static inline void ls_line_add(ls_line_fit *f, double x, double y) {
    f->count++;
    f->x += x;
    f->y += y;
    f->xx += x * x;
    f->xy += x * y;
    f->yy += y * y;
}
/* y is about slope * x + offset. */
typedef struct ls_line {
    double slope, offset;
    double left, spread; /* mean square of what is left, and of y around its mean */
} ls_line;
ls_line ls_line_of(const ls_line_fit *fit);

#endif
