/* How 8-bit colours become what a model gets: (value / 255 - mean) / std, with the means and deviations that are in use. */
#ifndef LS_DIAGNOSE_PIXEL_SCALE_H
#define LS_DIAGNOSE_PIXEL_SCALE_H

#include "base/text.h"
#include "diagnose/pixel_array.h"

/* For each colour, a line from 0..255 to the tensor's values. */
typedef struct ls_pixel_scale {
    double slope[3], offset[3];
} ls_pixel_scale;

typedef struct ls_known_scale {
    const char *name; /* "CLIP's mean and std" */
    ls_pixel_scale scale;
} ls_known_scale;

/* How many there are, and each of them. */
size_t ls_known_scale_count(void);
ls_known_scale ls_known_scale_at(size_t index);
/* The known one that this is; NULL. */
const char *ls_pixel_scale_name(const ls_pixel_scale *scale);
/* Whether it is one, behind any rescale factor. */
bool ls_pixel_scale_is_known(const ls_pixel_scale *scale);
/* Its name, or its mean and std. */
void ls_pixel_scale_text(const ls_pixel_scale *scale, ls_text *out);
/* A scale of colours as that of the places where they are: colours may have changed places before they were normalized. */
ls_pixel_scale ls_pixel_scale_by_place(const ls_pixel_scale *scale, const ls_pixel_order *order);
bool ls_pixel_scales_agree(const ls_pixel_scale *a, const ls_pixel_scale *b);

#endif
