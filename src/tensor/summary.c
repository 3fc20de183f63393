#include "tensor/summary.h"

#include <math.h>

void ls_summary_init(ls_summary *summary) {
    *summary = (ls_summary){.min = INFINITY, .max = -INFINITY};
}

enum { LANES = 8 }; /* independent sums that a compiler turns into vectors */

/* One addition order whatever the length of the pieces would need a tree; the sums
 * are in double, so the order moves them by rounding at 1e-16 only. */
#define ADD(type)                                                                         \
    double sum[LANES] = {0}, squares[LANES] = {0};                                        \
    double low[LANES], high[LANES];                                                       \
    uint64_t finite = 0, nan = 0, zeros = 0;                                              \
    for (int k = 0; k < LANES; k++)                                                       \
        low[k] = INFINITY, high[k] = -INFINITY;                                           \
    for (size_t i = 0; i < count; i++) {                                                  \
        double v = (double)values[i];                                                     \
        int k = (int)(i % LANES);                                                         \
        int ok = v - v == 0;                                                              \
        finite += (uint64_t)ok;                                                           \
        nan += v != v;                                                                    \
        zeros += v == 0;                                                                  \
        double kept = ok ? v : 0;                                                         \
        sum[k] += kept;                                                                   \
        squares[k] += kept * kept;                                                        \
        low[k] = ok && v < low[k] ? v : low[k];                                           \
        high[k] = ok && v > high[k] ? v : high[k];                                        \
    }                                                                                     \
    summary->finite += finite;                                                            \
    summary->nan += nan;                                                                  \
    summary->inf += count - finite - nan;                                                 \
    summary->zeros += zeros;                                                              \
    for (int k = 0; k < LANES; k++) {                                                     \
        summary->sum += sum[k];                                                           \
        summary->sum_squares += squares[k];                                               \
        summary->min = low[k] < summary->min ? low[k] : summary->min;                     \
        summary->max = high[k] > summary->max ? high[k] : summary->max;                   \
    }

void ls_summary_add_f32(ls_summary *summary, const float *values, size_t count) { ADD(float) }

void ls_summary_add_f64(ls_summary *summary, const double *values, size_t count) { ADD(double) }

void ls_summary_merge(ls_summary *into, const ls_summary *other) {
    into->finite += other->finite;
    into->nan += other->nan;
    into->inf += other->inf;
    into->zeros += other->zeros;
    into->sum += other->sum;
    into->sum_squares += other->sum_squares;
    into->min = other->min < into->min ? other->min : into->min;
    into->max = other->max > into->max ? other->max : into->max;
}

double ls_summary_mean(const ls_summary *summary) { return summary->sum / (double)summary->finite; }

double ls_summary_std(const ls_summary *summary) {
    double mean = ls_summary_mean(summary);
    double variance = summary->sum_squares / (double)summary->finite - mean * mean;
    return sqrt(variance > 0 ? variance : variance == variance ? 0 : variance);
}

double ls_summary_l2(const ls_summary *summary) {
    return summary->finite == 0 ? NAN : sqrt(summary->sum_squares);
}
