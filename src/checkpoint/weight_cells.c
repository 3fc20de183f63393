/* Judges codes by their own grid. A scheme rounds the numbers of a cell to each code, so a number outside
 * of the cell is another weight, however small its error. Where the other side is itself a block type, the
 * cells say what error is typical. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/pool.h"
#include "checkpoint/weight_steps.h"

enum { TILE = 1024, CHUNK_ROWS = 64 };
enum { OUTSIDE = 1, UNLIKELY = 2 }; /* of a group: an element lies outside of its cell; too much error even for calibrated codes */

typedef struct sums {
    double n, difference, error2, expected2, other2, codes2, product; /* expected2: of numbers that are evenly distributed in their cells */
    uint64_t outside;
} sums;

typedef struct cells {
    const ls_view *codes, *other;
    int codes_side;
    uint64_t rows, columns, group, groups; /* groups: of a row */
    double atol, rtol;                     /* of the other side's rounding */
    unsigned char *flags;                  /* of each group */
    sums *chunks;
    bool both;                             /* have codes: cells of the other side count, too */
} cells;

static void add(sums *into, const sums *more) {
    into->n += more->n;
    into->difference += more->difference;
    into->error2 += more->error2;
    into->expected2 += more->expected2;
    into->other2 += more->other2;
    into->codes2 += more->codes2;
    into->product += more->product;
    into->outside += more->outside;
}

/* The square of the width of a cell; of an outermost one, as if its code were in the middle. */
static double width2(float value, float low, float high) {
    const double below = (double)value - (double)low, above = (double)high - (double)value;
    if (isinf(below) && isinf(above))
        return 0;
    const double width = isinf(below) ? 2 * above : isinf(above) ? 2 * below : (double)high - (double)low;
    return width * width;
}

static void see(const cells *c, sums *s, double x, float value, float low, float high) {
    const double in_bfloat16 = 0x1p-8; /* as which a tool may have loaded the original, or divided by the scale */
    const double d = (double)value - x, slack = c->atol + (c->rtol + in_bfloat16) * fabs(x);
    s->n++;
    s->difference += d;
    s->error2 += d * d;
    s->expected2 += width2(value, low, high) / 12;
    s->other2 += x * x;
    s->codes2 += (double)value * (double)value;
    s->product += x * (double)value;
    s->outside += !(x >= (double)low - slack && x <= (double)high + slack);
}

/* What is left of the squares of the errors after the best factor, or constant. */
static double without_factor(const sums *s) { return s->codes2 > 0 ? s->other2 - s->product * s->product / s->codes2 : s->other2; }
static double without_shift(const sums *s) { return s->error2 - s->difference * s->difference / s->n; }
static double factor_of(const sums *s) { return s->codes2 > 0 ? s->product / s->codes2 : 1; }

/* A wrong scale or zero point: a factor, or a constant of half a step or more, leaves little of the error, and no more
 * than rounding gives. */
static bool is_systematic(const sums *s) {
    const double small = 0.1, share = 0.4, most = 8, factor = factor_of(s), half_step2 = 0.25 * 12 * s->expected2;
    const bool scaled = fabs(1 - factor) > small && without_factor(s) <= share * s->error2 && without_factor(s) <= most * factor * factor * s->expected2;
    const bool shifted = s->difference * s->difference / s->n > half_step2 && without_shift(s) <= share * s->error2 && without_shift(s) <= most * s->expected2;
    return scaled || shifted;
}

/* GPTQ moves numbers before it rounds them, by what earlier columns lost. For inputs that are independent, correlated, or of very
 * different sizes, the squares of the errors added up to at most 2.7 times what rounding gives, and 16.4 times in a group; none of
 * the groups was systematic; a tensor's best factor was at most 0.05 + 1.43 times the typical NMSE from 1 (bench/gptq_error.py). */
static bool group_is_likely(const sums *s) { return s->error2 <= 50 * s->expected2 && !is_systematic(s); }
static bool tensor_is_likely(const sums *s) {
    const double typical = s->other2 > 0 ? s->expected2 / s->other2 : 0;
    return s->error2 <= 6 * s->expected2 && !is_systematic(s) && fabs(1 - factor_of(s)) <= 0.05 + 2 * typical;
}

