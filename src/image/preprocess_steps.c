/* The steps that processors are made of. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image/processor_kind.h"

/* ------------------------------------------------------------------ pictures */

lockstep_status ls_step_resize(const ls_preprocessing *run, const ls_image *image, const ls_box *box, uint32_t width, uint32_t height, ls_image *out) {
    const ls_filter *f = run->processor->resample;
    const ls_resizing how = {f, run->way->sampling, run->way->arithmetic};
    if (how.arithmetic == LS_ARITHMETIC_TORCH_U8 && (strcmp(f->name, "box") == 0 || strcmp(f->name, "hamming") == 0))
        return ls_fail(run->error, LOCKSTEP_UNSUPPORTED, "resample: torchvision has no filter '%s'; Pillow has (--arithmetic pillow)", f->name);
    return ls_resize(image, box, &how, width, height, out, run->error);
}

/* Python's int(): towards zero. */
static uint32_t whole(double x) { return x >= 1 ? (uint32_t)fmin(x, 4e9) : 0; }

/* The shorter side as wanted, and the longer one no longer than wanted. */
static void size_between(const ls_wanted_size *s, const ls_image *image, uint32_t *width, uint32_t *height) {
    const double w = image->width, h = image->height, shorter = fmin(w, h), longer = fmax(w, h);
    double edge = s->shortest_edge, raw = edge;
    if (longer / shorter * edge > s->longest_edge) {
        raw = s->longest_edge * shorter / longer;
        edge = rint(raw);
    }
    *width = whole(edge);
    *height = whole(edge);
    if (w < h)
        *height = whole(raw * h / w);
    else
        *width = whole(raw * w / h);
    if ((h <= w && h == edge) || (w <= h && w == edge)) {
        *width = image->width;
        *height = image->height;
    }
}

static void size_by_shortest(uint32_t shortest, const ls_image *image, uint32_t *width, uint32_t *height) {
    const bool is_upright = image->width <= image->height;
    const uint64_t shorter = is_upright ? image->width : image->height, longer = is_upright ? image->height : image->width;
    const uint32_t other = whole((double)((uint64_t)shortest * longer) / (double)shorter);
    *width = is_upright ? shortest : other;
    *height = is_upright ? other : shortest;
}

