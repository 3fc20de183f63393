/* A tile of both tensors is decoded into the first-level cache (or read in place if it
 * is plain f32 or f64) and summed by a kernel. Tiles form chunks, which are merged in
 * order, so that the result doesn't depend on the threads. Means and squared deviations
 * are merged with the update of Chan, Golub and LeVeque (1979). */
#include "compare/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/pool.h"
#include "compare/relative.h"
#include "compare/row_metrics.h"
#include "tensor/pages.h"
#include "tensor/spread.h"

const double ls_share_thresholds[LS_SHARES] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1};

enum { TILE = 4096 };      /* elements; a multiple of every block */
/* Elements of one task, which depend on the tensor's size: small tensors get tasks for all
 * cores, and large ones rarely release pages. */
enum { CHUNK_MIN = 16 * TILE, CHUNK_MAX = 512 * TILE, CHUNKS_WANTED = 32 };
_Static_assert(TILE % LS_MAX_BLOCK_ELEMENTS == 0, "tiles hold whole blocks");

typedef struct side {
    uint64_t count;
    double min, max, mean, m2;
} side;

typedef struct partial {
    uint64_t finite, counts[LS_SHARES + 1]; /* the last: beyond */
    uint64_t nan_reference, nan_candidate, inf_reference, inf_candidate, nonfinite_differ;
    uint64_t masked, masked_differ;
    double masked_rel;
    bool differ;
    double sum_abs, sum_rel, sum_squares, dot, max_abs, max_rel;
    uint64_t max_abs_tile, max_rel_tile; /* first element of the tile with the maximum */
    uint32_t max_ulp;
    side reference, candidate;           /* over elements that are finite on both sides */
    side reference_lone, candidate_lone; /* over other finite elements */
    uint64_t reference_hash, candidate_hash; /* of a chunk */
    ls_row_partial rows;
} partial;

/* A chunk's hash is that of its tiles' hashes, in order, and a tensor's that of its chunks'. */
static uint64_t join_hashes(uint64_t before, uint64_t next) {
    uint64_t both[2] = {before, next};
    return XXH3_64bits(both, sizeof both);
}

typedef enum ulp_kind { ULP_NONE, ULP_F32, ULP_16 } ulp_kind;

typedef struct job {
    const ls_view *reference, *candidate;
    const ls_kernels *kernels;
    ls_compare_options options;
    uint64_t elements, chunk;
    bool wide;        /* summed as doubles, not floats */
    ulp_kind ulp;
    uint16_t infinity; /* of a 16-bit type */
    double precision;  /* 2^bits of the significand: no step is smaller than |x| / precision */
    partial *partials;
} job;

/* ----------------------------------------------------------------------- merging */

static void merge_side(side *into, const side *more) {
    if (more->count == 0)
        return;
    if (into->count == 0) {
        *into = *more;
        return;
    }
    ls_spread_merge((double)into->count, &into->mean, &into->m2, (double)more->count, more->mean, more->m2);
    into->min = more->min < into->min ? more->min : into->min;
    into->max = more->max > into->max ? more->max : into->max;
    into->count += more->count;
}

static void merge(partial *into, const partial *p) {
    into->finite += p->finite;
    for (int k = 0; k <= LS_SHARES; k++)
        into->counts[k] += p->counts[k];
    into->nan_reference += p->nan_reference;
    into->nan_candidate += p->nan_candidate;
    into->inf_reference += p->inf_reference;
    into->inf_candidate += p->inf_candidate;
    into->nonfinite_differ += p->nonfinite_differ;
    into->masked += p->masked;
    into->masked_differ += p->masked_differ;
    into->masked_rel = p->masked_rel > into->masked_rel ? p->masked_rel : into->masked_rel;
    into->differ = into->differ || p->differ;
    into->sum_abs += p->sum_abs;
    into->sum_rel += p->sum_rel;
    into->sum_squares += p->sum_squares;
    into->dot += p->dot;
    if (p->max_abs > into->max_abs)
        into->max_abs = p->max_abs, into->max_abs_tile = p->max_abs_tile;
    if (p->max_rel > into->max_rel)
        into->max_rel = p->max_rel, into->max_rel_tile = p->max_rel_tile;
    into->max_ulp = p->max_ulp > into->max_ulp ? p->max_ulp : into->max_ulp;
    merge_side(&into->reference, &p->reference);
    merge_side(&into->candidate, &p->candidate);
    merge_side(&into->reference_lone, &p->reference_lone);
    merge_side(&into->candidate_lone, &p->candidate_lone);
}

