/* ATen's pooling: the mean or the largest element of each window of an image, and where the largest is. */
#include <math.h>
#include <string.h>

#include "eval/aten.h"
#include "eval/window.h"

/* x [.., rows, columns]; of one axis, there is one row. Adaptive windows have no sizes: they divide the image among them. */
typedef struct pooling {
    ls_evaluation *e;
    bool largest, adaptive, counts_padding;
    double divisor; /* 0: the window's size */
    uint64_t in[2], out[2];
    ls_window windows[2];
} pooling;

static bool names(const ls_evaluation *e, const char *lower, const char *upper) { return strstr(e->node->op, lower) != NULL || strstr(e->node->op, upper) != NULL; }

/* A parameter of one of the last axes. */
static bool along(ls_evaluation *e, const char *key, int axis, int axes, int64_t otherwise, int64_t *out) {
    size_t count;
    const double *items = ls_node_list(e->node, key, &count);
    const int at = axis - (2 - axes);
    const double value = items == NULL || count == 0 ? (double)otherwise : count == 1 ? items[0] : (size_t)at < count ? items[at] : NAN;
    if (!(fabs(value) < 1 << 24 && value == floor(value)))
        return ls_eval_refuse(e, "a parameter that is out of range");
    *out = (int64_t)value;
    return true;
}

static bool take_windows(pooling *p, int axes) {
    ls_evaluation *e = p->e;
    for (int i = 0; i < 2; i++) {
        ls_window *w = &p->windows[i];
        *w = (ls_window){1, 1, 0, 1};
        p->in[i] = i < 2 - axes ? 1 : ls_array_size(e->operands[0], 1 - i);
        p->out[i] = i < 2 - axes ? 1 : ls_eval_size(e, 1 - i);
        if (i < 2 - axes || p->adaptive)
            continue;
        if (!along(e, "kernel_size", i, axes, 0, &w->size) || !along(e, "stride", i, axes, w->size, &w->stride) || !along(e, "padding", i, axes, 0, &w->padding) ||
            !along(e, "dilation", i, axes, 1, &w->dilation))
            return false;
        if (!ls_window_is_possible(w))
            return ls_eval_refuse(e, "a parameter that is out of range");
    }
    return true;
}

/* The elements of a window along an axis: `first`, and every `step`-th one below `last`; `size` of them with those in the padding. */
typedef struct span {
    int64_t first, last, step, size;
} span;

static span span_of(const pooling *p, int axis, uint64_t at) {
    const uint64_t in = p->in[axis], out = p->out[axis];
    const ls_window *w = &p->windows[axis];
    if (p->adaptive)
        return (span){(int64_t)(at * in / out), (int64_t)(((at + 1) * in + out - 1) / out), 1, (int64_t)(((at + 1) * in + out - 1) / out - at * in / out)};
    int64_t first = ls_window_source(w, at, 0), last = first + (w->size - 1) * w->dilation + 1;
    const int64_t padded = last < (int64_t)in + w->padding ? last : (int64_t)in + w->padding;
    const int64_t size = padded - first;
    if (first < 0)
        first += (-first + w->dilation - 1) / w->dilation * w->dilation;
    return (span){first, last < (int64_t)in ? last : (int64_t)in, w->dilation, size};
}

static void pool_at(const pooling *p, uint64_t i) {
    const uint64_t column = i % p->out[1], row = i / p->out[1] % p->out[0], plane = i / p->out[1] / p->out[0];
    const double *image = p->e->operands[0]->values + plane * p->in[0] * p->in[1];
    const span rows = span_of(p, 0, row), columns = span_of(p, 1, column);
    double most = -INFINITY, sum = 0, magnitudes = 0;
    int64_t where = rows.first * (int64_t)p->in[1] + columns.first, count = 0;
    for (int64_t y = rows.first; y < rows.last; y += rows.step)
        for (int64_t x = columns.first; x < columns.last; x += columns.step) {
            const double value = image[y * (int64_t)p->in[1] + x];
            where = value > most || isnan(value) ? y * (int64_t)p->in[1] + x : where;
            most = value > most || isnan(value) ? value : most;
            sum += value;
            magnitudes += value * value;
            count++;
        }
    const double divisor = p->divisor != 0 ? p->divisor : (double)(p->counts_padding ? rows.size * columns.size : count);
    p->e->out[i] = !p->largest ? sum / divisor : ls_aten_is_result(p->e, 0) ? most : (double)where;
    if (!p->largest)
        p->e->scale[i] = fmax(fabs(sum), sqrt(magnitudes)) / fabs(divisor);
}

/* How many elements all windows have. */
static double cost_of(const pooling *p) {
    double each = 1;
    for (int i = 0; i < 2; i++)
        each *= p->adaptive ? (double)p->in[i] / (double)p->out[i] + 2 : (double)p->windows[i].size;
    return each * (double)p->e->node->elements;
}

static bool pool(ls_evaluation *e, int axes) {
    const double *counts = ls_node_parameter(e->node, "count_include_pad");
    pooling p = {.e = e, .largest = names(e, "max_pool", "MaxPool"), .adaptive = names(e, "adaptive_", "Adaptive"), .counts_padding = counts == NULL || *counts != 0,
                 .divisor = ls_eval_parameter(e, "divisor_override", 0)};
    if (!ls_eval_has(e, 1) || (!p.largest && !ls_aten_is_result(e, 0)) || !take_windows(&p, axes))
        return false;
    const uint64_t image = p.in[0] * p.in[1], result = p.out[0] * p.out[1];
    if (e->operands[0]->rank < axes || e->node->rank < axes || image == 0 || result == 0 || e->operands[0]->elements / image != e->node->elements / result ||
        e->operands[0]->elements % image != 0)
        return ls_eval_misfit(e);
    if (!ls_eval_affords(e, cost_of(&p)))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++)
        pool_at(&p, i);
    return true;
}

bool ls_aten_pool_1d(ls_evaluation *e) { return pool(e, 1); }
bool ls_aten_pool_2d(ls_evaluation *e) { return pool(e, 2); }
