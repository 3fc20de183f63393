/* PNG. Transparency is dropped, as Pillow's convert("RGB") does; samples of 16 bits become 8 as Pillow makes them. */
#include "image/codec.h"

#ifndef LS_HAVE_PNG
ls_decoder *const ls_decode_png = NULL;
#else

#include <png.h>
#include <stdlib.h>
#include <string.h>

typedef struct png_input {
    const ls_encoded *file;
    size_t at;
    ls_image image;
    uint8_t *rows; /* as libpng gives them */
    lockstep_error *error;
    lockstep_status status;
} png_input;

static void read_bytes(png_structp png, png_bytep out, png_size_t size) {
    png_input *in = png_get_io_ptr(png);
    if (size > in->file->size - in->at) {
        in->status = ls_fail_at(in->error, LOCKSTEP_TRUNCATED, in->file->name, in->file->size, "the PNG ends here, in the middle of a picture");
        longjmp(png_jmpbuf(png), 1);
    }
    memcpy(out, in->file->bytes + in->at, size);
    in->at += size;
}

static void stop(png_structp png, png_const_charp message) {
    png_input *in = png_get_error_ptr(png);
    in->status = ls_fail_at(in->error, LOCKSTEP_MALFORMED, in->file->name, in->at, "damaged PNG: %s", message);
    longjmp(png_jmpbuf(png), 1);
}

static void ignore(png_structp png, png_const_charp message) { (void)png, (void)message; }

/* Deflate makes at most 1032 bytes of one: a header that declares more rows than the file can hold lies. */
static lockstep_status check_rows(const png_input *in, uint64_t row_bytes, uint32_t height, lockstep_error *error) {
    const uint64_t most = 1032;
    if (row_bytes * height / most > in->file->size)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, in->file->name, 16, "the PNG declares %llu bytes of pixels, which %zu bytes can't hold",
                          (unsigned long long)(row_bytes * height), in->file->size);
    return LOCKSTEP_OK;
}

/* A sample of 16 bits: of grey, Pillow keeps what fits in 8; of colours, the high byte. */
static uint8_t grey_of_16(const uint8_t *sample) { return sample[0] > 0 ? 255 : sample[1]; }

typedef struct png_form {
    uint32_t bits, channels;
    bool is_palette;
    uint8_t palette[256][3];
} png_form;

static void put_pixel(const png_form *f, const uint8_t *in, uint8_t *out) {
    const size_t step = f->bits == 16 ? 2 : 1;
    if (f->is_palette)
        memcpy(out, f->palette[in[0]], 3);
    else if (f->channels >= 3)
        for (size_t c = 0; c < 3; c++)
            out[c] = in[c * step];
    else
        memset(out, f->bits == 16 && f->channels == 1 ? grey_of_16(in) : in[0], 3);
}

static void convert(const png_form *f, const uint8_t *rows, ls_image *out) {
    const size_t step = f->channels * (f->bits == 16 ? 2 : 1);
    for (size_t i = 0; i < (size_t)out->width * out->height; i++)
        put_pixel(f, rows + i * step, out->rgb + i * 3);
}

static void read_palette(png_structp png, png_infop info, png_form *f) {
    png_colorp colours = NULL;
    int count = 0;
    png_get_PLTE(png, info, &colours, &count);
    for (int i = 0; i < count && i < 256; i++)
        memcpy(f->palette[i], (uint8_t[]){colours[i].red, colours[i].green, colours[i].blue}, 3);
}

static int orientation_of(png_structp png, png_infop info) {
    png_bytep exif = NULL;
    png_uint_32 size = 0;
    png_textp texts = NULL;
    int count = 0, found = 0;
    if (png_get_eXIf_1(png, info, &size, &exif) != 0)
        found = ls_exif_orientation(exif, size);
    png_get_text(png, info, &texts, &count);
    for (int i = 0; found == 0 && i < count; i++)
        if (strcmp(texts[i].key, "XML:com.adobe.xmp") == 0 && texts[i].text != NULL)
            found = ls_xmp_orientation((const uint8_t *)texts[i].text, strlen(texts[i].text));
    return found;
}

static lockstep_status allocate(png_input *in, png_form *f, png_structp png, png_infop info, lockstep_error *error) {
    const uint32_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    LS_TRY(ls_image_check_size(in->file->name, width, height, error));
    /* as stored: before samples were unpacked to bytes */
    const uint32_t depth = png_get_bit_depth(png, info);
    LS_TRY(check_rows(in, ((uint64_t)width * png_get_channels(png, info) * depth + 7) / 8, height, error));
    LS_TRY(ls_image_new(width, height, &in->image, error));
    f->bits = depth < 8 ? 8 : depth;
    f->channels = png_get_channels(png, info);
    f->is_palette = png_get_color_type(png, info) == PNG_COLOR_TYPE_PALETTE;
    in->rows = malloc((size_t)width * height * f->channels * (f->bits / 8));
    return in->rows != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

static void read_rows(png_structp png, png_input *in, const png_form *f) {
    const size_t row = (size_t)in->image.width * f->channels * (f->bits / 8);
    for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (uint32_t y = 0; y < in->image.height; y++)
            png_read_row(png, in->rows + y * row, NULL);
}

/* libpng jumps out of this. */
static lockstep_status read_all(png_structp png, png_infop info, png_input *in, png_form *f, int *out_orientation) {
    if (setjmp(png_jmpbuf(png)) != 0)
        return in->status;
    png_set_read_fn(png, in, read_bytes);
    png_set_user_limits(png, LS_IMAGE_LONGEST_SIDE, LS_IMAGE_LONGEST_SIDE);
    png_set_chunk_malloc_max(png, 16u << 20);
    png_read_info(png, info);
    LS_TRY(allocate(in, f, png, info, in->error));
    if (f->is_palette) {
        read_palette(png, info, f);
        png_set_packing(png);
        png_set_check_for_invalid_index(png, 0);
    } else if (png_get_bit_depth(png, info) < 8) {
        png_set_expand_gray_1_2_4_to_8(png);
    }
    read_rows(png, in, f);
    png_read_end(png, info);
    *out_orientation = orientation_of(png, info);
    return LOCKSTEP_OK;
}

/* libpng believes the length that a chunk declares. Its longest row is a few megabytes. */
static png_voidp allocate_some(png_structp png, png_alloc_size_t size) {
    const png_alloc_size_t most = 32u << 20;
    (void)png;
    return size <= most ? malloc(size) : NULL;
}

static void release(png_structp png, png_voidp memory) {
    (void)png;
    free(memory);
}

static lockstep_status decode(const ls_encoded *file, ls_image *out, int *out_orientation, lockstep_error *error) {
    png_input in = {.file = file, .error = error};
    png_form form = {0};
    png_structp png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &in, stop, ignore, NULL, allocate_some, release);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    lockstep_status status = info == NULL ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory") : read_all(png, info, &in, &form, out_orientation);
    png_destroy_read_struct(&png, &info, NULL);
    if (status == LOCKSTEP_OK)
        convert(&form, in.rows, &in.image);
    else
        ls_image_free(&in.image);
    free(in.rows);
    if (status == LOCKSTEP_OK)
        *out = in.image;
    return status;
}

ls_decoder *const ls_decode_png = decode;

#endif
