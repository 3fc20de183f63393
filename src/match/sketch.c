#include "match/sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random_place.h"
#include "compare/metrics.h"

enum { CHUNK = 1024, RUN = 64, SAMPLE = 1 << 14, DISTINCT = 8 };
#define L2_WITHIN 0.05      /* difference of ln L2 */
#define QUANTILE_WITHIN 0.2 /* in units of the RMS */

static bool is_number(double value) { return isfinite(value) && value > LS_MASK_BELOW; }

/* The numbers of a view among n elements; returns how many there are. */
static size_t read_numbers(const ls_view *v, uint64_t at, size_t n, float *out) {
    double values[CHUNK];
    size_t count = 0;
    ls_view_read_f64(v, at, n, values);
    for (size_t i = 0; i < n; i++)
        if (is_number(values[i]))
            out[count++] = (float)values[i];
    return count;
}

static double squares_of(const float *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * values[i];
    return sum;
}

static double squares_of_all(const ls_view *v, uint64_t elements) {
    float values[CHUNK];
    double sum = 0;
    for (uint64_t at = 0; at < elements; at += CHUNK) {
        const size_t n = elements - at < CHUNK ? (size_t)(elements - at) : CHUNK;
        sum += squares_of(values, read_numbers(v, at, n, values));
    }
    return sum;
}

/* All numbers of a small tensor; of a larger one, those of runs at random places. */
static size_t take_sample(const ls_view *v, uint64_t elements, float out[SAMPLE]) {
    size_t count = 0;
    for (uint64_t k = 0; k < SAMPLE / RUN; k++) {
        const uint64_t at = elements <= SAMPLE ? k * RUN : ls_random_place(k, elements - RUN + 1);
        if (at < elements)
            count += read_numbers(v, at, elements - at < RUN ? (size_t)(elements - at) : RUN, out + count);
    }
    return count;
}

static int ascending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static size_t distinct_of(const float *sorted, size_t count) {
    size_t distinct = count > 0;
    for (size_t i = 1; i < count && distinct < DISTINCT; i++)
        distinct += sorted[i] != sorted[i - 1];
    return distinct;
}

static void take_quantiles(const ls_view *v, ls_sketch *out) {
    float *sample = malloc(SAMPLE * sizeof *sample);
    const size_t count = sample != NULL ? take_sample(v, out->elements, sample) : 0;
    const double rms = count > 0 ? sqrt(squares_of(sample, count) / (double)count) : 0;
    if (count > 0)
        qsort(sample, count, sizeof *sample, ascending);
    for (size_t q = 0; q < LS_SKETCH_QUANTILES && rms > 0; q++)
        out->quantiles[q] = (float)(sample[count * (2 * q + 1) / (2 * LS_SKETCH_QUANTILES)] / rms); /* without the extremes, which a sample tells least of */
    out->is_plain = distinct_of(sample, count) < DISTINCT;
    free(sample);
}

static void take_places(const ls_view *v, ls_sketch *out) {
    double sum = 0, squares = 0, count = 0;
    for (uint64_t k = 0; k < LS_SKETCH_PLACES; k++) {
        double value;
        ls_view_read_f64(v, ls_random_place(k, out->elements), 1, &value);
        out->values[k] = is_number(value) ? (float)value + 0.0f : NAN; /* without the sign of a zero */
        if (!is_number(value))
            continue;
        sum += out->values[k];
        squares += (double)out->values[k] * out->values[k];
        count++;
    }
    out->spread2 = count > 0 ? fmax(0, squares - sum * sum / count) : 0;
}

void ls_sketch_narrow(ls_view *v, int axis) {
    v->data += (int64_t)(v->shape[axis] - 1) * v->strides[axis] * (int64_t)ls_dtype(v->dtype)->block_bytes;
    v->shape[axis] = 1;
}

bool ls_sketch_take(const ls_view *v, bool integers, ls_sketch *out) {
    *out = (ls_sketch){.elements = ls_view_elements(v)};
    if (out->elements == 0 || ls_dtype(v->dtype)->block_elements > 1)
        return false;
    out->l2 = sqrt(squares_of_all(v, out->elements));
    take_quantiles(v, out);
    take_places(v, out);
    out->is_plain = out->is_plain || integers || !(out->spread2 > 0);
    return true;
}