static side side_of(const ls_tile_side *s, size_t n) { return (side){n, s->min, s->max, s->mean, s->m2}; }

/* ------------------------------------------------------------------------- tiles */

static void add_finite_tile(partial *p, const ls_tile *t, size_t n, uint64_t first) {
    side reference = side_of(&t->reference, n), candidate = side_of(&t->candidate, n);
    p->finite += n;
    p->differ = p->differ || !t->same_bits;
    p->sum_abs += t->sum_abs;
    p->sum_rel += t->sum_rel;
    p->sum_squares += t->sum_squares;
    p->dot += t->dot;
    if (t->max_abs > p->max_abs)
        p->max_abs = t->max_abs, p->max_abs_tile = first;
    if (t->max_rel > p->max_rel)
        p->max_rel = t->max_rel, p->max_rel_tile = first;
    merge_side(&p->reference, &reference);
    merge_side(&p->candidate, &candidate);
}

/* The rounding error of a quotient is far smaller than this. */
static const double slack = 1 - 1e-12;

static void count_tile(const job *j, partial *p, const void *r, const void *c, size_t n, const ls_tile *t, bool wide) {
    ls_count_limits limits = {.max_abs = t->max_abs, .atol = j->options.atol, .rtol = j->options.rtol};
    limits.within = j->options.atol >= 0 && j->options.rtol >= 0 && (t->max_abs <= j->options.atol || t->max_rel <= j->options.rtol * slack);
    if (limits.within && t->max_abs <= ls_share_thresholds[0])
        return;
    (wide ? j->kernels->count_f64 : j->kernels->count_f32)(r, c, n, &limits, p->counts);
}

static void add_lone(const job *j, side *lone, const double *values, size_t n) {
    ls_tile t;
    if (n == 0)
        return;
    j->kernels->sum_f64(values, values, n, &t);
    side s = side_of(&t.reference, n);
    merge_side(lone, &s);
}

static bool is_masked(double value, double mask) { return value <= mask && mask > -INFINITY; }

/* Counts an element that isn't a number on both sides (NaN, infinite or masked), or whose
 * difference overflows a double. */
static void add_gap(const job *j, partial *p, double x, double y) {
    bool masked_x = is_masked(x, j->options.mask_reference), masked_y = is_masked(y, j->options.mask_candidate);
    p->nan_reference += isnan(x) != 0;
    p->nan_candidate += isnan(y) != 0;
    p->inf_reference += isinf(x) != 0;
    p->inf_candidate += isinf(y) != 0;
    if (masked_x && masked_y) {
        bool both_far = x <= LS_MASK_BELOW && y <= LS_MASK_BELOW;
        double apart = both_far || x == y ? 0 : fabs(y - x) / fabs(x);
        p->masked++;
        p->masked_rel = apart > p->masked_rel ? apart : p->masked_rel;
        p->differ = p->differ || x != y;
        return;
    }
    bool same = (isnan(x) && isnan(y)) || (isinf(x) && x == y);
    if (isfinite(x) && isfinite(y) && masked_x != masked_y)
        p->masked_differ++;
    else
        p->nonfinite_differ += !same;
    p->differ = p->differ || !same;
}

