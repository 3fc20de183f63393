/* JPEG, by libjpeg with its defaults, which are Pillow's: the accurate integer transform, and smooth chroma. Of CMYK,
 * Adobe's convention is assumed, in which samples are inverted. */
#include "image/codec.h"

#ifndef LS_HAVE_JPEG
ls_decoder *const ls_decode_jpeg = NULL;
#else

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

typedef struct jpeg_input {
    struct jpeg_error_mgr base; /* the first member: libjpeg knows the address of this one */
    jmp_buf leave;
    const ls_encoded *file;
    ls_image image;
    uint8_t *row; /* of CMYK, or of grey */
    lockstep_error *error;
    lockstep_status status;
} jpeg_input;

static void stop(j_common_ptr info) {
    jpeg_input *in = (jpeg_input *)info->err;
    char message[JMSG_LENGTH_MAX];
    info->err->format_message(info, message);
    const bool ends = info->err->msg_code == JERR_INPUT_EOF || info->err->msg_code == JWRN_JPEG_EOF || info->err->msg_code == JERR_INPUT_EMPTY;
    in->status = ls_fail_at(in->error, ends ? LOCKSTEP_TRUNCATED : LOCKSTEP_MALFORMED, in->file->name, LOCKSTEP_NO_OFFSET, "%s JPEG: %s",
                            ends ? "truncated" : "damaged", message);
    longjmp(in->leave, 1);
}

/* What says nothing about the pixels. */
static bool is_harmless(int code) { return code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM || code == JWRN_TOO_MUCH_DATA; }

/* libjpeg makes up pixels where data are damaged, and only warns. */
static void take_message(j_common_ptr info, int level) {
    if (level < 0 && !is_harmless(info->err->msg_code))
        stop(info);
}

/* A progressive file can ask for the whole picture to be gone over again with every few bytes. */
static void check_scans(j_common_ptr info) {
    enum { MOST = 500 };
    struct jpeg_decompress_struct *jpeg = (struct jpeg_decompress_struct *)info;
    jpeg_input *in = (jpeg_input *)info->err;
    if (jpeg->input_scan_number <= MOST)
        return;
    in->status = ls_fail_at(in->error, LOCKSTEP_LIMIT, in->file->name, LOCKSTEP_NO_OFFSET, "the JPEG has more than %d scans", MOST);
    longjmp(in->leave, 1);
}

static int orientation_of(const struct jpeg_decompress_struct *jpeg) {
    static const char exif[] = "Exif\0", xmp[] = "http://ns.adobe.com/xap/1.0/";
    int found = 0, by_xmp = 0;
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m != NULL; m = m->next)
        if (found == 0 && m->data_length > sizeof exif && memcmp(m->data, exif, sizeof exif) == 0)
            found = ls_exif_orientation(m->data + sizeof exif, m->data_length - sizeof exif);
        else if (by_xmp == 0 && m->data_length > sizeof xmp && memcmp(m->data, xmp, sizeof xmp) == 0)
            by_xmp = ls_xmp_orientation(m->data + sizeof xmp, m->data_length - sizeof xmp);
    return found != 0 ? found : by_xmp;
}

/* a * b / 255, rounded as Pillow rounds it. */
static uint32_t times(uint32_t a, uint32_t b) {
    const uint32_t product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

static void put_row(const uint8_t *in, int components, uint32_t width, uint8_t *out) {
    for (uint32_t x = 0; x < width; x++, out += 3, in += components)
        if (components == 1) {
            memset(out, in[0], 3);
        } else {
            const uint32_t white = in[3]; /* 255 - black, where black is 255 - the sample */
            for (int c = 0; c < 3; c++)
                out[c] = (uint8_t)(white - times(255u - in[c], white));
        }
}

static void read_rows(struct jpeg_decompress_struct *jpeg, jpeg_input *in) {
    const int components = jpeg->output_components;
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *out = in->image.rgb + (size_t)jpeg->output_scanline * in->image.width * 3, *row = components == 3 ? out : in->row;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (components != 3)
            put_row(row, components, in->image.width, out);
    }
}

/* A block of 8x8 samples takes a bit at least, unless arithmetic coding makes less of it. */
static lockstep_status check_bits(const struct jpeg_decompress_struct *jpeg, const jpeg_input *in) {
    const uint64_t most = 64 * 8, pixels = (uint64_t)jpeg->image_width * jpeg->image_height;
    if (!jpeg->arith_code && pixels / most > in->file->size)
        return ls_fail_at(in->error, LOCKSTEP_MALFORMED, in->file->name, LOCKSTEP_NO_OFFSET, "the JPEG declares %llu pixels, which %zu bytes can't hold", (unsigned long long)pixels, in->file->size);
    return LOCKSTEP_OK;
}

static lockstep_status begin(struct jpeg_decompress_struct *jpeg, jpeg_input *in) {
    jpeg_mem_src(jpeg, in->file->bytes, in->file->size);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(jpeg, TRUE);
    LS_TRY(ls_image_check_size(in->file->name, jpeg->image_width, jpeg->image_height, in->error));
    LS_TRY(check_bits(jpeg, in));
    const int components = jpeg->num_components;
    if (components != 1 && components != 3 && components != 4)
        return ls_fail_at(in->error, LOCKSTEP_UNSUPPORTED, in->file->name, LOCKSTEP_NO_OFFSET, "found a JPEG of %d components, expected 1, 3 or 4", components);
    jpeg->out_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    in->row = malloc((size_t)jpeg->image_width * 4);
    LS_TRY(ls_image_new(jpeg->image_width, jpeg->image_height, &in->image, in->error));
    return in->row != NULL ? LOCKSTEP_OK : ls_fail(in->error, LOCKSTEP_NO_MEMORY, "out of memory");
}

/* libjpeg jumps out of this. */
static lockstep_status read_all(struct jpeg_decompress_struct *jpeg, jpeg_input *in, int *out_orientation) {
    if (setjmp(in->leave) != 0)
        return in->status;
    jpeg_create_decompress(jpeg);
    struct jpeg_progress_mgr progress = {.progress_monitor = check_scans};
    jpeg->progress = &progress;
    LS_TRY(begin(jpeg, in));
    jpeg_start_decompress(jpeg);
    read_rows(jpeg, in);
    *out_orientation = orientation_of(jpeg);
    jpeg_finish_decompress(jpeg);
    return LOCKSTEP_OK;
}

static lockstep_status decode(const ls_encoded *file, ls_image *out, int *out_orientation, lockstep_error *error) {
    jpeg_input in = {.file = file, .error = error};
    struct jpeg_decompress_struct jpeg = {.err = jpeg_std_error(&in.base)};
    in.base.error_exit = stop;
    in.base.emit_message = take_message;
    lockstep_status status = read_all(&jpeg, &in, out_orientation);
    jpeg_destroy_decompress(&jpeg);
    free(in.row);
    if (status == LOCKSTEP_OK)
        *out = in.image;
    else
        ls_image_free(&in.image);
    return status;
}

ls_decoder *const ls_decode_jpeg = decode;

#endif
