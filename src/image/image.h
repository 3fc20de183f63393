/* A picture in memory: 8 bits a colour. */
#ifndef LS_IMAGE_IMAGE_H
#define LS_IMAGE_IMAGE_H

#include "base/error.h"

#include <stddef.h>

/* Rows from the top, each pixel red, green, blue. */
typedef struct ls_image {
    uint32_t width, height;
    uint8_t *rgb;
} ls_image;

/* Beyond the first, Pillow warns of a decompression bomb. */
#define LS_IMAGE_MOST_PIXELS 89478485u
enum { LS_IMAGE_LONGEST_SIDE = 1 << 20 };

/* A picture of this size whose pixels are not set. */
lockstep_status ls_image_new(uint32_t width, uint32_t height, ls_image *out_image, lockstep_error *error);
/* Fails if a picture of this size, which the message calls `name`, has no pixels, or too many. */
lockstep_status ls_image_check_size(const char *name, uint64_t width, uint64_t height, lockstep_error *error);
void ls_image_free(ls_image *image);

static inline size_t ls_image_bytes(const ls_image *image) { return (size_t)image->width * image->height * 3; }

#endif