bool ls_sketch_is_like(const ls_sketch *r, const ls_sketch *c, double slack) {
    bool like = r->elements == c->elements && r->is_plain == c->is_plain && (slack > 1 || r->l2 == c->l2 || fabs(log(c->l2 / r->l2)) < L2_WITHIN);
    for (size_t q = 0; q < LS_SKETCH_QUANTILES && like; q++)
        like = fabsf(r->quantiles[q] - c->quantiles[q]) < (float)(slack * QUANTILE_WITHIN);
    return like;
}

bool ls_sketches_are_copies(const ls_sketch *a, const ls_sketch *b) {
    return a->elements == b->elements && a->l2 == b->l2 && memcmp(a->values, b->values, sizeof a->values) == 0;
}

/* Of two unrelated tensors, the first few values differ by about twice their own squares. */
static bool may_be_near(const ls_sketch *r, const ls_sketch *c) {
    enum { GLANCE = 16 };
    float difference = 0, squares = 0;
    for (size_t k = 0; k < GLANCE; k++) {
        const float d = c->values[k] - r->values[k];
        difference += isnan(d) ? 0 : d * d;
        squares += isnan(d) ? 0 : r->values[k] * r->values[k];
    }
    return !(difference > 3 * squares && squares > 0);
}

double ls_sketch_distance(const ls_sketch *r, const ls_sketch *c) {
    double difference = 0, apart = 0;
    if (r->elements != c->elements || r->is_plain != c->is_plain || !may_be_near(r, c))
        return INFINITY;
    for (size_t k = 0; k < LS_SKETCH_PLACES; k++) {
        const double d = (double)c->values[k] - r->values[k];
        difference += isnan(d) ? 0 : d * d;
        apart += isnan(r->values[k]) != isnan(c->values[k]);
    }
    if (r->is_plain)
        return difference == 0 && apart == 0 && fabs(c->l2 - r->l2) <= 1e-6 * r->l2 ? 0 : INFINITY;
    return sqrt(difference / r->spread2) + apart / LS_SKETCH_PLACES;
}

double ls_sketch_unlikeness(const ls_sketch *r, const ls_sketch *c) {
    double sum_r = 0, sum_c = 0, rr = 0, cc = 0, rc = 0, count = 0;
    if (r->elements != c->elements || r->is_plain || c->is_plain)
        return ls_sketch_distance(r, c);
    for (size_t k = 0; k < LS_SKETCH_PLACES; k++) {
        const double x = r->values[k], y = c->values[k];
        if (isnan(x) || isnan(y))
            continue;
        sum_r += x;
        sum_c += y;
        rr += x * x;
        cc += y * y;
        rc += x * y;
        count++;
    }
    const double of_r = rr - sum_r * sum_r / count, of_c = cc - sum_c * sum_c / count, common = rc - sum_r * sum_c / count;
    return of_r > 0 && of_c > 0 ? sqrt(fmax(0, 1 - common * common / (of_r * of_c))) + (LS_SKETCH_PLACES - count) / LS_SKETCH_PLACES : INFINITY;
}

double ls_sketch_contrast(const ls_sketch *r, const ls_sketch *c, const ls_sketch *other_r, const ls_sketch *other_c) {
    double difference = 0, squares = 0;
    if (r->elements != other_r->elements || c->elements != r->elements || other_c->elements != r->elements)
        return INFINITY;
    for (size_t k = 0; k < LS_SKETCH_PLACES; k++) {
        const double of_references = (double)r->values[k] - other_r->values[k], of_candidates = (double)c->values[k] - other_c->values[k];
        const double d = of_candidates - of_references;
        difference += isnan(d) ? 0 : d * d;
        squares += isnan(d) ? 0 : of_references * of_references;
    }
    return squares > 0 ? sqrt(difference / squares) : INFINITY;
}
