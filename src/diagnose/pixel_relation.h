/* What two tensors of pixels show of each other, without the picture. */
#ifndef LS_DIAGNOSE_PIXEL_RELATION_H
#define LS_DIAGNOSE_PIXEL_RELATION_H

#include "diagnose/pixel_array.h"

enum { LS_TILES_MAX = 64 };

/* The candidate's pixels, put in the reference's order, are a straight line of the reference's. */
typedef struct ls_pixel_relation {
    ls_pixel_order order;
    bool has_tiles;             /* in another order */
    size_t tiles[LS_TILES_MAX]; /* which of the candidate's pictures is the reference's i-th */
    ls_line lines[3];           /* per colour, of the reference */
    double left;                /* relative L2 that the lines leave, of the candidate's deviations from its mean */
    double plain;               /* the same in the order as it is */
} ls_pixel_relation;

/* False where shapes or memory don't allow it. */
bool ls_pixel_relation_find(const ls_pixels *reference, const ls_pixels *candidate, ls_pixel_relation *out_relation);

/* Edges of one colour: how many rows and columns on each side. */
typedef struct ls_pixel_borders {
    size_t top, bottom, left, right;
} ls_pixel_borders;

/* The borders of a picture; all 0 where there are none, or nothing else. */
ls_pixel_borders ls_pixel_borders_of(const ls_pixels *pixels, const ls_pixel_order *order);
/* How well the part inside the borders, stretched over all of the picture, is a straight line of the other one: relative L2. */
double ls_pixel_borders_left(const ls_pixels *bordered, const ls_pixel_order *order, const ls_pixel_borders *borders, const ls_pixels *other, const ls_pixel_order *other_order);

#endif
