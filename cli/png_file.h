/* Writes PNG files, where libpng was there when this was built. */
#ifndef LS_CLI_PNG_FILE_H
#define LS_CLI_PNG_FILE_H

#include <stdint.h>

#include "base/error.h"

/* Three bytes a pixel: red, green, blue. */
typedef struct png_pixels {
    uint32_t width, height;
    uint8_t *rgb;
} png_pixels;

/* LOCKSTEP_UNSUPPORTED where libpng was missing. `about`: kept in the file as its description. */
lockstep_status png_file_write(const char *path, const png_pixels *pixels, const char *about, lockstep_error *error);

#endif
