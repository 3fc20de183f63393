#include "image/taps.h"

#include <math.h>
#include <stdlib.h>

static uint32_t at_most(double x, uint32_t most) { return x < 0 ? 0 : x > (double)most ? most : (uint32_t)x; }

/* Pillow adds up the scale from pixel to pixel; torch's nearest-exact computes in floats. */
static void nearest(const ls_resizing *how, uint32_t inputs, ls_taps *t) {
    const double scale = (double)inputs / t->outputs;
    const float narrow = (float)inputs / (float)t->outputs;
    double at = scale * 0.5;
    for (uint32_t i = 0; i < t->outputs; i++, at += scale) {
        const float source = fmaxf(narrow * ((float)i + 0.5f) - 0.5f, 0);
        const double x = how->sampling == LS_SAMPLING_CORNERS         ? floor((double)i * (inputs - 1) / (t->outputs > 1 ? t->outputs - 1 : 1) + 0.5)
                         : how->sampling == LS_SAMPLING_SHORT_CORNERS ? floorf((float)i * narrow)
                         : how->arithmetic == LS_ARITHMETIC_PILLOW    ? at
                                                                      : floorf(source + 0.5f);
        t->first[i] = at_most(x, inputs - 1);
        t->count[i] = 1;
        t->weights[i] = 1;
    }
    t->largest = 1;
}

static void area_tap(const ls_filter *f, uint32_t inputs, double scale, uint32_t i, ls_taps *t) {
    const double wide = fmax(scale, 1), support = f->support * wide, center = (i + 0.5) * scale;
    double *w = t->weights + (size_t)i * t->most, sum = 0;
    t->first[i] = at_most(center - support + 0.5, inputs);
    t->count[i] = at_most(center + support + 0.5, inputs) - t->first[i];
    if (t->count[i] > t->most)
        t->count[i] = t->most;
    for (uint32_t k = 0; k < t->count[i]; k++)
        sum += w[k] = f->weight((k + (double)t->first[i] - center + 0.5) * (1 / wide));
    for (uint32_t k = 0; k < t->count[i]; k++) {
        w[k] = sum != 0 ? w[k] / sum : 0;
        t->largest = fmax(t->largest, w[k]);
    }
}

static double source_of(ls_sampling sampling, uint32_t i, uint32_t inputs, uint32_t outputs) {
    if (sampling == LS_SAMPLING_HALF_PIXEL)
        return (i + 0.5) * ((double)inputs / outputs) - 0.5;
    const uint32_t steps = sampling == LS_SAMPLING_CORNERS ? outputs - 1 : outputs;
    return steps > 0 ? (float)i * ((float)(inputs - 1) / (float)steps) : 0; /* in floats, as torch and clip.cpp */
}

/* What lies outside counts as the outermost pixel. */
static void point_tap(const ls_resizing *how, uint32_t inputs, uint32_t i, ls_taps *t) {
    const int reach = (int)ceil(how->filter->support);
    double (*weight)(double) = how->filter->sharper != NULL ? how->filter->sharper : how->filter->weight;
    double source = source_of(how->sampling, i, inputs, t->outputs);
    source = reach < 2 ? fmax(source, 0) : source;
    const double whole = floor(source);
    double *w = t->weights + (size_t)i * t->most, sum = 0;
    t->first[i] = at_most(whole - reach + 1, inputs - 1);
    t->count[i] = at_most(whole + reach, inputs - 1) - t->first[i] + 1;
    for (int k = 1 - reach; k <= reach; k++) {
        const double share = weight(k - (source - whole));
        w[at_most(whole + k, inputs - 1) - t->first[i]] += share;
        sum += share;
    }
    for (uint32_t k = 0; k < t->count[i]; k++) {
        w[k] = sum != 0 ? w[k] / sum : 0;
        t->largest = fmax(t->largest, w[k]);
    }
}

static uint32_t most_taps(const ls_resizing *how, uint32_t inputs, uint32_t outputs) {
    const double wide = how->sampling == LS_SAMPLING_AREA ? fmax((double)inputs / outputs, 1) : 1;
    return (uint32_t)ceil(how->filter->support * wide) * 2 + 1;
}

lockstep_status ls_taps_new(const ls_resizing *how, uint32_t inputs, uint32_t outputs, ls_taps *out, lockstep_error *error) {
    ls_taps t = {.outputs = outputs, .most = most_taps(how, inputs, outputs)};
    t.first = calloc(outputs, sizeof *t.first);
    t.count = calloc(outputs, sizeof *t.count);
    t.weights = calloc((size_t)outputs * t.most, sizeof *t.weights);
    if (t.first == NULL || t.count == NULL || t.weights == NULL) {
        ls_taps_free(&t);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    if (how->filter->weight == NULL)
        nearest(how, inputs, &t);
    for (uint32_t i = 0; i < outputs && how->filter->weight != NULL; i++)
        if (how->sampling == LS_SAMPLING_AREA)
            area_tap(how->filter, inputs, (double)inputs / outputs, i, &t);
        else
            point_tap(how, inputs, i, &t);
    *out = t;
    return LOCKSTEP_OK;
}

void ls_taps_free(ls_taps *t) {
    free(t->first);
    free(t->count);
    free(t->weights);
    *t = (ls_taps){0};
}
