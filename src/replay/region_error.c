/* How far the end of a region is from the reference's tensor, where several rounded weights lie in the region. What their rounding explains
 * is not known in closed form: the region is computed several times with all weights moved at random within their rounding, and each
 * statistic of the difference is compared with the largest of the same statistic in these draws. A fault that is small against the noise of
 * all elements is added up coherently where it moves one channel, one token, or everything along one direction: that in which a factor on
 * one of the region's weights, or of its operations' numbers, would move the result. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random_place.h"
#include "compare/metrics.h"
#include "eval/sampling.h"
#include "replay/replayer.h"

enum { ITERATIONS = 24, DRAWS = 24, DIRECTIONS = 48, STATISTICS = 6 + DIRECTIONS };
enum { OF_ALL, OF_CHANNEL, OF_TOKEN, OF_PATTERN, OF_MEAN, OF_FACTOR, OF_WEIGHT };
#define MULTIPLICATIONS 0x1p34          /* of all draws of a region */
#define WEIGHT_MAX ((uint64_t)1 << 25)  /* elements of a weight that is moved */
#define HELD_MAX 0x1p26                 /* elements of all draws of an end */
#define PATTERN_MAX ((uint64_t)1 << 20) /* elements of an end that is searched for a pattern */
#define STEP 0x1p-6                     /* of a factor, for its direction */
#define POOLED 2                        /* draws that the mean variance of all channels counts as, beside a channel's own */

/* How much more than the largest of the draws is allowed, or, of sums with a sign, than their standard deviation. docs/replay.md has the
 * largest in clean runs. */
static double allowed(int statistic) {
    static const double of[] = {[OF_ALL] = 1.35, [OF_CHANNEL] = 2.2, [OF_TOKEN] = 2.2, [OF_PATTERN] = 1.35, [OF_MEAN] = 7, [OF_FACTOR] = 6, [OF_WEIGHT] = 6};
    return of[statistic < OF_WEIGHT ? statistic : OF_WEIGHT];
}

/* Differences of one end: what was computed and the reference's, or a draw. */
typedef struct region {
    ls_replayer *w;
    size_t node;
    const ls_array *computed;
    const bool *known;
    uint64_t rows, columns;   /* known ones */
    const double *reference;
    double floor;             /* standard deviation of an element, without the weights' rounding */
    size_t nodes[LS_REPLAYER_REGION], node_count;
    size_t weights[DIRECTIONS], weight_count;
    double *draws[DRAWS], *along[DIRECTIONS], *of_channel, *of_token, *of_mean; /* variances of sums */
    double *per_channel;      /* 1 over the deviation of an element */
    int draw_count, along_count;
} region;

static uint64_t elements_of(const region *r) { return r->rows * r->columns; }

/* ------------------------------------------------------------------ computing */

static bool add_weight(region *r, size_t weight) {
    bool known = weight == LS_NONE;
    for (size_t i = 0; i < r->weight_count && !known; i++)
        known = r->weights[i] == weight;
    if (!known && r->weight_count < DIRECTIONS)
        r->weights[r->weight_count++] = weight;
    return known || r->w->candidate->nodes[weight].elements <= WEIGHT_MAX;
}

/* The weights of a region, and what one computation of it costs; false if one is too large to be moved. */
static bool list_weights(region *r, double *cost) {
    const double move = 16; /* multiplications that moving an element of a weight takes as long as */
    bool ok = true;
    for (size_t i = 0; i <= r->node_count && ok; i++) {
        const ls_node *n = &r->w->candidate->nodes[i < r->node_count ? r->nodes[i] : r->node];
        *cost += (double)n->elements + ls_eval_cost(r->w->candidate, n);
        for (size_t k = 0; k < n->operand_count && ok; k++)
            ok = add_weight(r, ls_replayer_weight(r->w, n, k)) || n->kind->role == LS_OP_ROLE_SELECTION; /* of a table, some rows are read */
    }
    for (size_t i = 0; i < r->weight_count; i++)
        *cost += move * (double)r->w->candidate->nodes[r->weights[i]].elements;
    return ok;
}

