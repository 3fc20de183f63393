/* How the values of a tensor are distributed. */
#ifndef LS_REPORT_HISTOGRAM_H
#define LS_REPORT_HISTOGRAM_H

#include "report/screen.h"
#include "tensor/stats.h"

enum { LS_HISTOGRAM_BINS = 10 };

typedef struct ls_histogram {
    double edges[LS_HISTOGRAM_BINS + 1];
    uint64_t counts[LS_HISTOGRAM_BINS]; /* values v with edges[i] <= v < edges[i + 1]; the last bin has its upper edge, too */
} ls_histogram;

/* Of the finite values of a view; `stats` are the view's. False where there is nothing to see: few values, or all the same. */
bool ls_histogram_of(const ls_view *view, const ls_stats *stats, ls_histogram *out_histogram);
/* Appends a line a bin. */
void ls_put_histogram(const ls_screen *screen, const ls_histogram *histogram, ls_text *out);

#endif
