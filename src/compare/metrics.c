#include "compare/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"

const double ls_share_thresholds[LS_SHARES] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1};

enum { TILE = 2048 };           /* elements decoded at a time: both tiles stay in L1 */
enum { CHUNK = 1 << 20 };       /* elements of one task; fixed, so that sums don't depend on threads */

typedef struct partial {
    uint64_t finite, above[LS_SHARES], beyond;
    uint64_t nan_reference, nan_candidate, inf_reference, inf_candidate, nonfinite_differ;
    bool differ;
    double sum_abs, sum_rel, sum_squares, dot, max_abs, max_rel, max_ulp;
    uint64_t max_abs_at, max_rel_at;
    struct side {
        uint64_t finite;
        double min, max, sum, squares;
    } reference, candidate;
} partial;

typedef struct job {
    const ls_view *reference, *candidate;
    double atol, rtol;
    bool ulp;
    partial *partials;
} job;

static void init(partial *p) {
    *p = (partial){.max_abs = -1, .max_rel = -1};
    p->reference.min = p->candidate.min = INFINITY;
    p->reference.max = p->candidate.max = -INFINITY;
}

static void add_side(struct side *s, double v) {
    s->finite++;
    s->sum += v;
    s->squares += v * v;
    s->min = v < s->min ? v : s->min;
    s->max = v > s->max ? v : s->max;
}

static void add_nonfinite(partial *p, double r, double c) {
    p->nan_reference += r != r;
    p->nan_candidate += c != c;
    p->inf_reference += isinf(r) != 0;
    p->inf_candidate += isinf(c) != 0;
    bool same = (r != r && c != c) || (isinf(r) && r == c);
    p->nonfinite_differ += !same;
    p->differ = p->differ || !same;
    if (isfinite(r))
        add_side(&p->reference, r);
    if (isfinite(c))
        add_side(&p->candidate, c);
}

static void add_tile(const job *j, partial *p, const double *reference, const double *candidate, size_t count, uint64_t first) {
    for (size_t i = 0; i < count; i++) {
        double r = reference[i], c = candidate[i], d = c - r;
        if (d - d != 0) { /* NaN or infinite somewhere, or a difference beyond double */
            add_nonfinite(p, r, c);
            continue;
        }
        double a = fabs(d), magnitude = fabs(r);
        double relative = a == 0 ? 0 : a / magnitude; /* infinite where the reference is 0 */
        p->finite++;
        add_side(&p->reference, r);
        add_side(&p->candidate, c);
        p->sum_abs += a;
        p->sum_squares += d * d;
        p->dot += r * c;
        p->sum_rel += magnitude > 0 ? relative : 0;
        p->differ = p->differ || d != 0 || signbit(r) != signbit(c);
        if (a > p->max_abs)
            p->max_abs = a, p->max_abs_at = first + i;
        if (relative > p->max_rel)
            p->max_rel = relative, p->max_rel_at = first + i;
        for (int k = 0; k < LS_SHARES; k++)
            p->above[k] += a > ls_share_thresholds[k];
        p->beyond += !(a <= j->atol + j->rtol * magnitude);
    }
}

static void run_chunk(void *context, uint64_t index, int worker) {
    (void)worker;
    const job *j = context;
    partial *p = &j->partials[index];
    double reference[TILE], candidate[TILE];
    uint64_t total = ls_view_elements(j->reference), first = index * CHUNK;
    uint64_t end = total - first < CHUNK ? total : first + CHUNK;
    init(p);
    for (uint64_t at = first; at < end; at += TILE) {
        size_t n = end - at < TILE ? (size_t)(end - at) : TILE;
        ls_view_read_f64(j->reference, at, n, reference);
        ls_view_read_f64(j->candidate, at, n, candidate);
        add_tile(j, p, reference, candidate, n, at);
    }
}

static void merge_side(struct side *into, const struct side *s) {
    into->finite += s->finite;
    into->sum += s->sum;
    into->squares += s->squares;
    into->min = s->min < into->min ? s->min : into->min;
    into->max = s->max > into->max ? s->max : into->max;
}