/* Adds a tile with such elements: they are counted and left out, and the rest is summed. */
static void add_tile_with_gaps(const job *j, partial *p, const double *reference, const double *candidate, size_t n, uint64_t first) {
    double r[TILE], c[TILE], lone_r[TILE], lone_c[TILE];
    size_t kept = 0, lone_rs = 0, lone_cs = 0;
    for (size_t i = 0; i < n; i++) {
        double x = reference[i], y = candidate[i], d = y - x;
        if (d - d == 0 && x > j->options.mask_reference && y > j->options.mask_candidate) {
            r[kept] = x;
            c[kept++] = y;
            continue;
        }
        add_gap(j, p, x, y);
        if (isfinite(x))
            lone_r[lone_rs++] = x;
        if (isfinite(y))
            lone_c[lone_cs++] = y;
    }
    add_lone(j, &p->reference_lone, lone_r, lone_rs);
    add_lone(j, &p->candidate_lone, lone_c, lone_cs);
    if (kept == 0)
        return;
    ls_tile t;
    j->kernels->sum_f64(r, c, kept, &t);
    add_finite_tile(p, &t, kept, first);
    count_tile(j, p, r, c, kept, &t, true);
}

/* The address of a tensor's elements if a kernel can read them in place, else NULL. */
static const void *in_place(const job *j, const ls_view *v, uint64_t first) {
    lockstep_dtype wanted = j->wide ? LOCKSTEP_F64 : LOCKSTEP_F32;
    bool plain = v->dtype == wanted && !v->swap && v->factor == 0 && ls_view_is_contiguous(v);
    return plain ? v->data + first * ls_dtype(wanted)->block_bytes : NULL;
}

static const void *read_tile(const job *j, const ls_view *v, uint64_t first, size_t n, void *buffer) {
    const void *there = in_place(j, v, first);
    if (there != NULL)
        return there;
    if (j->wide)
        ls_view_read_f64(v, first, n, buffer);
    else
        ls_view_read_f32(v, first, n, buffer);
    return buffer;
}

static uint32_t ulp_of_tile(const job *j, const void *r, const void *c, size_t n, uint64_t first) {
    if (j->ulp == ULP_F32)
        return j->kernels->ulp_f32(r, c, n);
    uint16_t reference[TILE], candidate[TILE];
    ls_view_read_raw(j->reference, first, n, reference);
    ls_view_read_raw(j->candidate, first, n, candidate);
    return j->kernels->ulp_16(reference, candidate, n, j->infinity);
}

/* Between r and c = r (1 ± x), of the same sign, there are at most precision * |ln(1 ± x)|
 * steps, and -ln(1 - x) <= x / (1 - x). This excludes most tiles. */
static bool may_raise_ulp(const job *j, const partial *p, const ls_tile *t) {
    if (!t->finite || !(t->max_rel < 0.5))
        return true;
    double bound = j->precision * t->max_rel / (1 - t->max_rel) * (1 + 1e-9);
    return t->max_abs > 0 && bound >= (double)p->max_ulp;
}

static void run_tile(const job *j, partial *p, uint64_t first, size_t n) {
    double buffers[2][TILE];
    const void *r = read_tile(j, j->reference, first, n, buffers[0]);
    const void *c = read_tile(j, j->candidate, first, n, buffers[1]);
    ls_tile t;
    (j->wide ? j->kernels->sum_f64 : j->kernels->sum_f32)(r, c, n, &t);
    if (j->options.row_length > 0)
        ls_row_add(&p->rows, j->kernels, r, c, n, j->wide);
    if (j->options.hash) {
        size_t bytes = n * (j->wide ? sizeof(double) : sizeof(float));
        p->reference_hash = join_hashes(p->reference_hash, XXH3_64bits(r, bytes));
        p->candidate_hash = join_hashes(p->candidate_hash, XXH3_64bits(c, bytes));
    }
    if (j->ulp != ULP_NONE && may_raise_ulp(j, p, &t)) {
        uint32_t steps = ulp_of_tile(j, r, c, n, first);
        p->max_ulp = steps > p->max_ulp ? steps : p->max_ulp;
    }
    if (t.finite && t.reference.min > j->options.mask_reference && t.candidate.min > j->options.mask_candidate) {
        add_finite_tile(p, &t, n, first);
        count_tile(j, p, r, c, n, &t, j->wide);
        return;
    }
    ls_view_read_f64(j->reference, first, n, buffers[0]);
    ls_view_read_f64(j->candidate, first, n, buffers[1]);
    add_tile_with_gaps(j, p, buffers[0], buffers[1], n, first);
}

