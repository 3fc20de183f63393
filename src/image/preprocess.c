#include <math.h>

#include "image/processor_kind.h"

lockstep_status ls_preprocess(const ls_processor *processor, const ls_way *way, const ls_image *image, ls_stages *out, lockstep_error *error) {
    ls_stages stages = {0};
    ls_preprocessing run = {processor, way, &stages, error};
    lockstep_status status = ls_stage_images(&run, "decoded", image, 1, true, -1);
    if (status == LOCKSTEP_OK)
        status = processor->kind->run(&run, image);
    if (status == LOCKSTEP_OK)
        *out = stages;
    else
        ls_stages_done(&stages);
    return status;
}

static int last_stage(const ls_preprocessing *run) { return run->stages->count - 1; }

/* ------------------------------------------------------------------ one picture */

static lockstep_status resize(ls_preprocessing *run, const ls_image *image, ls_image *out) {
    uint32_t width, height;
    LS_TRY(ls_step_size(run, image, &width, &height));
    LS_TRY(ls_step_resize(run, image, NULL, width, height, out));
    return ls_stage_images(run, "resized", out, 1, true, last_stage(run));
}

/* Where the middle of a side begins: of a picture that is too short, the two back ends put the odd pixel on different sides. */
static int64_t middle(const ls_preprocessing *run, int64_t length, int64_t crop) {
    const int64_t room = crop - length;
    if (room <= 0)
        return -(-room / 2);
    return ls_is_pillow(run) ? (room + 1) / 2 : room / 2;
}

static lockstep_status crop(ls_preprocessing *run, const ls_image *image, ls_image *out) {
    const ls_wanted_size *s = &run->processor->crop_size;
    if (s->height == 0 || s->width == 0)
        return ls_fail(run->error, LOCKSTEP_UNSUPPORTED, "crop_size: expected height and width");
    LS_TRY(ls_step_place(run, image, middle(run, image->width, s->width), middle(run, image->height, s->height), s->width, s->height, out));
    return ls_stage_images(run, "cropped", out, 1, true, last_stage(run));
}

/* Padding comes after normalization, at the right and at the bottom. */
static lockstep_status pad(ls_preprocessing *run, const ls_stage *in, const ls_wanted_size *s) {
    const uint64_t height = in->shape[1], width = in->shape[2];
    const size_t size = in->dtype == LOCKSTEP_F32 ? sizeof(float) : 1;
    if (s->height < height || s->width < width)
        return ls_fail(run->error, LOCKSTEP_UNSUPPORTED, "pad_size: found %ux%u, expected at least %llux%llu, the size of the picture", s->width, s->height, (unsigned long long)width, (unsigned long long)height);
    LS_TRY(ls_image_check_size("the padded picture", s->width, s->height, run->error));
    const ls_stage stage = {.name = "padded", .dtype = in->dtype, .rank = 3, .shape = {3, s->height, s->width}, .from = last_stage(run)};
    char *out = ls_stage_new(run, &stage, 3 * (size_t)s->height * s->width * size);
    for (size_t row = 0; out != NULL && row < 3 * height; row++)
        for (size_t i = 0; i < width * size; i++)
            out[(row / height * s->height + row % height) * s->width * size + i] = ((const char *)in->data)[row * width * size + i];
    return out != NULL ? LOCKSTEP_OK : LOCKSTEP_NO_MEMORY;
}

static lockstep_status finish_plain(ls_preprocessing *run) {
    const ls_processor *p = run->processor;
    LS_TRY(ls_stage_values(run));
    if (p->do_pad && p->pad_size.height > 0)
        LS_TRY(pad(run, &run->stages->items[last_stage(run)], &p->pad_size));
    const ls_stage *s = &run->stages->items[last_stage(run)];
    return ls_stage_output(run, "pixel_values", 4, (uint64_t[]){1, 3, s->shape[1], s->shape[2]});
}

lockstep_status ls_run_plain(ls_preprocessing *run, const ls_image *image) {
    const ls_processor *p = run->processor;
    ls_image resized = {0}, cropped = {0};
    lockstep_status status = p->do_resize ? resize(run, image, &resized) : LOCKSTEP_OK;
    if (status == LOCKSTEP_OK && p->do_center_crop)
        status = crop(run, p->do_resize ? &resized : image, &cropped);
    ls_image_free(&resized);
    ls_image_free(&cropped);
    return status == LOCKSTEP_OK ? finish_plain(run) : status;
}

