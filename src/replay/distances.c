#include "replay/distances.h"

#include <math.h>
#include <stdlib.h>

#include "base/pool.h"
#include "compare/kernel.h"
#include "compare/metrics.h"

enum { CHUNK = 1024, BLOCK = 1 << 15 }; /* elements; a block is one task */
#define CLEARLY 5    /* times the limit, over a whole block: two tensors are not the same */
#define LARGEST 1e55 /* of sums of squares without anything that is masked or not finite */

bool ls_is_number(double x) { return isfinite(x) && x > LS_MASK_BELOW; }

static void add_carefully(ls_distance *d, const double *r, const double *c, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (ls_is_number(r[i]) && ls_is_number(c[i])) {
            d->difference += (r[i] - c[i]) * (r[i] - c[i]);
            d->norm += r[i] * r[i];
            d->numbers++;
        } else {
            d->apart += ls_is_number(r[i]) != ls_is_number(c[i]) && !isnan(c[i]);
        }
}

static void add_chunk(ls_distance *d, const double *r, const double *c, size_t n) {
    double sums[3];
    ls_kernels_best()->squares_f64(r, c, n, sums);
    if (!(sums[0] + sums[1] + sums[2] < LARGEST)) {
        add_carefully(d, r, c, n);
        return;
    }
    d->difference += sums[0];
    d->norm += sums[1];
    d->numbers += n;
}

static bool is_plain(const ls_view *v, lockstep_dtype dtype, size_t size) { return v->dtype == dtype && !v->swap && v->factor == 0 && ls_view_is_contiguous(v) && (uintptr_t)v->data % size == 0; }

/* Of floats, where they lie. False where one is not a number. */
static bool add_floats(ls_distance *d, const ls_view *r, const ls_view *c, uint64_t at, size_t n) {
    double sums[3];
    ls_kernels_best()->squares_f32(r->data + at * sizeof(float), c->data + at * sizeof(float), n, sums);
    if (!(sums[0] + sums[1] + sums[2] < LARGEST))
        return false;
    d->difference += sums[0];
    d->norm += sums[1];
    d->numbers += n;
    return true;
}

/* Elements of a view: where they lie, if that is possible, or a copy. */
static const double *elements_of(const ls_view *v, uint64_t at, size_t n, double buffer[CHUNK]) {
    if (is_plain(v, LOCKSTEP_F64, sizeof(double)))
        return (const double *)(const void *)v->data + at;
    ls_view_read_f64(v, at, n, buffer);
    return buffer;
}

/* ------------------------------------------------------------------ in blocks */

typedef struct work {
    const ls_view *reference, *candidate;
    uint64_t elements, first; /* first: of the blocks */
    ls_distance *parts;
} work;

static ls_distance measure_block(const work *w, uint64_t block) {
    double buffers[2][CHUNK];
    ls_distance d = {0};
    const uint64_t end = (block + 1) * BLOCK < w->elements ? (block + 1) * BLOCK : w->elements;
    const bool floats = is_plain(w->reference, LOCKSTEP_F32, sizeof(float)) && is_plain(w->candidate, LOCKSTEP_F32, sizeof(float));
    for (uint64_t at = block * BLOCK; at < end; at += CHUNK) {
        const size_t n = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
        if (floats && add_floats(&d, w->reference, w->candidate, at, n))
            continue;
        const double *candidate = elements_of(w->candidate, at, n, buffers[1]);
        if (!ls_are_unknown(candidate, n) /* rows that were not computed */)
            add_chunk(&d, elements_of(w->reference, at, n, buffers[0]), candidate, n);
    }
    return d;
}

static void run_block(void *context, uint64_t i, int worker) {
    const work *w = context;
    (void)worker;
    w->parts[i] = measure_block(w, w->first + i);
}

static void add(ls_distance *sum, const ls_distance *d) {
    sum->difference += d->difference;
    sum->norm += d->norm;
    sum->numbers += d->numbers;
    sum->apart += d->apart;
}

/* Stops after the first block with a number, where that is above the limit. */
static ls_distance measure(const ls_view *reference, const ls_view *candidate, double limit, double least, bool *out_above) {
    work w = {.reference = reference, .candidate = candidate, .elements = ls_view_elements(reference)};
    const uint64_t blocks = (w.elements + BLOCK - 1) / BLOCK;
    ls_distance sum = {0};
    while (w.first < blocks && sum.numbers == 0) {
        const ls_distance one = measure_block(&w, w.first++);
        add(&sum, &one);
    }
    *out_above = sum.numbers > 0 && w.first < blocks && sum.difference > CLEARLY * CLEARLY * limit * limit * fmax(sum.norm, least * (double)sum.numbers);
    if (*out_above || w.first == blocks)
        return sum;
    w.parts = malloc((blocks - w.first) * sizeof *w.parts);
    if (w.parts != NULL)
        ls_pool_run(blocks - w.first, run_block, &w);
    for (uint64_t i = w.first; i < blocks; i++) {
        const ls_distance one = w.parts != NULL ? w.parts[i - w.first] : measure_block(&w, i);
        add(&sum, &one);
    }
    free(w.parts);
    return sum;
}

ls_distance ls_distance_between(const ls_view *reference, const ls_view *candidate) {
    bool above;
    return measure(reference, candidate, INFINITY, 0, &above);
}

static ls_view view_of(const double *values, uint64_t count) {
    ls_view v = {.data = (const uint8_t *)values, .dtype = LOCKSTEP_F64, .rank = 1, .shape = {count}};
    ls_view_set_contiguous(&v);
    return v;
}

ls_distance ls_distance_of(const double *reference, const double *candidate, uint64_t count) {
    const ls_view r = view_of(reference, count), c = view_of(candidate, count);
    return ls_distance_between(&r, &c);
}

double ls_squares_of(const double *values, uint64_t count) { return ls_distance_of(values, values, count).norm; }

double ls_norm_of(const ls_array *a) { return sqrt(ls_squares_of(a->values, a->elements)); }

double ls_error_between(const ls_view *reference, const ls_view *candidate, double limit, double least) {
    bool above;
    const ls_distance d = measure(reference, candidate, limit, least, &above);
    if (above || d.numbers == 0)
        return INFINITY;
    const double relative = d.norm > 0 ? sqrt(d.difference / d.norm) : d.difference > 0 ? INFINITY : 0;
    return relative + (d.apart > 0 ? (double)d.apart / (double)(d.apart + d.numbers) : 0);
}