static sums read_group(const cells *c, uint64_t first, uint64_t count) {
    double x[TILE];
    float value[TILE], low[TILE], high[TILE], low2[TILE], high2[TILE];
    sums s = {0};
    for (uint64_t at = 0; at < count; at += TILE) {
        const size_t n = count - at < TILE ? (size_t)(count - at) : TILE;
        ls_view_read_f64(c->other, first + at, n, x);
        ls_view_read_f32(c->codes, first + at, n, value);
        ls_view_read_cells(c->codes, first + at, n, low, high);
        if (c->both)
            ls_view_read_cells(c->other, first + at, n, low2, high2);
        for (size_t i = 0; i < n; i++) {
            see(c, &s, x[i], value[i], low[i], high[i]);
            s.expected2 += c->both ? width2((float)x[i], low2[i], high2[i]) / 12 : 0;
        }
    }
    return s;
}

static void run_rows(void *context, uint64_t index, int worker) {
    (void)worker;
    cells *c = context;
    const uint64_t end = (index + 1) * CHUNK_ROWS < c->rows ? (index + 1) * CHUNK_ROWS : c->rows;
    for (uint64_t row = index * CHUNK_ROWS; row < end; row++)
        for (uint64_t g = 0; g < c->groups; g++) {
            const uint64_t first = g * c->group, left = c->columns - first;
            sums s = read_group(c, row * c->columns + first, left < c->group ? left : c->group);
            c->flags[row * c->groups + g] = (unsigned char)((s.outside > 0 ? OUTSIDE : 0) | (group_is_likely(&s) ? 0 : UNLIKELY));
            add(&c->chunks[index], &s);
        }
}

static uint64_t count_flags(const cells *c, unsigned char flag, uint64_t *out_first) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < c->rows * c->groups; i++)
        if ((c->flags[i] & flag) != 0 && count++ == 0)
            *out_first = i;
    return count;
}

/* The groups that are wrong, unless most are. */
static void put_region(const cells *c, uint64_t bad, uint64_t first, char *out, size_t capacity) {
    const uint64_t row = first / c->groups, column = first % c->groups * c->group;
    const uint64_t end = column + c->group < c->columns ? column + c->group : c->columns;
    char place[120];
    if (2 * bad > c->rows * c->groups || c->rows * c->groups == 1)
        return;
    if (c->groups == 1)
        snprintf(place, sizeof place, "row %llu", (unsigned long long)row);
    else
        snprintf(place, sizeof place, "row %llu, columns %llu to %llu", (unsigned long long)row, (unsigned long long)column, (unsigned long long)end - 1);
    if (bad == 1)
        snprintf(out, capacity, "%s", place);
    else
        snprintf(out, capacity, "%llu of %llu %s, the first %s%s", (unsigned long long)bad, (unsigned long long)(c->rows * c->groups), c->groups == 1 ? "rows" : "groups",
                 c->groups == 1 ? "" : "in ", place);
}

/* One group is wrong: by a factor, or by a constant. */
static void find_group_cause(const cells *c, const sums *all, uint64_t bad, ls_weight_pair *pair) {
    const uint64_t first = bad % c->groups * c->group, left = c->columns - first;
    const sums s = read_group(c, bad / c->groups * c->columns + first, left < c->group ? left : c->group);
    const double factor = factor_of(&s), shift = s.difference / s.n, enough = 2;
    const double scaled = without_factor(&s), shifted = without_shift(&s), least = fmin(scaled, shifted);
    ls_cause cause;
    if (!(factor > 0) || !(s.other2 > 0) || !(enough * least < s.error2))
        return;
    if (scaled <= shifted) {
        cause = (ls_cause){.id = "group-scale", .sentence = "in that group, the scale is {factor:3} times what it should be (its NMSE: {before:2}, without that {after:2})"};
        ls_cause_set_number(&cause, "factor", 1 / factor);
    } else {
        cause = (ls_cause){.id = "group-shift", .sentence = "in that group, {shift:2} was added to all values (its NMSE: {before:2}, without that {after:2})"};
        ls_cause_set_number(&cause, "shift", c->codes_side == LS_CANDIDATE ? shift : -shift);
    }
    ls_cause_set_number(&cause, "before", s.error2 / s.other2);
    ls_cause_set_number(&cause, "after", fmax(least, 0) / s.other2);
    cause.residual = all->other2 > 0 ? (all->error2 - s.error2 + fmax(least, 0)) / all->other2 : 0;
    pair->cause = cause;
}