static int by_number(const void *a, const void *b) {
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

/* Once with other weights or numbers, less what was computed; NULL if that fails. */
static double *compute_with(region *r, ls_perturbation how) {
    ls_array other = {0};
    const char *reason;
    const uint64_t rows = r->computed->elements / r->columns;
    double *out = malloc((elements_of(r) + 1) * sizeof *out);
    r->w->perturbed = how;
    for (size_t i = 0; i < r->node_count; i++)
        ls_replayer_unfix(r->w, r->nodes[i]);
    bool ok = out != NULL;
    for (size_t i = 0; i < r->node_count && ok; i++)
        ok = ls_replayer_refresh(r->w, r->nodes[i], &reason);
    ok = ok && ls_replayer_compute(r->w, r->node, false, &other, NULL, &reason);
    ls_replayer_untry(r->w);
    r->w->perturbed = (ls_perturbation){.weight = LS_NONE};
    for (uint64_t row = 0, kept = 0; ok && row < rows; row++) {
        for (uint64_t i = 0; i < r->columns && r->known[row]; i++) {
            const uint64_t at = row * r->columns + i;
            const double d = other.values[at] - r->computed->values[at], own = r->w->steps[r->node].value.values[at];
            out[kept * r->columns + i] = isfinite(d) && isfinite(own) && own > LS_MASK_BELOW ? d : 0;
        }
        kept += r->known[row];
    }
    ls_array_release(&other);
    if (!ok)
        free(out);
    return ok ? out : NULL;
}

/* The direction in which a number of one of the operations would move the result. */
static void add_number(region *r, size_t node, size_t k) {
    struct ls_alteration altered;
    if (r->w->altered != NULL || !ls_alteration_of_number(r->w->candidate, node, k, 1 + STEP, &altered))
        return;
    r->w->altered = &altered;
    r->along[r->along_count] = compute_with(r, (ls_perturbation){.weight = LS_NONE});
    r->w->altered = NULL;
    r->along_count += r->along[r->along_count] != NULL;
}

static bool draw_all(region *r, double cost) {
    const double most = fmin(fmin(MULTIPLICATIONS, r->w->draws_left) / fmax(cost, 1), HELD_MAX / (double)elements_of(r));
    const int count = DRAWS; /* what fewer show is too uncertain */
    if (most < count)
        return false;
    for (int i = 0; i < count; i++)
        if ((r->draws[r->draw_count] = compute_with(r, (ls_perturbation){.draw = (uint64_t)i + 1, .weight = LS_NONE})) != NULL)
            r->draw_count++;
    for (size_t i = 0; i < r->weight_count && r->draw_count == count && (double)(count + r->along_count) < most; i++)
        if ((r->along[r->along_count] = compute_with(r, (ls_perturbation){.weight = r->weights[i], .factor = 1 + STEP})) != NULL)
            r->along_count++;
    for (size_t i = 0; i <= r->node_count && r->draw_count == count; i++)
        for (size_t k = 0; k < LS_ALTERATION_NUMBERS && r->along_count < DIRECTIONS && (double)(count + r->along_count) < most; k++)
            add_number(r, i < r->node_count ? r->nodes[i] : r->node, k);
    r->w->draws_left -= cost * (r->draw_count + r->along_count);
    return r->draw_count == count;
}

/* ------------------------------------------------------------------ statistics */

static double product_of(const double *a, const double *b, uint64_t n) {
    enum { LANES = 8 }; /* sums that don't wait for each other */
    double sums[LANES] = {0}, sum = 0;
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            sums[k] += a[i + (uint64_t)k] * b[i + (uint64_t)k];
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (int k = 0; k < LANES; k++)
        sum += sums[k];
    return sum;
}

/* Sums over the channel or the token of each element. */
static void add_sums(const region *r, const double *d, double *channel, double *token, double *mean) {
    for (uint64_t row = 0; row < r->rows; row++)
        for (uint64_t i = 0; i < r->columns; i++) {
            const double own = d[row * r->columns + i];
            channel[i] += own * own;
            token[row] += own * own;
            mean[i] += own;
        }
}

/* Of few draws, a channel's own variance says little: the mean of all is part of it. */
static void pool(double *sums, uint64_t count, int draws, double floor) {
    double all = 0;
    for (uint64_t i = 0; i < count; i++)
        all += sums[i];
    for (uint64_t i = 0; i < count; i++)
        sums[i] = (sums[i] + POOLED * all / (double)count / draws) / (draws + POOLED) + floor;
}

static bool sum_draws(region *r) {
    double *mean = malloc((r->columns + 1) * sizeof *mean);
    const double floor = r->floor * r->floor;
    r->of_channel = calloc(r->columns + 1, sizeof *r->of_channel);
    r->of_token = calloc(r->rows + 1, sizeof *r->of_token);
    r->of_mean = calloc(r->columns + 1, sizeof *r->of_mean);
    r->per_channel = calloc(r->columns + 1, sizeof *r->per_channel);
    const bool ok = mean != NULL && r->per_channel != NULL && r->of_channel != NULL && r->of_token != NULL && r->of_mean != NULL;
    for (int i = 0; i < r->draw_count && ok; i++) {
        memset(mean, 0, r->columns * sizeof *mean);
        add_sums(r, r->draws[i], r->of_channel, r->of_token, mean);
        for (uint64_t c = 0; c < r->columns; c++)
            r->of_mean[c] += mean[c] * mean[c];
    }
    free(mean);
    if (ok) {
        pool(r->of_channel, r->columns, r->draw_count, floor * (double)r->rows);
        pool(r->of_token, r->rows, r->draw_count, floor * (double)r->columns);
        for (uint64_t c = 0; c < r->columns; c++)
            r->per_channel[c] = r->of_channel[c] > 0 ? sqrt((double)r->rows / r->of_channel[c]) : 0;
        pool(r->of_mean, r->columns, r->draw_count, floor * (double)r->rows);
    }
    return ok;
}

static double largest_ratio(const double *sums, const double *variances, uint64_t count) {
    double most = 0;
    for (uint64_t i = 0; i < count; i++)
        most = fmax(most, variances[i] > 0 ? sums[i] / variances[i] : 0);
    return sqrt(most);
}

/* The largest singular value of the difference, each channel in units of its noise: a channel within the region moves all of the end's
 * channels by one pattern, times a number for each token. */
static double largest_pattern(const region *r, const double *d) {
    double *v = malloc((r->columns + 1) * sizeof *v), *next = malloc((r->columns + 1) * sizeof *next), *scaled = malloc((elements_of(r) + 1) * sizeof *scaled), squares = 0;
    const bool ok = v != NULL && next != NULL && scaled != NULL;
    for (uint64_t c = 0; ok && c < r->columns; c++)
        v[c] = 1 + (double)ls_random_place(c, 1 << 10) / (1 << 10);
    for (uint64_t row = 0; ok && row < r->rows; row++)
        for (uint64_t c = 0; c < r->columns; c++)
            scaled[row * r->columns + c] = d[row * r->columns + c] * r->per_channel[c];
    for (int step = 0; ok && step < ITERATIONS; step++) {
        const double norm = sqrt(product_of(v, v, r->columns));
        memset(next, 0, r->columns * sizeof *next);
        squares = 0;
        for (uint64_t row = 0; row < r->rows && norm > 0; row++) {
            const double *own = scaled + row * r->columns, along = product_of(own, v, r->columns) / norm;
            for (uint64_t c = 0; c < r->columns; c++)
                next[c] += own[c] * along;
            squares += along * along;
        }
        double *swap = v;
        v = next;
        next = swap;
    }
    free(v);
    free(next);
    free(scaled);
    return sqrt(squares);
}

/* All statistics of one difference. */
static bool measure(const region *r, const double *d, double out[STATISTICS]) {
    double *sums = calloc(2 * r->columns + r->rows + 1, sizeof *sums), *token = sums + r->columns, *mean = token + r->rows;
    if (sums == NULL)
        return false;
    add_sums(r, d, sums, token, mean);
    for (uint64_t c = 0; c < r->columns; c++)
        mean[c] *= mean[c];
    out[OF_ALL] = sqrt(product_of(d, d, elements_of(r)));
    out[OF_CHANNEL] = largest_ratio(sums, r->of_channel, r->columns);
    out[OF_TOKEN] = r->rows > 1 ? largest_ratio(token, r->of_token, r->rows) : 0;
    out[OF_PATTERN] = r->rows > 1 && elements_of(r) <= PATTERN_MAX ? largest_pattern(r, d) : 0;
    out[OF_MEAN] = r->rows > 3 ? largest_ratio(mean, r->of_mean, r->columns) : 0;
    out[OF_FACTOR] = fabs(product_of(d, r->reference, elements_of(r)));
    for (int k = 0; k < r->along_count; k++)
        out[OF_WEIGHT + k] = fabs(product_of(d, r->along[k], elements_of(r)));
    free(sums);
    return true;
}

/* In units of what is allowed. The floor of f32 counts where the draws are smaller than that. */
static bool judge(region *r, const double *difference, double out[STATISTICS]) {
    double own[STATISTICS] = {0}, drawn[STATISTICS] = {0}, one[STATISTICS] = {0};
    const double floor[] = {[OF_ALL] = r->floor * sqrt((double)elements_of(r)), [OF_CHANNEL] = 1, [OF_TOKEN] = 1, [OF_PATTERN] = 1, [OF_MEAN] = 1};
    bool ok = measure(r, difference, own);
    for (int i = 0; i < r->draw_count && ok; i++) {
        ok = measure(r, r->draws[i], one);
        for (int k = 0; k < OF_WEIGHT + r->along_count && ok; k++)
            drawn[k] = k < OF_MEAN ? fmax(drawn[k], one[k]) : k == OF_MEAN ? 1 : drawn[k] + one[k] * one[k] / r->draw_count;
    }
    const double squares = product_of(r->reference, r->reference, elements_of(r));
    const double shrinkage = squares > 0 ? drawn[OF_ALL] * drawn[OF_ALL] / sqrt(squares) : 0; /* rounding may shrink a weight by as much, which draws don't */
    for (int k = 0; k < OF_WEIGHT + r->along_count && ok; k++) {
        const double *direction = k == OF_FACTOR ? r->reference : k >= OF_WEIGHT ? r->along[k - OF_WEIGHT] : NULL;
        const double least = direction != NULL ? r->floor * sqrt(product_of(direction, direction, elements_of(r))) : floor[k];
        const double typical = direction != NULL ? sqrt(drawn[k]) : drawn[k];
        const double shrinks = direction != NULL ? shrinkage * sqrt(product_of(direction, direction, elements_of(r))) : 0;
        out[k] = own[k] > shrinks ? (own[k] - shrinks) / (fmax(typical, least) * allowed(k)) : 0;
    }
    return ok;
}

static void done(region *r) {
    for (int i = 0; i < r->draw_count; i++)
        free(r->draws[i]);
    for (int i = 0; i < r->along_count; i++)
        free(r->along[i]);
    free(r->of_channel);
    free(r->of_token);
    free(r->of_mean);
    free(r->per_channel);
    free(r);
}

bool ls_replayer_judge_region(ls_replayer *w, size_t node, const ls_array *computed, const bool *known, const ls_differences *t, double floor, ls_region_error *out) {
    region *r = calloc(1, sizeof *r);
    double ratio[STATISTICS] = {0}, cost = 0, squares = 0;
    *out = (ls_region_error){0};
    if (r == NULL)
        return false;
    *r = (region){.w = w, .node = node, .computed = computed, .known = known, .rows = t->rows, .columns = t->columns, .reference = t->reference, .floor = floor};
    r->node_count = ls_replayer_region(w, node, r->nodes, LS_REPLAYER_REGION);
    qsort(r->nodes, r->node_count, sizeof *r->nodes, by_number);
    const bool ok = r->node_count < LS_REPLAYER_REGION && list_weights(r, &cost) && draw_all(r, cost) && sum_draws(r) && judge(r, t->difference, ratio);
    for (int i = 0; i < r->draw_count; i++)
        squares += product_of(r->draws[i], r->draws[i], elements_of(r)) / r->draw_count;
    *out = (ls_region_error){.squares = squares, .all = ratio[OF_ALL], .channel = fmax(fmax(ratio[OF_CHANNEL], ratio[OF_TOKEN]), ratio[OF_PATTERN]), .mean = ratio[OF_MEAN], .factor = ratio[OF_FACTOR]};
    for (int k = 0; k < r->along_count; k++)
        out->factor = fmax(out->factor, ratio[OF_WEIGHT + k]);
    done(r);
    return ok;
}
