/* The error along depth: one figure for each layer, or, without layers, for each stretch of the run. */
#ifndef LS_REPORT_DEPTH_H
#define LS_REPORT_DEPTH_H

#include "diff/model.h"
#include "report/screen.h"

typedef struct ls_depth_point {
    double error;     /* the largest relative L2 of its pairs; NaN: there are none */
    bool fails;       /* one of its pairs does */
    bool is_unknown;  /* one can't be compared, or is not finite */
} ls_depth_point;

typedef struct ls_depth {
    ls_depth_point *points;
    size_t count;
    bool has_layers; /* a point a layer; otherwise a stretch of a pass */
} ls_depth;

/* At most `most` points: then, several layers share one. False if out of memory. */
bool ls_depth_find(const ls_diff *diff, size_t most, ls_depth *out_depth);
void ls_depth_done(ls_depth *depth);
/* Appends it as one line of text, on a logarithmic scale; nothing for fewer than 3 points. */
void ls_put_depth(const ls_screen *screen, const ls_diff *diff, ls_text *out);

#endif
