#include "png_file.h"

#ifdef LS_HAVE_PNG

#include <png.h>
#include <stdlib.h>

#include "io/sink.h"

static void put_bytes(png_structp png, png_bytep bytes, png_size_t size) {
    lockstep_error error;
    if (ls_sink_write(png_get_io_ptr(png), bytes, size, &error) != LOCKSTEP_OK)
        png_error(png, error.message);
}

static void flush_nothing(png_structp png) { (void)png; }

static void keep_message(png_structp png, png_const_charp message) {
    ls_fail(png_get_error_ptr(png), LOCKSTEP_IO, "the PNG can't be written: %s", message);
    longjmp(png_jmpbuf(png), 1);
}

static void ignore_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

static void put_image(png_structp png, png_infop info, const png_pixels *pixels, const char *about) {
    png_text text = {.compression = PNG_TEXT_COMPRESSION_NONE, .key = (png_charp)(uintptr_t)"Description", .text = (png_charp)(uintptr_t)about};
    png_set_user_limits(png, pixels->width, pixels->height);
    png_set_IHDR(png, info, pixels->width, pixels->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_text(png, info, &text, 1);
    png_write_info(png, info);
    for (uint32_t row = 0; row < pixels->height; row++)
        png_write_row(png, pixels->rgb + (size_t)row * pixels->width * 3);
    png_write_end(png, NULL);
}

static lockstep_status put_png(ls_sink *sink, const png_pixels *pixels, const char *about, lockstep_error *error) {
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, error, keep_message, ignore_warning);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    lockstep_status status = info != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (info != NULL && setjmp(png_jmpbuf(png)) == 0) {
        png_set_write_fn(png, sink, put_bytes, flush_nothing);
        put_image(png, info, pixels, about);
    } else if (info != NULL) {
        png_destroy_write_struct(&png, &info);
        return LOCKSTEP_IO; /* keep_message() has said why */
    }
    png_destroy_write_struct(&png, &info);
    return status;
}

lockstep_status png_file_write(const char *path, const png_pixels *pixels, const char *about, lockstep_error *error) {
    ls_sink sink;
    LS_TRY(ls_sink_open(path, &sink, error));
    lockstep_status status = put_png(&sink, pixels, about, error);
    if (status == LOCKSTEP_OK)
        return ls_sink_close(&sink, error);
    ls_sink_abandon(&sink);
    return status;
}

#else

lockstep_status png_file_write(const char *path, const png_pixels *pixels, const char *about, lockstep_error *error) {
    (void)path, (void)pixels, (void)about;
    return ls_fail(error, LOCKSTEP_UNSUPPORTED, "this lockstep was built without libpng: install its headers (libpng-dev), and build again");
}

#endif
