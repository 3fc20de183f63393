/* Heat maps of two tensors and their difference, side by side (docs/reports.md has the colours and the places). */
#ifndef LS_CLI_HEAT_MAP_H
#define LS_CLI_HEAT_MAP_H

#include "png_file.h"
#include "report/picture.h"

enum { HEAT_GAP = 8 }; /* pixels between panels, and between slices */

/* What a colour stands for: -limit to limit. */
typedef struct heat_scale {
    double values, difference;
    uint32_t zoom; /* pixels of a cell's side */
} heat_scale;

/* Allocates the pixels, which the caller frees; LOCKSTEP_LIMIT if there would be too many. */
lockstep_status heat_map_draw(const ls_picture *picture, const heat_scale *scale, png_pixels *out_pixels, lockstep_error *error);

#endif
