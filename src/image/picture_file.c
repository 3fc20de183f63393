#include "image/picture_file.h"

#include <string.h>

#include "image/codec.h"

/* How files of a format begin (`at`: after so many bytes), and what reads them. */
static const struct codec {
    const char *name;
    size_t at;
    const char *begins;
    size_t length;
    ls_decoder *const *decoder; /* NULL: there is none */
    const char *package;
} codecs[] = {
    {"PNG", 0, "\x89PNG\r\n\x1a\n", 8, &ls_decode_png, "libpng-dev"},
    {"JPEG", 0, "\xff\xd8\xff", 3, &ls_decode_jpeg, "libjpeg-dev"},
    {"WebP", 8, "WEBP", 4, NULL, NULL},
    {"GIF", 0, "GIF8", 4, NULL, NULL},
    {"BMP", 0, "BM", 2, NULL, NULL},
    {"TIFF", 0, "II*\0", 4, NULL, NULL},
    {"TIFF", 0, "MM\0*", 4, NULL, NULL},
    {"AVIF or HEIF", 4, "ftyp", 4, NULL, NULL},
};

static const struct codec *find_codec(const ls_encoded *file) {
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++)
        if (file->size >= codecs[i].at + codecs[i].length && memcmp(file->bytes + codecs[i].at, codecs[i].begins, codecs[i].length) == 0)
            return &codecs[i];
    return NULL;
}

/* Orientations in Exif's numbering: which neighbours swap, after rows and columns were exchanged or not. */
static const struct turn {
    bool exchange, flip_x, flip_y;
} turns[9] = {[2] = {0, 1, 0}, [3] = {0, 1, 1}, [4] = {0, 0, 1}, [5] = {1, 0, 0}, [6] = {1, 1, 0}, [7] = {1, 1, 1}, [8] = {1, 0, 1}};

static lockstep_status turn(ls_image *image, int orientation, lockstep_error *error) {
    ls_image turned;
    if (orientation < 2 || orientation > 8)
        return LOCKSTEP_OK;
    const struct turn t = turns[orientation];
    LS_TRY(ls_image_new(t.exchange ? image->height : image->width, t.exchange ? image->width : image->height, &turned, error));
    for (uint32_t y = 0; y < turned.height; y++)
        for (uint32_t x = 0; x < turned.width; x++) {
            const uint32_t column = t.flip_x ? turned.width - 1 - x : x, row = t.flip_y ? turned.height - 1 - y : y;
            const size_t from = t.exchange ? (size_t)column * image->width + row : (size_t)row * image->width + column;
            memcpy(turned.rgb + ((size_t)y * turned.width + x) * 3, image->rgb + from * 3, 3);
        }
    ls_image_free(image);
    *image = turned;
    return LOCKSTEP_OK;
}

static lockstep_status decode(const ls_encoded *file, ls_image *out, int *out_orientation, lockstep_error *error) {
    const struct codec *c = find_codec(file);
    if (c == NULL)
        return ls_fail_at(error, LOCKSTEP_UNKNOWN_FORMAT, file->name, 0, "found no picture, expected PNG or JPEG");
    if (c->decoder == NULL)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, file->name, 0, "found %s, expected PNG or JPEG: convert it without loss, to PNG", c->name);
    if (*c->decoder == NULL)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, file->name, 0, "found %s, which this lockstep was built without: install %s, and build again", c->name, c->package);
    return (*c->decoder)(file, out, out_orientation, error);
}

lockstep_status ls_image_decode(ls_source *source, ls_image *out, lockstep_error *error) {
    ls_encoded file = {.name = source->name, .size = (size_t)source->size};
    ls_image image = {0};
    int orientation = 1;
    LS_TRY(ls_source_bytes(source, &file.bytes, error));
    LS_TRY(decode(&file, &image, &orientation, error));
    const lockstep_status status = turn(&image, orientation, error);
    if (status == LOCKSTEP_OK)
        *out = image;
    else
        ls_image_free(&image);
    return status;
}

lockstep_status ls_image_open(const char *path, ls_image *out, lockstep_error *error) {
    ls_source *source;
    LS_TRY(ls_source_open_file(path, &source, error));
    const lockstep_status status = ls_image_decode(source, out, error);
    ls_source_close(source);
    return status;
}