static void run_chunk(void *context, uint64_t index, int worker) {
    (void)worker;
    const job *j = context;
    partial *p = &j->partials[index];
    uint64_t first = index * j->chunk, count = j->elements - first < j->chunk ? j->elements - first : j->chunk;
    *p = (partial){.max_abs = -1, .max_rel = -1};
    if (j->options.row_length > 0)
        ls_row_begin(&p->rows, first, j->options.row_length);
    for (uint64_t at = 0; at < count; at += TILE)
        run_tile(j, p, first + at, count - at < TILE ? (size_t)(count - at) : TILE);
    ls_view_drop(j->reference, first, count);
    ls_view_drop(j->candidate, first, count);
}

/* -------------------------------------------------------------------- the results */

/* The index of the first element with the maximum, which is in the tile at `first`. */
static uint64_t locate(const job *j, uint64_t first, bool relative, double most) {
    double r[TILE], c[TILE];
    size_t n = j->elements - first < TILE ? (size_t)(j->elements - first) : TILE;
    ls_view_read_f64(j->reference, first, n, r);
    ls_view_read_f64(j->candidate, first, n, c);
    for (size_t i = 0; i < n; i++) {
        double d = c[i] - r[i], value = fabs(d);
        if (relative)
            value = value == 0 ? 0 : value / fabs(r[i]);
        if (value == most && d - d == 0 && r[i] > j->options.mask_reference && c[i] > j->options.mask_candidate)
            return first + i;
    }
    return first;
}

/* Neither term is negative, so nothing cancels. */
static double squares_of(const side *s) { return s->m2 + (double)s->count * (s->mean * s->mean); }

static struct ls_side_stats finish_side(const side *both, const side *lone) {
    side s = *both;
    merge_side(&s, lone);
    if (s.count == 0)
        return (struct ls_side_stats){NAN, NAN, NAN, NAN, NAN, 0};
    return (struct ls_side_stats){s.min, s.max, s.mean, sqrt(s.m2 / (double)s.count), sqrt(squares_of(&s)), 0};
}

static double ratio(double a, double b) { return a == 0 && b == 0 ? 0 : a / b; }

/* The cosine is 1 for two zero vectors and 0 for one. Rounding must not take it out of [-1, 1]. */
static double cosine(const partial *p, double r2, double c2) {
    if (r2 == 0 || c2 == 0)
        return r2 == c2 ? 1 : 0;
    return p->max_abs == 0 ? 1 : fmax(-1, fmin(1, p->dot / sqrt(r2) / sqrt(c2)));
}

static double spread_of(const side *lone) { return lone->count > 0 ? (lone->max - lone->min) / fabs(lone->min) : 0; }

static void finish(const job *j, const partial *p, ls_metrics *m) {
    *m = (ls_metrics){.elements = j->elements, .finite = p->finite, .identical = !p->differ,
                      .beyond = p->counts[LS_SHARES] + p->nonfinite_differ + p->masked_differ, .nan_reference = p->nan_reference,
                      .nan_candidate = p->nan_candidate, .inf_reference = p->inf_reference,
                      .inf_candidate = p->inf_candidate, .nonfinite_differ = p->nonfinite_differ,
                      .masked = p->masked, .masked_differ = p->masked_differ, .masked_rel = p->masked_rel};
    memcpy(m->above, p->counts, sizeof m->above);
    m->reference = finish_side(&p->reference, &p->reference_lone);
    m->candidate = finish_side(&p->candidate, &p->candidate_lone);
    m->max_ulp = j->ulp != ULP_NONE && p->finite > 0 ? (double)p->max_ulp : NAN;
    if (p->finite == 0) {
        m->max_abs = m->max_rel = m->mean_abs = m->mean_rel = m->rmse = m->rel_l2 = m->nmse = m->nmse_var =
            m->max_abs_reference = m->max_abs_candidate = m->max_abs_over_max = m->sqnr_db = m->cosine = NAN;
        return;
    }
    m->masked_spread = fmax(spread_of(&p->reference_lone), spread_of(&p->candidate_lone));
    double n = (double)p->finite, r2 = squares_of(&p->reference), c2 = squares_of(&p->candidate);
    double largest = fmax(fabs(p->reference.min), fabs(p->reference.max));
    m->max_abs = p->max_abs;
    m->max_rel = p->max_rel;
    m->max_abs_at = locate(j, p->max_abs_tile, false, p->max_abs);
    ls_view_read_f64(j->reference, m->max_abs_at, 1, &m->max_abs_reference);
    ls_view_read_f64(j->candidate, m->max_abs_at, 1, &m->max_abs_candidate);
    m->max_rel_at = locate(j, p->max_rel_tile, true, p->max_rel);
    m->mean_abs = p->sum_abs / n;
    m->mean_rel = p->sum_rel / n;
    m->rmse = sqrt(p->sum_squares / n);
    m->rel_l2 = ls_relative_l2(p->sum_squares, r2);
    m->nmse = ls_relative_squares(p->sum_squares, r2);
    m->nmse_var = ratio(p->sum_squares, p->reference.m2);
    m->max_abs_over_max = ratio(p->max_abs, largest);
    m->sqnr_db = p->sum_squares == 0 ? INFINITY : 10 * log10(r2 / p->sum_squares);
    m->cosine = cosine(p, r2, c2);
}

