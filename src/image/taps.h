/* Which pixels along one axis an output pixel is made of, and how much of each. */
#ifndef LS_IMAGE_TAPS_H
#define LS_IMAGE_TAPS_H

#include "base/error.h"
#include "image/filter.h"

typedef struct ls_taps {
    uint32_t outputs, most; /* most: taps of an output pixel */
    uint32_t *first, *count; /* per output */
    double *weights;         /* `most` per output; their sum is 1 */
    double largest;          /* of all weights */
} ls_taps;

lockstep_status ls_taps_new(const ls_resizing *how, uint32_t inputs, uint32_t outputs, ls_taps *out_taps, lockstep_error *error);
void ls_taps_free(ls_taps *taps);

#endif
