#include "image/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image/taps.h"

/* One axis of a picture: `lines` times, each output is made of groups of `lanes` neighbouring values. Along x, a line is
 * a row, and the lanes are the colours; along y, there is one line, and the lanes are a whole row. */
typedef struct axis {
    const ls_taps *taps;
    size_t lines, lanes;
    uint32_t inputs;
} axis;

static size_t in_group(const axis *a, size_t line, uint32_t i) { return (line * a->inputs + i) * a->lanes; }
static size_t out_group(const axis *a, size_t line, uint32_t i) { return (line * a->taps->outputs + i) * a->lanes; }

/* ------------------------------------------------------------------ in 8 bits */

/* How many fractional bits the integer weights have. */
static int precision(const ls_taps *t, ls_arithmetic arithmetic) {
    int bits = 0;
    if (arithmetic == LS_ARITHMETIC_PILLOW)
        return 22;
    while (bits < 22 && (int)(0.5 + t->largest * (1 << (bits + 1))) < 1 << 15)
        bits++;
    return bits;
}

/* Sums of 22 fractional bits and 8 more fit: weights add up to 1, and to less than 2 without their signs. They are added
 * without a sign, where an overflow, if there were one, would be defined. */
static uint32_t fixed(double weight, int bits) { return (uint32_t)(int32_t)(weight * (1 << bits) + (weight < 0 ? -0.5 : 0.5)); }