static void choose_ulp(job *j) {
    lockstep_dtype dtype = j->reference->dtype;
    if (dtype != j->candidate->dtype || j->reference->factor != 0 || j->candidate->factor != 0)
        return;
    j->ulp = dtype == LOCKSTEP_F32 ? ULP_F32 : dtype == LOCKSTEP_F16 || dtype == LOCKSTEP_BF16 ? ULP_16 : ULP_NONE;
    j->infinity = dtype == LOCKSTEP_F16 ? 0x7c00 : 0x7f80;
    j->precision = dtype == LOCKSTEP_F32 ? 0x1p24 : dtype == LOCKSTEP_F16 ? 0x1p11 : 0x1p8;
}

static void finish_rows(const partial *partials, uint64_t chunks, uint64_t row_length, ls_metrics *m) {
    ls_row_partial all;
    ls_row_begin(&all, 0, row_length);
    for (uint64_t i = 0; i < chunks; i++)
        ls_row_merge(&all, &partials[i].rows);
    m->rows = all.found;
}

lockstep_status ls_compare(const ls_view *reference, const ls_view *candidate, const ls_compare_options *options,
                           ls_metrics *out_metrics, lockstep_error *error) {
    job j = {.reference = reference, .candidate = candidate, .kernels = ls_kernels_best(), .options = *options,
             .elements = ls_view_elements(reference)};
    j.options.mask_reference = options->mask_reference < 0 ? options->mask_reference : -INFINITY;
    j.options.mask_candidate = options->mask_candidate < 0 ? options->mask_candidate : -INFINITY;
    if (j.elements != ls_view_elements(candidate))
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "the two tensors differ in their number of elements");
    j.wide = !ls_view_is_f32(reference) || !ls_view_is_f32(candidate);
    choose_ulp(&j);
    j.chunk = CHUNK_MIN;
    while (j.chunk < CHUNK_MAX && j.elements / j.chunk > CHUNKS_WANTED)
        j.chunk *= 2;
    uint64_t chunks = j.elements / j.chunk + (j.elements % j.chunk != 0);
    j.partials = calloc(chunks + 1, sizeof *j.partials);
    if (j.partials == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_pool_run(chunks, run_chunk, &j);
    partial total = {.max_abs = -1, .max_rel = -1};
    for (uint64_t i = 0; i < chunks; i++)
        merge(&total, &j.partials[i]);
    finish(&j, &total, out_metrics);
    for (uint64_t i = 0; options->hash && i < chunks; i++) {
        out_metrics->reference.hash = join_hashes(out_metrics->reference.hash, j.partials[i].reference_hash);
        out_metrics->candidate.hash = join_hashes(out_metrics->candidate.hash, j.partials[i].candidate_hash);
    }
    if (options->row_length > 0)
        finish_rows(j.partials, chunks, options->row_length, out_metrics);
    free(j.partials);
    return LOCKSTEP_OK;
}
