/* Decoders of pictures: a file each, and a row in the table of image.c. */
#ifndef LS_IMAGE_CODEC_H
#define LS_IMAGE_CODEC_H

#include "image/image.h"

typedef struct ls_encoded {
    const char *name; /* of the file */
    const uint8_t *bytes;
    size_t size;
} ls_encoded;

/* Decodes to RGB, and gives the orientation that the file asks for (1 to 8, as in Exif). A decoder is NULL where its
 * library was missing when this was built. */
typedef lockstep_status ls_decoder(const ls_encoded *file, ls_image *out_image, int *out_orientation, lockstep_error *error);
extern ls_decoder *const ls_decode_png, *const ls_decode_jpeg;

/* The orientation in Exif data (from its TIFF header on), or in XMP; 0 where there is none. */
int ls_exif_orientation(const uint8_t *bytes, size_t size);
int ls_xmp_orientation(const uint8_t *bytes, size_t size);

#endif
