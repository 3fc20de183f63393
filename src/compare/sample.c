#include "compare/sample.h"

#include "base/random_place.h"
#include "compare/metrics.h"
#include "compare/relative.h"
#include "tensor/pages.h"

enum { RUN = 64 };

/* Sampling a large file may map a huge page around each element that is read. This drops it again. */
static void drop_around(const ls_view *v, uint64_t elements, uint64_t at) {
    enum { AROUND = 1 << 21 };
    uint64_t first = at > AROUND ? at - AROUND : 0;
    if (elements > 8 * AROUND)
        ls_view_drop(v, first, elements - first < 2 * AROUND ? elements - first : 2 * AROUND);
}

typedef struct squares {
    double difference, norm;
    uint64_t numbers, apart; /* counts of elements that are numbers on both sides, and on one side only */
} squares;

static bool is_number(double value) { return value - value == 0 && value > LS_MASK_BELOW; }

static void add_run(const ls_view *ref, const ls_view *cand, uint64_t at, size_t n, squares *sum) {
    double r[RUN], c[RUN];
    ls_view_read_f64(ref, at, n, r);
    ls_view_read_f64(cand, at, n, c);
    for (size_t i = 0; i < n; i++) {
        double d = c[i] - r[i];
        if (is_number(r[i]) && is_number(c[i])) {
            sum->difference += d * d;
            sum->norm += r[i] * r[i];
            sum->numbers++;
        } else {
            sum->apart += is_number(r[i]) != is_number(c[i]);
        }
    }
}

/* The relative L2, plus a penalty for elements that are masked, infinite or NaN on one side only. */
static double error_of(const squares *sum) {
    double relative = ls_relative_l2(sum->difference, sum->norm);
    return relative + (sum->apart > 0 ? 10 * (double)sum->apart / (double)(sum->apart + sum->numbers) : 0);
}

double ls_sampled_error(const ls_view *ref, const ls_view *cand, uint64_t sample) {
    squares sum = {0};
    uint64_t elements = ls_view_elements(ref);
    if (elements <= sample) {
        for (uint64_t at = 0; at < elements; at += RUN)
            add_run(ref, cand, at, elements - at < RUN ? (size_t)(elements - at) : RUN, &sum);
        return error_of(&sum);
    }
    for (uint64_t k = 0; k < sample / RUN; k++) {
        uint64_t at = ls_random_place(k, elements - RUN + 1);
        add_run(ref, cand, at, RUN, &sum);
        drop_around(ref, elements, at);
        drop_around(cand, elements, at);
    }
    return error_of(&sum);
}

ls_squares ls_squares_between(const ls_view *reference, uint64_t first, const ls_view *candidate, uint64_t candidate_first, uint64_t count) {
    enum { AT_ONCE = 1024 };
    double r[AT_ONCE], c[AT_ONCE];
    ls_squares sums = {0};
    for (uint64_t at = 0; at < count; at += AT_ONCE) {
        const size_t some = count - at < AT_ONCE ? (size_t)(count - at) : AT_ONCE;
        ls_view_read_f64(reference, first + at, some, r);
        ls_view_read_f64(candidate, candidate_first + at, some, c);
        for (size_t i = 0; i < some; i++) {
            sums.difference += (r[i] - c[i]) * (r[i] - c[i]);
            sums.reference += r[i] * r[i];
        }
    }
    return sums;
}
