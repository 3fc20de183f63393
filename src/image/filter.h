/* The ways to resize a picture: a kernel (how far it reaches, and its weights), a sampling (where an output pixel lies in the
 * input, and whether the kernel widens to reach all pixels that fall into one) and an arithmetic (when is rounded). */
#ifndef LS_IMAGE_FILTER_H
#define LS_IMAGE_FILTER_H

typedef struct ls_filter {
    const char *name;
    double support;            /* how far it reaches on either side; 0: the nearest pixel */
    double (*weight)(double);  /* NULL for the nearest */
    double (*sharper)(double); /* the variant that torch takes where it doesn't antialias; NULL: the same */
} ls_filter;

/* "nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"; ends with a NULL name. */
extern const ls_filter ls_filters[];
/* NULL when there is none of this name. */
const ls_filter *ls_filter_find(const char *name);

typedef enum ls_sampling {
    LS_SAMPLING_AREA,         /* antialiased: (x + 0.5) * scale, the kernel widened by the scale */
    LS_SAMPLING_HALF_PIXEL,   /* (x + 0.5) * scale - 0.5, as interpolate(align_corners=False) */
    LS_SAMPLING_CORNERS,      /* x * (in - 1) / (out - 1), as interpolate(align_corners=True) */
    LS_SAMPLING_SHORT_CORNERS /* x * (in - 1) / out, as older versions of llama.cpp's clip.cpp */
} ls_sampling;

typedef enum ls_arithmetic {
    LS_ARITHMETIC_PILLOW,    /* integers with 22 fractional bits, rounded to 8 bits after each axis */
    LS_ARITHMETIC_TORCH_U8,  /* weights of 16 bits, rounded likewise */
    LS_ARITHMETIC_FLOAT,     /* rounded to 8 bits at the end */
    LS_ARITHMETIC_TRUNCATED, /* cut off to 8 bits at the end */
    LS_ARITHMETIC_UNROUNDED  /* not rounded: only ls_resize_f32 */
} ls_arithmetic;

/* A sampling and an arithmetic under one name. */
typedef struct ls_way {
    const char *name;
    ls_sampling sampling;
    ls_arithmetic arithmetic;
    const char *meaning; /* "antialiased, with Pillow's rounding" */
} ls_way;

/* Those that make no 8-bit picture are the last; ends with a NULL name. */
extern const ls_way ls_ways[];
/* NULL when there is none of this name. */
const ls_way *ls_way_find(const char *name);

typedef struct ls_resizing {
    const ls_filter *filter;
    ls_sampling sampling;
    ls_arithmetic arithmetic;
} ls_resizing;

#endif