/* Rounded element by element, or calibrated: then most groups have elements outside of their cells. */
static void judge(const cells *c, const sums *all, ls_weight_pair *pair) {
    uint64_t first = 0, unlikely_first = 0;
    const uint64_t outside = count_flags(c, OUTSIDE, &first), unlikely = count_flags(c, UNLIKELY, &unlikely_first);
    const bool calibrated = c->codes->codes->is_calibrated && 2 * outside > c->rows * c->groups;
    const uint64_t bad = calibrated ? unlikely : outside;
    const bool same = bad == 0 && (!calibrated || tensor_is_likely(all)) && (all->codes2 > 0) == (all->other2 > 0);
    pair->metrics.beyond = all->outside;
    pair->allowed = all->other2 > 0 ? (calibrated ? 6 : 2) * all->expected2 / all->other2 : 0;
    pair->verdict = same ? LS_VERDICT_MATCH : LS_VERDICT_DIFFERS;
    if (bad == 1)
        find_group_cause(c, all, calibrated ? unlikely_first : first, pair);
    if (!same && bad > 0)
        put_region(c, bad, calibrated ? unlikely_first : first, pair->region, sizeof pair->region);
}

/* Both sides round: only the sum of their errors can be judged. */
static void judge_sum(const sums *all, double of_other, ls_weight_pair *pair) {
    const double margin = 2, typical = all->other2 > 0 ? all->expected2 / all->other2 : 0;
    pair->allowed = margin * (typical + of_other);
    pair->verdict = pair->metrics.nmse <= pair->allowed ? LS_VERDICT_MATCH : pair->metrics.nmse < 0.5 ? LS_VERDICT_WORSE : LS_VERDICT_DIFFERS;
}

static lockstep_status run(cells *c, sums *out_all, lockstep_error *error) {
    const uint64_t chunks = c->rows / CHUNK_ROWS + 1;
    c->flags = calloc((size_t)(c->rows * c->groups) + 1, sizeof *c->flags);
    c->chunks = calloc((size_t)chunks, sizeof *c->chunks);
    if (c->flags == NULL || c->chunks == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_pool_run(chunks, run_rows, c);
    for (uint64_t i = 0; i < chunks; i++)
        add(out_all, &c->chunks[i]);
    return LOCKSTEP_OK;
}

lockstep_status ls_weight_judge_codes(ls_weight_pair *pair, const ls_view sides[LS_SIDES], const lockstep_dtype types[LS_SIDES], lockstep_error *error) {
    const int side = sides[LS_CANDIDATE].codes != NULL ? LS_CANDIDATE : LS_REFERENCE;
    const ls_view *codes = &sides[side], *other = &sides[1 - side];
    cells c = {.codes = codes, .codes_side = side, .other = other, .both = other->codes != NULL, .columns = codes->rank > 0 ? codes->shape[codes->rank - 1] : 1};
    double own_atol, own_rtol;
    const uint64_t elements = ls_view_elements(codes);
    if (pair->verdict == LS_VERDICT_IDENTICAL || pair->verdict == LS_VERDICT_NONFINITE || elements == 0)
        return LOCKSTEP_OK;
    const bool adjacent = codes->rank > 0 && codes->strides[codes->rank - 1] == 1 && codes->codes->group > 0;
    c.group = adjacent && codes->codes->group < c.columns ? codes->codes->group : c.columns;
    c.groups = c.columns / c.group + (c.columns % c.group != 0);
    c.rows = elements / c.columns;
    const bool counted = other->codes == NULL && ls_quality_rounding(types[1 - side], types[1 - side], &own_atol, &own_rtol);
    if (counted)
        c.atol = own_atol / 2, c.rtol = own_rtol / 2;
    sums all = {0};
    lockstep_status status = run(&c, &all, error);
    if (status == LOCKSTEP_OK && counted)
        judge(&c, &all, pair);
    else if (status == LOCKSTEP_OK)
        judge_sum(&all, c.both ? 0 : ls_quality_allowed(types[1 - side], types[1 - side]) / 2, pair);
    free(c.flags);
    free(c.chunks);
    return status;
}
