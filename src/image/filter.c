/* The kernels, and the ways to apply them. */
#include <math.h>
#include <string.h>

#include "image/filter.h"

static double box(double x) { return x > -0.5 && x <= 0.5 ? 1 : 0; }

static double bilinear(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

static double hamming(double x) {
    x = fabs(x);
    return x == 0 ? 1 : x >= 1 ? 0 : sin(x * M_PI) / (x * M_PI) * (0.54 + 0.46 * cos(x * M_PI));
}

/* Keys' cubic convolution, with the slope a at 1. */
static double cubic(double x, double a) {
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}
static double bicubic(double x) { return cubic(x, -0.5); }
static double sharper_bicubic(double x) { return cubic(x, -0.75); }

static double sinc(double x) { return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI); }
static double lanczos(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

const ls_filter ls_filters[] = {
    {"nearest", 0, NULL, NULL}, {"box", 0.5, box, NULL},       {"bilinear", 1, bilinear, NULL}, {"hamming", 1, hamming, NULL},
    {"bicubic", 2, bicubic, sharper_bicubic}, {"lanczos", 3, lanczos, NULL}, {0},
};

const ls_filter *ls_filter_find(const char *name) {
    const ls_filter *f = ls_filters;
    while (f->name != NULL && strcmp(f->name, name) != 0)
        f++;
    return f->name != NULL ? f : NULL;
}

const ls_way ls_ways[] = {
    {"torchvision", LS_SAMPLING_AREA, LS_ARITHMETIC_TORCH_U8, "antialiased, as torchvision does it in 8 bits"},
    {"pillow", LS_SAMPLING_AREA, LS_ARITHMETIC_PILLOW, "antialiased, as Pillow does it"},
    {"float", LS_SAMPLING_AREA, LS_ARITHMETIC_FLOAT, "antialiased in floats, and rounded to 8 bits"},
    {"truncated", LS_SAMPLING_AREA, LS_ARITHMETIC_TRUNCATED, "antialiased in floats, and cut off to 8 bits"},
    {"half-pixel", LS_SAMPLING_HALF_PIXEL, LS_ARITHMETIC_FLOAT, "without antialiasing, at the centers of pixels"},
    {"half-pixel-truncated", LS_SAMPLING_HALF_PIXEL, LS_ARITHMETIC_TRUNCATED, "without antialiasing, at the centers of pixels, and cut off to 8 bits"},
    {"corners", LS_SAMPLING_CORNERS, LS_ARITHMETIC_FLOAT, "without antialiasing, with corners aligned"},
    {"corners-truncated", LS_SAMPLING_CORNERS, LS_ARITHMETIC_TRUNCATED, "without antialiasing, with corners aligned, and cut off to 8 bits"},
    {"short-corners-truncated", LS_SAMPLING_SHORT_CORNERS, LS_ARITHMETIC_TRUNCATED, "without antialiasing, with only the first corner aligned, and cut off to 8 bits"},
    {"unrounded", LS_SAMPLING_AREA, LS_ARITHMETIC_UNROUNDED, "antialiased in floats, and not rounded to 8 bits"},
    {"half-pixel-unrounded", LS_SAMPLING_HALF_PIXEL, LS_ARITHMETIC_UNROUNDED, "without antialiasing, at the centers of pixels, and not rounded to 8 bits"},
    {0},
};

const ls_way *ls_way_find(const char *name) {
    const ls_way *w = ls_ways;
    while (w->name != NULL && strcmp(w->name, name) != 0)
        w++;
    return w->name != NULL ? w : NULL;
}
