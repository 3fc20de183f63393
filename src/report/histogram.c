#include "report/histogram.h"

#include <math.h>
#include <stdio.h>

#include "base/columns.h"
#include "report/styles.h"

enum { LEAST_ELEMENTS = 16, BATCH = 1024 };

/* As in NumPy: the bin by its width, corrected where rounding has put a value on the wrong side of an edge. */
static size_t bin_of(const ls_histogram *h, double value) {
    const double width = (h->edges[LS_HISTOGRAM_BINS] - h->edges[0]) / LS_HISTOGRAM_BINS;
    size_t bin = (size_t)((value - h->edges[0]) / width);
    bin = bin < LS_HISTOGRAM_BINS ? bin : LS_HISTOGRAM_BINS - 1;
    if (bin > 0 && value < h->edges[bin])
        bin--;
    else if (bin + 1 < LS_HISTOGRAM_BINS && value >= h->edges[bin + 1])
        bin++;
    return bin;
}

bool ls_histogram_of(const ls_view *view, const ls_stats *stats, ls_histogram *out) {
    const double span = stats->max - stats->min;
    double values[BATCH];
    *out = (ls_histogram){0};
    if (stats->elements < LEAST_ELEMENTS || !(span > 0) || !isfinite(span) || !(span / LS_HISTOGRAM_BINS > 0))
        return false;
    for (int i = 0; i < LS_HISTOGRAM_BINS; i++)
        out->edges[i] = i * (span / LS_HISTOGRAM_BINS) + stats->min;
    out->edges[LS_HISTOGRAM_BINS] = stats->max;
    for (uint64_t at = 0; at < stats->elements; at += BATCH) {
        const size_t count = stats->elements - at < BATCH ? (size_t)(stats->elements - at) : BATCH;
        ls_view_read_f64(view, at, count, values);
        for (size_t i = 0; i < count; i++)
            if (isfinite(values[i]))
                out->counts[bin_of(out, values[i])]++;
    }
    return true;
}

/* So many eighths of a column, or whole columns where there are no characters for eighths. */
static void put_bar(const ls_screen *screen, double share, int width, ls_text *out) {
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const long all = (long)ceil(share * width * 8);
    for (long i = 0; i < (screen->is_utf8 ? all / 8 : (all + 7) / 8); i++)
        ls_text_printf(out, screen->is_utf8 ? "█" : "#");
    if (screen->is_utf8)
        ls_text_printf(out, "%s", eighths[all % 8]);
}

void ls_put_histogram(const ls_screen *screen, const ls_histogram *h, ls_text *out) {
    enum { BESIDE = 50, MOST = 75, LEAST = 10 };
    const int room = screen->width > 0 && screen->width < MOST ? screen->width : MOST, width = room - BESIDE > LEAST ? room - BESIDE : LEAST;
    uint64_t most = 1;
    for (int i = 0; i < LS_HISTOGRAM_BINS; i++)
        most = h->counts[i] > most ? h->counts[i] : most;
    for (int i = 0; i < LS_HISTOGRAM_BINS; i++) {
        ls_text_printf(out, LS_AS_IS "%12.5g to %12.5g%s %12llu  ", h->edges[i], h->edges[i + 1], i + 1 < LS_HISTOGRAM_BINS ? ")" : "]", (unsigned long long)h->counts[i]);
        put_bar(screen, (double)h->counts[i] / (double)most, width, out);
        ls_text_printf(out, "\n");
    }
}