/* ------------------------------------------------------------------ Gemma 3 */

/* How many crops along the longer side; 0: the picture isn't long enough. */
static uint32_t count_crops(const ls_processor *p, uint32_t longer, uint32_t shorter) {
    const double ratio = (double)longer / shorter;
    if (ratio < p->pan_and_scan_min_ratio_to_activate)
        return 0;
    double count = fmin(longer / p->pan_and_scan_min_crop_size, floor(ratio + 0.5));
    count = fmin(p->pan_and_scan_max_num_crops, fmax(2, count));
    const double length = ceil(longer / count);
    return fmin(length, shorter) < p->pan_and_scan_min_crop_size ? 0 : (uint32_t)count;
}

static uint32_t shorter_of(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* The whole picture, then the crops. */
static lockstep_status resize_crops(ls_preprocessing *run, const ls_image *image, uint32_t count, ls_image *out) {
    const ls_wanted_size *s = &run->processor->size;
    const bool is_wide = image->width >= image->height;
    const uint32_t longer = is_wide ? image->width : image->height, length = count > 0 ? (longer + count - 1) / count : 0;
    for (uint32_t i = 0; i <= count; i++) {
        const uint32_t at = i > 0 ? (i - 1) * length : 0;
        if (i > 0 && at >= longer)
            return ls_fail(run->error, LOCKSTEP_UNSUPPORTED, "pan_and_scan_max_num_crops: crop %u of %u is empty", i, count);
        const uint32_t part = shorter_of(length, longer - at);
        const ls_box box = is_wide ? (ls_box){at, 0, part, image->height} : (ls_box){0, at, image->width, part};
        LS_TRY(ls_step_resize(run, image, i > 0 ? &box : NULL, s->width, s->height, &out[i]));
    }
    return LOCKSTEP_OK;
}

static lockstep_status check_pan_and_scan(const ls_preprocessing *run) {
    const ls_processor *p = run->processor;
    if (p->do_pan_and_scan && (p->pan_and_scan_min_crop_size == 0 || p->pan_and_scan_max_num_crops == 0 || p->pan_and_scan_min_ratio_to_activate == 0))
        return ls_fail(run->error, LOCKSTEP_MALFORMED, "do_pan_and_scan: expected pan_and_scan_min_crop_size, _max_num_crops and _min_ratio_to_activate beside it");
    if (p->size.height == 0 || p->size.width == 0)
        return ls_fail(run->error, LOCKSTEP_UNSUPPORTED, "size: expected height and width");
    if (p->pan_and_scan_max_num_crops > 255)
        return ls_fail(run->error, LOCKSTEP_LIMIT, "pan_and_scan_max_num_crops: expected at most 255");
    return LOCKSTEP_OK;
}

static lockstep_status finish_gemma3(ls_preprocessing *run, uint32_t crops) {
    LS_TRY(ls_stage_values(run));
    const ls_stage *s = &run->stages->items[last_stage(run)];
    LS_TRY(ls_stage_output(run, "pixel_values", 4, (uint64_t[]){crops + 1, 3, s->shape[s->rank - 2], s->shape[s->rank - 1]}));
    return ls_stage_integers(run, "num_crops", 1, (uint64_t[]){1}, (int64_t[]){crops}, 0);
}

lockstep_status ls_run_gemma3(ls_preprocessing *run, const ls_image *image) {
    const ls_processor *p = run->processor;
    if (!p->do_resize && !p->do_pan_and_scan)
        return finish_gemma3(run, 0);
    LS_TRY(check_pan_and_scan(run));
    const bool is_wide = image->width >= image->height;
    const uint32_t crops = p->do_pan_and_scan ? count_crops(p, is_wide ? image->width : image->height, is_wide ? image->height : image->width) : 0;
    ls_image views[256] = {0};
    LS_TRY(ls_image_check_size("all crops together", p->size.width, (uint64_t)p->size.height * (crops + 1), run->error));
    lockstep_status status = resize_crops(run, image, crops, views);
    if (status == LOCKSTEP_OK)
        status = ls_stage_images(run, "resized", views, crops + 1, false, last_stage(run));
    for (uint32_t i = 0; i <= crops; i++)
        ls_image_free(&views[i]);
    return status == LOCKSTEP_OK ? finish_gemma3(run, crops) : status;
}
