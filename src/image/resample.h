/* Resizes pictures as Pillow, torch and llama.cpp do. */
#ifndef LS_IMAGE_RESAMPLE_H
#define LS_IMAGE_RESAMPLE_H

#include "image/filter.h"
#include "image/image.h"

/* The part of the picture that is resized. */
typedef struct ls_box {
    uint32_t left, top, width, height;
} ls_box;

/* To a picture of width * height. `box` NULL: all of it. */
lockstep_status ls_resize(const ls_image *image, const ls_box *box, const ls_resizing *how, uint32_t width, uint32_t height, ls_image *out_image, lockstep_error *error);
/* The same into floats from 0 to 255, width * height pixels of red, green and blue. */
lockstep_status ls_resize_f32(const ls_image *image, const ls_box *box, const ls_resizing *how, uint32_t width, uint32_t height, float *out, lockstep_error *error);

#endif
