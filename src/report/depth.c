#include "report/depth.h"

#include <math.h>
#include <stdlib.h>

#include "report/styles.h"

/* ------------------------------------------------------------------ points */

static const ls_node *node_of(const ls_diff *d, size_t pair) { return &d->in.candidate.trace->nodes[d->pairs.items[pair].candidate]; }

static size_t count_layers(const ls_diff *d) {
    int last = -1;
    for (size_t i = 0; i < d->pairs.count; i++)
        last = node_of(d, i)->layer > last ? node_of(d, i)->layer : last;
    return last < 0 ? 0 : (size_t)last + 1;
}

/* Pairs of the pass that has most: other passes repeat it, or are shorter. */
static size_t longest_pass(const ls_diff *d) {
    size_t longest = 0, begin = 0;
    for (size_t i = 1; i <= d->pairs.count; i++)
        if (i == d->pairs.count || node_of(d, i)->pass != node_of(d, begin)->pass) {
            longest = i - begin > longest ? i - begin : longest;
            begin = i;
        }
    return longest;
}

static void take(ls_depth_point *point, const ls_pair *p) {
    const bool known = ls_pair_has_metrics(p) && !isnan(p->metrics.rel_l2);
    point->fails = point->fails || ls_pair_fails(p);
    point->is_unknown = point->is_unknown || !known || p->mark.verdict == LS_VERDICT_NONFINITE;
    if (known && !(point->error > p->metrics.rel_l2))
        point->error = p->metrics.rel_l2;
}

bool ls_depth_find(const ls_diff *d, size_t most, ls_depth *out) {
    const size_t layers = count_layers(d), units = layers > 1 ? layers : longest_pass(d), each = (units + most - 1) / most;
    *out = (ls_depth){.has_layers = layers > 1, .count = each > 0 ? (units + each - 1) / each : 0};
    out->points = calloc(out->count + 1, sizeof *out->points);
    if (out->points == NULL)
        return false;
    for (size_t i = 0; i < out->count; i++)
        out->points[i].error = NAN;
    for (size_t i = 0, at = 0; i < d->pairs.count; i++, at++) {
        if (i > 0 && node_of(d, i)->pass != node_of(d, i - 1)->pass)
            at = 0;
        if (!out->has_layers || node_of(d, i)->layer >= 0)
            take(&out->points[(out->has_layers ? (size_t)node_of(d, i)->layer : at) / each], &d->pairs.items[i]);
    }
    return true;
}

void ls_depth_done(ls_depth *depth) {
    free(depth->points);
    *depth = (ls_depth){0};
}

/* ------------------------------------------------------------------ text */

/* One level a decade, the lowest for all below 1e-7: rounding stays at the bottom, and pictures of several runs can be compared. */
enum { LEVELS = 8, LOWEST = -8, LEAST_POINTS = 3 };

static int level_of(double error) {
    const double level = floor(log10(error)) - LOWEST;
    return level < 0 ? 0 : level >= LEVELS ? LEVELS - 1 : (int)level;
}

static void put_point(const ls_screen *screen, const ls_depth_point *point, ls_text *out) {
    static const char *const blocks[LEVELS] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, *const marks[LEVELS] = {"_", ".", ":", "-", "=", "+", "*", "#"};
    if (point->is_unknown)
        ls_text_printf(out, "!");
    else if (!(point->error > 0))
        ls_text_printf(out, "%s", isnan(point->error) ? " " : screen->is_utf8 ? "▁" : "_");
    else
        ls_text_printf(out, "%s", (screen->is_utf8 ? blocks : marks)[level_of(point->error)]);
}

static void put_line(const ls_screen *screen, const ls_diff *d, const ls_depth *depth, ls_text *out) {
    double least = INFINITY, most = 0;
    bool unknown = false;
    ls_text_printf(out, LS_AS_IS "depth      ");
    for (size_t i = 0; i < depth->count; i++) {
        const ls_depth_point *p = &depth->points[i];
        if (i == 0 || p->fails != p[-1].fails)
            ls_text_printf(out, "%s%s", i == 0 ? "" : LS_PLAIN, p->fails ? LS_BAD : LS_GOOD);
        put_point(screen, p, out);
        unknown = unknown || p->is_unknown;
        least = fmin(least, p->error);
        most = fmax(most, p->error);
    }
    ls_text_printf(out, LS_PLAIN "  ");
    if (depth->has_layers)
        ls_text_printf(out, "layers 0–%zu, ", count_layers(d) - 1);
    if (least <= most)
        ls_text_printf(out, "worst relL2 %.1e to %.1e", least, most);
    ls_text_printf(out, "%s\n", unknown ? ", ! unknown" : "");
}

void ls_put_depth(const ls_screen *screen, const ls_diff *d, ls_text *out) {
    enum { BESIDE = 60, MOST = 64, LEAST = 16 };
    const int room = screen->width > 0 ? screen->width - BESIDE : MOST;
    ls_depth depth;
    if (!d->result.order_known || !ls_depth_find(d, (size_t)(room < LEAST ? LEAST : room > MOST ? MOST : room), &depth))
        return;
    if (depth.count >= LEAST_POINTS)
        put_line(screen, d, &depth, out);
    ls_depth_done(&depth);
}