static void merge(partial *into, const partial *p) {
    into->finite += p->finite;
    for (int k = 0; k < LS_SHARES; k++)
        into->above[k] += p->above[k];
    into->beyond += p->beyond;
    into->nan_reference += p->nan_reference;
    into->nan_candidate += p->nan_candidate;
    into->inf_reference += p->inf_reference;
    into->inf_candidate += p->inf_candidate;
    into->nonfinite_differ += p->nonfinite_differ;
    into->differ = into->differ || p->differ;
    into->sum_abs += p->sum_abs;
    into->sum_rel += p->sum_rel;
    into->sum_squares += p->sum_squares;
    into->dot += p->dot;
    if (p->max_abs > into->max_abs)
        into->max_abs = p->max_abs, into->max_abs_at = p->max_abs_at;
    if (p->max_rel > into->max_rel)
        into->max_rel = p->max_rel, into->max_rel_at = p->max_rel_at;
    merge_side(&into->reference, &p->reference);
    merge_side(&into->candidate, &p->candidate);
}

static struct ls_side finish_side(const struct side *s) {
    if (s->finite == 0)
        return (struct ls_side){NAN, NAN, NAN, NAN, NAN};
    double n = (double)s->finite, mean = s->sum / n, variance = s->squares / n - mean * mean;
    return (struct ls_side){s->min, s->max, mean, sqrt(variance > 0 ? variance : 0), sqrt(s->squares)};
}

static double ratio(double a, double b) { return a == 0 && b == 0 ? 0 : a / b; }

static void finish(const partial *p, uint64_t elements, ls_metrics *m) {
    *m = (ls_metrics){.elements = elements, .finite = p->finite, .identical = !p->differ,
                      .beyond = p->beyond + p->nonfinite_differ, .nan_reference = p->nan_reference,
                      .nan_candidate = p->nan_candidate, .inf_reference = p->inf_reference,
                      .inf_candidate = p->inf_candidate, .nonfinite_differ = p->nonfinite_differ,
                      .max_abs_at = p->max_abs_at, .max_rel_at = p->max_rel_at, .max_ulp = NAN};
    memcpy(m->above, p->above, sizeof m->above);
    m->reference = finish_side(&p->reference);
    m->candidate = finish_side(&p->candidate);
    double n = (double)p->finite, r2 = p->reference.squares, c2 = p->candidate.squares;
    if (p->finite == 0) {
        m->max_abs = m->max_rel = m->mean_abs = m->mean_rel = m->rmse = m->rel_l2 = m->nmse = m->nmse_var =
            m->max_abs_over_max = m->sqnr_db = m->cosine = NAN;
        return;
    }
    double variance = m->reference.std * m->reference.std;
    double largest = fmax(fabs(m->reference.min), fabs(m->reference.max));
    m->max_abs = p->max_abs;
    m->max_rel = p->max_rel;
    m->mean_abs = p->sum_abs / n;
    m->mean_rel = p->sum_rel / n;
    m->rmse = sqrt(p->sum_squares / n);
    m->rel_l2 = sqrt(ratio(p->sum_squares, r2));
    m->nmse = ratio(p->sum_squares, r2);
    m->nmse_var = ratio(p->sum_squares / n, variance);
    m->max_abs_over_max = ratio(p->max_abs, largest);
    m->sqnr_db = p->sum_squares == 0 ? INFINITY : 10 * log10(r2 / p->sum_squares);
    m->cosine = r2 == 0 && c2 == 0 ? 1 : r2 == 0 || c2 == 0 ? 0 : p->dot / sqrt(r2) / sqrt(c2);
}

lockstep_status ls_compare(const ls_view *reference, const ls_view *candidate, double atol, double rtol,
                           ls_metrics *out_metrics, lockstep_error *error) {
    uint64_t elements = ls_view_elements(reference);
    if (elements != ls_view_elements(candidate))
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "the two tensors differ in their number of elements");
    uint64_t chunks = elements / CHUNK + (elements % CHUNK != 0);
    partial total, *partials = calloc(chunks + 1, sizeof *partials);
    if (partials == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    job j = {reference, candidate, atol, rtol, false, partials};
    if (chunks == 1)
        run_chunk(&j, 0, 0);
    else
        ls_pool_run(chunks, run_chunk, &j);
    init(&total);
    for (uint64_t i = 0; i < chunks; i++)
        merge(&total, &partials[i]);
    free(partials);
    finish(&total, elements, out_metrics);
    return LOCKSTEP_OK;
}
