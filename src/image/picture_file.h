/* Reads pictures as Pillow does: the pixels of PIL.ImageOps.exif_transpose(PIL.Image.open(path)).convert("RGB"). */
#ifndef LS_IMAGE_PICTURE_FILE_H
#define LS_IMAGE_PICTURE_FILE_H

#include "image/image.h"
#include "io/source.h"

/* Fails with LOCKSTEP_UNSUPPORTED for a format that this build can't read, LOCKSTEP_TRUNCATED or LOCKSTEP_MALFORMED for
 * a file that is damaged, and LOCKSTEP_LIMIT for one with too many pixels. */
lockstep_status ls_image_open(const char *path, ls_image *out_image, lockstep_error *error);
lockstep_status ls_image_decode(ls_source *source, ls_image *out_image, lockstep_error *error);

#endif