lockstep_status ls_step_size(const ls_preprocessing *run, const ls_image *image, uint32_t *width, uint32_t *height) {
    const ls_wanted_size *s = &run->processor->size;
    if (s->shortest_edge > 0 && s->longest_edge > 0) {
        size_between(s, image, width, height);
    } else if (s->shortest_edge > 0) {
        size_by_shortest(s->shortest_edge, image, width, height);
    } else if (s->max_height > 0 && s->max_width > 0) {
        const double scale = fmin((double)s->max_height / image->height, (double)s->max_width / image->width);
        *height = whole(image->height * scale);
        *width = whole(image->width * scale);
    } else if (s->height > 0 && s->width > 0) {
        *height = s->height;
        *width = s->width;
    } else {
        return ls_fail(run->error, LOCKSTEP_UNSUPPORTED, "size: expected height and width, max_height and max_width, or shortest_edge");
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_step_place(const ls_preprocessing *run, const ls_image *image, int64_t left, int64_t top, uint32_t width, uint32_t height, ls_image *out) {
    LS_TRY(ls_image_check_size("the padded or cropped picture", width, height, run->error));
    LS_TRY(ls_image_new(width, height, out, run->error));
    memset(out->rgb, 0, ls_image_bytes(out));
    const int64_t first = left < 0 ? -left : 0, last = width - left < image->width ? width - left : image->width;
    for (int64_t y = 0; y < height && first < last; y++)
        if (y >= top && y - top < image->height)
            memcpy(out->rgb + ((size_t)y * width + (size_t)(left + first)) * 3, image->rgb + ((size_t)(y - top) * image->width + (size_t)first) * 3, (size_t)(last - first) * 3);
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ stages */

void *ls_stage_new(ls_preprocessing *run, const ls_stage *stage, size_t bytes) {
    ls_stage *to = &run->stages->items[run->stages->count];
    void *data = run->stages->count < LS_STAGES_MAX ? calloc(bytes + 1, 1) : NULL;
    if (data == NULL) {
        ls_fail(run->error, LOCKSTEP_NO_MEMORY, "out of memory");
        return NULL;
    }
    *to = *stage;
    to->data = data;
    run->stages->count++;
    return data;
}

lockstep_status ls_stage_images(ls_preprocessing *run, const char *name, const ls_image *images, size_t count, bool is_one, int from) {
    const uint64_t width = images->width, height = images->height, plane = width * height;
    ls_stage stage = {.name = name, .dtype = LOCKSTEP_U8, .rank = 4, .shape = {count, 3, height, width}, .from = from};
    if (is_one)
        stage = (ls_stage){.name = name, .dtype = LOCKSTEP_U8, .rank = 3, .shape = {3, height, width}, .from = from};
    uint8_t *data = ls_stage_new(run, &stage, count * 3 * plane);
    for (size_t n = 0; data != NULL && n < count; n++)
        for (size_t i = 0; i < plane; i++)
            for (size_t c = 0; c < 3; c++)
                data[(n * 3 + c) * plane + i] = images[n].rgb[i * 3 + c];
    return data != NULL ? LOCKSTEP_OK : LOCKSTEP_NO_MEMORY;
}

lockstep_status ls_stage_integers(ls_preprocessing *run, const char *name, int rank, const uint64_t *shape, const int64_t *values, int from) {
    ls_stage stage = {.name = name, .dtype = LOCKSTEP_I64, .rank = rank, .from = from};
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= stage.shape[i] = shape[i];
    void *data = ls_stage_new(run, &stage, count * sizeof *values);
    if (data != NULL)
        memcpy(data, values, count * sizeof *values);
    return data != NULL ? LOCKSTEP_OK : LOCKSTEP_NO_MEMORY;
}

static size_t elements_of(const ls_stage *s) {
    size_t count = 1;
    for (int i = 0; i < s->rank; i++)
        count *= s->shape[i];
    return count;
}

/* A new stage of floats in the shape of an earlier one. */
static float *new_floats(ls_preprocessing *run, const char *name, int like, int from) {
    ls_stage stage = run->stages->items[like];
    stage.name = name;
    stage.dtype = LOCKSTEP_F32;
    stage.from = from;
    return ls_stage_new(run, &stage, elements_of(&stage) * sizeof(float));
}

static lockstep_status rescale(ls_preprocessing *run, int from) {
    const ls_stage *in = &run->stages->items[from];
    const double factor = run->processor->rescale_factor;
    float *out = new_floats(run, "rescaled", from, from);
    for (size_t i = 0; out != NULL && i < elements_of(in); i++) {
        const uint8_t value = ((const uint8_t *)in->data)[i];
        out[i] = ls_is_pillow(run) ? (float)(value * factor) : (float)value * (float)factor;
    }
    return out != NULL ? LOCKSTEP_OK : LOCKSTEP_NO_MEMORY;
}

/* torchvision's back end rescales mean and std instead of the picture. */
static lockstep_status normalize(ls_preprocessing *run, int pixels) {
    const ls_processor *p = run->processor;
    const int last = run->stages->count - 1;
    const bool fused = p->do_rescale && !ls_is_pillow(run);
    float *out = new_floats(run, "normalized", pixels, last);
    if (out == NULL)
        return LOCKSTEP_NO_MEMORY;
    const ls_stage *in = &run->stages->items[pixels];
    const size_t plane = in->shape[in->rank - 1] * in->shape[in->rank - 2];
    const float *rescaled = run->stages->items[last].data;
    const float back = (float)(1 / p->rescale_factor);
    for (size_t i = 0; i < elements_of(in); i++) {
        const size_t c = i / plane % 3;
        const float value = p->do_rescale && !fused ? rescaled[i] : (float)((const uint8_t *)in->data)[i];
        const float mean = fused ? (float)p->mean[c] * back : (float)p->mean[c], std = fused ? (float)p->std[c] * back : (float)p->std[c];
        out[i] = (value - mean) / std;
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_stage_values(ls_preprocessing *run) {
    const int pixels = run->stages->count - 1;
    if (run->processor->do_rescale)
        LS_TRY(rescale(run, pixels));
    return run->processor->do_normalize ? normalize(run, pixels) : LOCKSTEP_OK;
}

/* The last stage under another name and shape. */
static lockstep_status rename_last(ls_preprocessing *run, const char *name, int rank, const uint64_t *shape) {
    ls_stage *last = &run->stages->items[run->stages->count - 1];
    last->name = name;
    last->rank = rank;
    memcpy(last->shape, shape, (size_t)rank * sizeof *shape);
    return LOCKSTEP_OK;
}

lockstep_status ls_stage_output(ls_preprocessing *run, const char *name, int rank, const uint64_t *shape) {
    const int last = run->stages->count - 1;
    const ls_stage *in = &run->stages->items[last];
    const size_t size = in->dtype == LOCKSTEP_F32 ? sizeof(float) : 1, bytes = elements_of(in) * size;
    ls_stage stage = {.name = name, .dtype = in->dtype, .rank = rank, .from = last};
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= stage.shape[i] = shape[i];
    if (in->dtype == LOCKSTEP_F32 && count * size == bytes)
        return rename_last(run, name, rank, shape);
    void *data = ls_stage_new(run, &stage, count * size);
    if (data == NULL)
        return LOCKSTEP_NO_MEMORY;
    memcpy(data, in->data, bytes < count * size ? bytes : count * size);
    return LOCKSTEP_OK;
}

void ls_stages_done(ls_stages *stages) {
    for (int i = 0; i < stages->count; i++)
        free(stages->items[i].data);
    *stages = (ls_stages){0};
}