static uint8_t clip(uint32_t sum, int bits) {
    const int32_t value = (int32_t)sum >> bits;
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

/* Three lanes are so frequent that they are worth a loop of their own. */
static void add_lanes(uint32_t *sums, uint32_t weight, const uint8_t *from, size_t lanes) {
    if (lanes == 3) {
        sums[0] += weight * from[0];
        sums[1] += weight * from[1];
        sums[2] += weight * from[2];
        return;
    }
    for (size_t c = 0; c < lanes; c++)
        sums[c] += weight * from[c];
}

static void apply_u8(const axis *a, int bits, const uint32_t *weights, const uint8_t *in, uint32_t *sums, uint8_t *out) {
    for (size_t line = 0; line < a->lines; line++)
        for (uint32_t i = 0; i < a->taps->outputs; i++) {
            for (size_t c = 0; c < a->lanes; c++)
                sums[c] = (uint32_t)1 << (bits - 1);
            for (uint32_t k = 0; k < a->taps->count[i]; k++)
                add_lanes(sums, weights[(size_t)i * a->taps->most + k], in + in_group(a, line, a->taps->first[i] + k), a->lanes);
            for (size_t c = 0; c < a->lanes; c++)
                out[out_group(a, line, i) + c] = clip(sums[c], bits);
        }
}

/* ------------------------------------------------------------------ in floats */

/* Two taps are interpolated in the form that gives equal neighbours exactly: what is cut off afterwards shows it. */
static void apply_f32(const axis *a, const float *in, float *out) {
    for (size_t line = 0; line < a->lines; line++)
        for (uint32_t i = 0; i < a->taps->outputs; i++) {
            const double *w = a->taps->weights + (size_t)i * a->taps->most;
            const float *from = in + in_group(a, line, a->taps->first[i]);
            float *to = out + out_group(a, line, i);
            for (size_t c = 0; c < a->lanes; c++) {
                float sum = a->taps->count[i] == 2 ? from[c] + (from[a->lanes + c] - from[c]) * (float)w[1] : 0;
                for (uint32_t k = 0; k < a->taps->count[i] && a->taps->count[i] != 2; k++)
                    sum += from[k * a->lanes + c] * (float)w[k];
                to[c] = sum;
            }
        }
}

/* ------------------------------------------------------------------ both axes */

typedef struct work {
    ls_taps x, y;
    ls_box box;
    uint32_t width, height;
    void *cut, *halfway, *sums; /* the box; resized along one axis; the sums of a group */
} work;

static void finish(work *w) {
    ls_taps_free(&w->x);
    ls_taps_free(&w->y);
    free(w->cut);
    free(w->halfway);
    free(w->sums);
}

/* Pillow (from 13 on) takes the axis that is shortened much more first. The order shows, since it rounds in between. */
static bool is_down_first(const work *w, const ls_resizing *how) {
    const int64_t less_wide = (int64_t)w->box.width - w->width, less_high = (int64_t)w->box.height - w->height;
    return how->arithmetic == LS_ARITHMETIC_PILLOW && less_high > 0 && less_high > 2 * less_wide;
}

static lockstep_status begin(work *w, const ls_image *image, const ls_box *box, const ls_resizing *how, size_t size, lockstep_error *error) {
    w->box = box != NULL ? *box : (ls_box){0, 0, image->width, image->height};
    const uint32_t wide = w->width > w->box.width ? w->width : w->box.width, halfway_height = is_down_first(w, how) ? w->height : w->box.height;
    const uint32_t halfway_width = is_down_first(w, how) ? w->box.width : w->width;
    LS_TRY(ls_image_check_size("the picture, resized along one axis,", halfway_width, halfway_height, error));
    w->cut = malloc((size_t)w->box.width * w->box.height * 3 * size + 1);
    w->halfway = malloc((size_t)halfway_width * halfway_height * 3 * size + 1);
    w->sums = malloc(((size_t)wide + 1) * 3 * sizeof(uint32_t));
    if (w->cut == NULL || w->halfway == NULL || w->sums == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    LS_TRY(ls_taps_new(how, w->box.width, w->width, &w->x, error));
    return ls_taps_new(how, w->box.height, w->height, &w->y, error);
}

static axis along_x(const work *w, bool down_first) { return (axis){&w->x, down_first ? w->height : w->box.height, 3, w->box.width}; }
static axis along_y(const work *w, bool down_first) { return (axis){&w->y, 1, (size_t)(down_first ? w->box.width : w->width) * 3, w->box.height}; }

static const uint8_t *row_of(const work *w, const ls_image *image, uint32_t y) {
    return image->rgb + ((size_t)(w->box.top + y) * image->width + w->box.left) * 3;
}

/* One axis; what is not resized is not computed. */
static lockstep_status pass_u8(const axis *a, const ls_resizing *how, const uint8_t *in, uint32_t *sums, uint8_t *out, lockstep_error *error) {
    const size_t count = (size_t)a->taps->outputs * a->taps->most;
    const int bits = precision(a->taps, how->arithmetic);
    if (a->inputs == a->taps->outputs) {
        memcpy(out, in, a->lines * a->inputs * a->lanes);
        return LOCKSTEP_OK;
    }
    uint32_t *weights = malloc(count * sizeof *weights + 1);
    if (weights == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        weights[i] = fixed(a->taps->weights[i], bits);
    apply_u8(a, bits, weights, in, sums, out);
    free(weights);
    return LOCKSTEP_OK;
}

static lockstep_status run_u8(work *w, const ls_image *image, const ls_resizing *how, uint8_t *out, lockstep_error *error) {
    const bool down_first = is_down_first(w, how);
    const axis x = along_x(w, down_first), y = along_y(w, down_first);
    const size_t row = (size_t)w->box.width * 3;
    for (uint32_t i = 0; i < w->box.height; i++)
        memcpy((uint8_t *)w->cut + i * row, row_of(w, image, i), row);
    LS_TRY(pass_u8(down_first ? &y : &x, how, w->cut, w->sums, w->halfway, error));
    return pass_u8(down_first ? &x : &y, how, w->halfway, w->sums, out, error);
}

static void run_f32(work *w, const ls_image *image, float *out) {
    const axis x = along_x(w, false), y = along_y(w, false);
    const size_t row = (size_t)w->box.width * 3;
    for (uint32_t i = 0; i < w->box.height; i++)
        for (size_t k = 0; k < row; k++)
            ((float *)w->cut)[i * row + k] = row_of(w, image, i)[k];
    apply_f32(&x, w->cut, w->halfway);
    apply_f32(&y, w->halfway, out);
}

lockstep_status ls_resize_f32(const ls_image *image, const ls_box *box, const ls_resizing *how, uint32_t width, uint32_t height, float *out, lockstep_error *error) {
    work w = {.width = width, .height = height};
    const lockstep_status status = begin(&w, image, box, how, sizeof(float), error);
    if (status == LOCKSTEP_OK)
        run_f32(&w, image, out);
    finish(&w);
    return status;
}

static uint8_t to_u8(float value, ls_arithmetic arithmetic) {
    const float whole = arithmetic == LS_ARITHMETIC_TRUNCATED ? truncf(value) : rintf(value);
    return whole < 0 ? 0 : whole > 255 ? 255 : (uint8_t)whole;
}

static lockstep_status resize_by_floats(const ls_image *image, const ls_box *box, const ls_resizing *how, ls_image *out, lockstep_error *error) {
    float *values = malloc(ls_image_bytes(out) * sizeof *values + 1);
    if (values == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    const lockstep_status status = ls_resize_f32(image, box, how, out->width, out->height, values, error);
    for (size_t i = 0; status == LOCKSTEP_OK && i < ls_image_bytes(out); i++)
        out->rgb[i] = to_u8(values[i], how->arithmetic);
    free(values);
    return status;
}

static lockstep_status resize_by_integers(const ls_image *image, const ls_box *box, const ls_resizing *how, ls_image *out, lockstep_error *error) {
    work w = {.width = out->width, .height = out->height};
    lockstep_status status = begin(&w, image, box, how, 1, error);
    if (status == LOCKSTEP_OK)
        status = run_u8(&w, image, how, out->rgb, error);
    finish(&w);
    return status;
}

lockstep_status ls_resize(const ls_image *image, const ls_box *box, const ls_resizing *how, uint32_t width, uint32_t height, ls_image *out, lockstep_error *error) {
    ls_image resized;
    LS_TRY(ls_image_check_size("the resized picture", width, height, error));
    LS_TRY(ls_image_new(width, height, &resized, error));
    const bool by_integers = how->arithmetic == LS_ARITHMETIC_PILLOW || how->arithmetic == LS_ARITHMETIC_TORCH_U8;
    const lockstep_status status = (by_integers ? resize_by_integers : resize_by_floats)(image, box, how, &resized, error);
    if (status == LOCKSTEP_OK)
        *out = resized;
    else
        ls_image_free(&resized);
    return status;
}
