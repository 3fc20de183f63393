#include "diagnose/pixel_scale.h"

#include <math.h>

static const struct {
    const char *name, *raw; /* raw: what it is called where values are not divided by 255 before */
    double mean[3], std[3];
} known[] = {
    {"values from 0 to 1", "values from 0 to 255", {0, 0, 0}, {1, 1, 1}},
    {"mean and std 0.5, values from -1 to 1", "mean and std 0.5 without a division by 255", {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}},
    {"CLIP's mean and std", "CLIP's mean and std without a division by 255", {0.48145466, 0.4578275, 0.40821073}, {0.26862954, 0.26130258, 0.27577711}},
    {"ImageNet's mean and std", "ImageNet's mean and std without a division by 255", {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}},
};
enum { KNOWN = sizeof known / sizeof known[0] };

size_t ls_known_scale_count(void) { return 2 * (size_t)KNOWN; }

ls_known_scale ls_known_scale_at(size_t index) {
    const size_t i = index % KNOWN;
    const bool raw = index >= KNOWN;
    ls_known_scale out = {.name = raw ? known[i].raw : known[i].name};
    for (int c = 0; c < 3; c++) {
        out.scale.slope[c] = 1 / known[i].std[c] / (raw ? 1 : 255);
        out.scale.offset[c] = -known[i].mean[c] / known[i].std[c];
    }
    return out;
}

ls_pixel_scale ls_pixel_scale_by_place(const ls_pixel_scale *s, const ls_pixel_order *order) {
    ls_pixel_scale out = *s;
    for (int c = 0; c < 3; c++) {
        out.slope[order->channels[c]] = s->slope[c];
        out.offset[order->channels[c]] = s->offset[c];
    }
    return out;
}

/* Everywhere from 0 to 255 within half an 8-bit step, and in slope within a fifth of a percent. */
bool ls_pixel_scales_agree(const ls_pixel_scale *a, const ls_pixel_scale *b) {
    for (int c = 0; c < 3; c++)
        if (!(fabs(a->slope[c] / b->slope[c] - 1) <= 2e-3) || !(fabs(a->offset[c] - b->offset[c]) <= 0.6 * fabs(b->slope[c])))
            return false;
    return true;
}

const char *ls_pixel_scale_name(const ls_pixel_scale *scale) {
    for (size_t i = 0; i < ls_known_scale_count(); i++) {
        const ls_known_scale k = ls_known_scale_at(i);
        if (ls_pixel_scales_agree(scale, &k.scale))
            return k.name;
    }
    return NULL;
}

static void put_three(const char *what, const double values[3], ls_text *out) {
    ls_text_printf(out, "%s [%.4g, %.4g, %.4g]", what, values[0], values[1], values[2]);
}

/* What values are divided by with a known mean and std; 0 where it is another mean or std. */
static double divisor_under(const ls_pixel_scale *s, const ls_pixel_scale *of) {
    const double ratio = of->slope[0] / s->slope[0];
    for (int c = 0; c < 3; c++)
        if (!(fabs(of->slope[c] / s->slope[c] / ratio - 1) <= 1e-3) || !(fabs(s->offset[c] - of->offset[c]) <= 1e-2))
            return 0;
    return 255 * ratio;
}

/* The index of a known mean and std behind another rescale factor; KNOWN. */
static size_t rescaled(const ls_pixel_scale *s, double *out_divisor) {
    for (size_t i = 0; i < KNOWN; i++) {
        const ls_known_scale k = ls_known_scale_at(i);
        *out_divisor = divisor_under(s, &k.scale);
        if (*out_divisor > 0 && fabs(*out_divisor / 255 - 1) > 1e-3 && fabs(*out_divisor - 1) > 1e-3)
            return i;
    }
    return KNOWN;
}

bool ls_pixel_scale_is_known(const ls_pixel_scale *s) {
    double divisor;
    return ls_pixel_scale_name(s) != NULL || rescaled(s, &divisor) < KNOWN;
}

void ls_pixel_scale_text(const ls_pixel_scale *s, ls_text *out) {
    const char *name = ls_pixel_scale_name(s);
    double mean[3], std[3], divisor;
    const size_t behind = rescaled(s, &divisor);
    if (behind < KNOWN) {
        ls_text_printf(out, "%s, with a rescale_factor of 1/%.4g", known[behind].name, divisor);
        return;
    }
    for (int c = 0; c < 3; c++) {
        std[c] = 1 / (255 * s->slope[c]);
        mean[c] = -s->offset[c] * std[c];
    }
    if (name != NULL) {
        ls_text_printf(out, "%s", name);
        return;
    }
    put_three("image_mean", mean, out);
    put_three(", image_std", std, out);
}
