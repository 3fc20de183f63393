#include "eval/term_squares.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP = 32, WORTH_GROUPS = 8 * GROUP /* columns */, ALONE_MAX = 8 /* one of so many columns */ };
#define SHARE_MAX 20    /* of one square, in terms of its group's mean */
#define OF_ROW 64       /* one of so many parts of the row's sum, */
#define OF_ROW_LEAST 12 /* and in terms of the row's mean */

/* ------------------------------------------------------------------ b */

static uint64_t end_of_group(const ls_term_squares *s, uint64_t group) {
    const uint64_t end = (group + 1) * s->group;
    return end < s->columns ? end : s->columns;
}

static double sum_of_squares(const double *values, uint64_t from, uint64_t to, double *out_largest) {
    double sum = 0;
    *out_largest = 0;
    for (uint64_t i = from; i < to; i++) {
        const double square = values[i] * values[i];
        sum += square;
        *out_largest = square > *out_largest ? square : *out_largest;
    }
    return sum;
}

static double smaller(double a, double b) { return b < a ? b : a; } /* `a` where `b` is not a number */

/* Marks what has more than its share in a group of a row, or in the row. What is not finite has, too. */
static void mark_in_group(const double *row, uint64_t from, uint64_t to, double of_row, bool *alone) {
    double largest;
    const double sum = sum_of_squares(row, from, to, &largest), most = smaller(SHARE_MAX * sum / (double)(to - from), of_row);
    for (uint64_t i = from; !(largest <= most) && i < to; i++)
        alone[i] = alone[i] || !(row[i] * row[i] <= most);
}

/* Lists the columns that count by themselves. False if out of memory. */
static bool list_alone(ls_term_squares *s, const double *b, uint64_t rows) {
    bool *alone = calloc(s->columns + 1, sizeof *alone);
    for (uint64_t row = 0; alone != NULL && row < rows; row++) {
        double largest;
        const double sum = sum_of_squares(b + row * s->columns, 0, s->columns, &largest), part = sum / OF_ROW, least = OF_ROW_LEAST * sum / (double)s->columns;
        for (uint64_t group = 0; group < s->groups; group++)
            mark_in_group(b + row * s->columns, group * s->group, end_of_group(s, group), part > least ? part : least, alone);
    }
    s->alone = alone != NULL ? malloc((s->columns + 1) * sizeof *s->alone) : NULL;
    for (uint64_t i = 0; s->alone != NULL && i < s->columns; i++)
        if (alone[i])
            s->alone[s->alone_count++] = i;
    free(alone);
    return s->alone != NULL;
}

/* Of one row: the means over what is left in each group, then those that count by themselves. `rest`: room for the row. */
static void square_row_of_b(const ls_term_squares *s, const double *row, double *rest, float *out) {
    uint64_t next = 0;
    double largest;
    memcpy(rest, row, s->columns * sizeof *rest);
    for (uint64_t i = 0; i < s->alone_count; i++) {
        out[s->groups + i] = (float)(row[s->alone[i]] * row[s->alone[i]]);
        rest[s->alone[i]] = 0;
    }
    for (uint64_t group = 0; group < s->groups; group++) {
        const uint64_t from = group * s->group, to = end_of_group(s, group), earlier = next;
        while (next < s->alone_count && s->alone[next] < to)
            next++;
        const uint64_t left = to - from - (next - earlier);
        out[group] = left > 0 ? (float)(sum_of_squares(rest, from, to, &largest) / (double)left) : 0;
    }
}

bool ls_term_squares_init(ls_term_squares *s, const double *b, uint64_t rows, uint64_t columns, bool in_groups) {
    const bool grouped = in_groups && columns >= WORTH_GROUPS;
    *s = (ls_term_squares){.columns = columns, .group = grouped ? GROUP : 1};
    s->groups = (columns + s->group - 1) / s->group;
    if (grouped && !list_alone(s, b, rows))
        return false;
    if (s->alone_count > columns / ALONE_MAX) {
        s->group = 1;
        s->groups = columns;
        s->alone_count = 0;
    }
    s->width = s->groups + s->alone_count;
    s->of_b = malloc((rows * s->width + 1) * sizeof *s->of_b);
    double *rest = malloc((columns + 1) * sizeof *rest);
    const bool ok = s->of_b != NULL && rest != NULL;
    for (uint64_t row = 0; ok && row < rows; row++)
        square_row_of_b(s, b + row * columns, rest, s->of_b + row * s->width);
    free(rest);
    return ok;
}

void ls_term_squares_done(ls_term_squares *s) {
    free(s->alone);
    free(s->of_b);
    *s = (ls_term_squares){0};
}

/* ------------------------------------------------------------------ a */

typedef float lanes __attribute__((vector_size(32), aligned(4)));
enum { LANES = 8 };

__attribute__((always_inline)) static inline float sum_of_group(const float *values, uint64_t count) {
    lanes of_lanes = {0};
    float sum = 0;
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const lanes x = *(const lanes *)(const void *)(values + i);
        of_lanes += x * x;
    }
    for (; i < count; i++)
        sum += values[i] * values[i];
    return sum + ((of_lanes[0] + of_lanes[1]) + (of_lanes[2] + of_lanes[3])) + ((of_lanes[4] + of_lanes[5]) + (of_lanes[6] + of_lanes[7]));
}

__attribute__((always_inline)) static inline void square_row(const ls_term_squares *s, const float *row, float *out) {
    if (s->group == 1)
        for (uint64_t i = 0; i < s->columns; i++)
            out[i] = row[i] * row[i];
    else
        for (uint64_t group = 0; group < s->groups; group++)
            out[group] = sum_of_group(row + group * GROUP, end_of_group(s, group) - group * GROUP);
    for (uint64_t i = 0; i < s->alone_count; i++) {
        const float square = row[s->alone[i]] * row[s->alone[i]], left = out[s->alone[i] / GROUP] - square;
        out[s->alone[i] / GROUP] = left > 0 ? left : 0;
        out[s->groups + i] = square;
    }
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void square_row_avx2(const ls_term_squares *s, const float *row, float *out) { square_row(s, row, out); }
#endif

void ls_term_squares_of_a(const ls_term_squares *s, const float *a, uint64_t rows, float *out) {
#ifdef __x86_64__
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    for (uint64_t row = 0; has_avx2 && row < rows; row++)
        square_row_avx2(s, a + row * s->columns, out + row * s->width);
    if (has_avx2)
        return;
#endif
    for (uint64_t row = 0; row < rows; row++)
        square_row(s, a + row * s->columns, out + row * s->width);
}
