/* ATen's convolutions, of one to three axes, and transposed ones. */
#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "eval/aten.h"
#include "eval/window.h"

/* x [batch, groups * channels, ..], weight [filters, channels, ..] -> [batch, filters, ..]; of a transposed one, the weight is
 * [groups * channels, filters / groups, ..] */
typedef struct convolution {
    ls_evaluation *e;
    bool transposed;
    const ls_array *x, *weight, *bias;
    uint64_t filters, channels, groups, in[LS_WINDOW_AXES], kernel[LS_WINDOW_AXES], out[LS_WINDOW_AXES], in_size, kernel_size, out_size;
    ls_window windows[LS_WINDOW_AXES];
} convolution;

/* A parameter of one axis: a number for all of them, or a list. */
static bool of_axis(ls_evaluation *e, const char *key, int axis, int64_t otherwise, int64_t *out) {
    size_t count;
    const double *items = ls_node_list(e->node, key, &count);
    const double value = items == NULL ? (double)otherwise : count == 1 ? items[0] : (size_t)axis < count ? items[axis] : NAN;
    if (!(fabs(value) < 1 << 24 && value == floor(value)))
        return ls_eval_refuse(e, "a parameter that is out of range");
    *out = (int64_t)value;
    return true;
}

/* The last axes are the windows'; of fewer than three, the first ones have one element. */
static bool take_axes(convolution *c, int axes) {
    ls_evaluation *e = c->e;
    const char *padding = ls_node_text(e->node, "padding");
    c->in_size = c->kernel_size = c->out_size = 1;
    for (int i = 0; i < LS_WINDOW_AXES; i++) {
        const int axis = i - (LS_WINDOW_AXES - axes), inner = LS_WINDOW_AXES - 1 - i;
        ls_window *w = &c->windows[i];
        *w = (ls_window){1, 1, 0, 1};
        c->in[i] = axis < 0 ? 1 : ls_array_size(c->x, inner);
        c->kernel[i] = axis < 0 ? 1 : ls_array_size(c->weight, inner);
        c->out[i] = axis < 0 ? 1 : ls_eval_size(e, inner);
        w->size = (int64_t)c->kernel[i];
        if (axis >= 0 && (!of_axis(e, "stride", axis, 1, &w->stride) || !of_axis(e, "padding", axis, 0, &w->padding) || !of_axis(e, "dilation", axis, 1, &w->dilation)))
            return false;
        if (padding != NULL && strcmp(padding, "same") == 0)
            w->padding = w->dilation * (w->size - 1) / 2;
        if (!ls_window_is_possible(w))
            return ls_eval_refuse(e, "a parameter that is out of range");
        c->in_size *= c->in[i];
        c->kernel_size *= c->kernel[i];
        c->out_size *= c->out[i];
    }
    return true;
}

/* Where along an axis the element lies that the kernel's k-th one is multiplied with; negative or beyond the end: nowhere. */
static int64_t source_along(const convolution *c, int axis, uint64_t at, uint64_t k) {
    const ls_window *w = &c->windows[axis];
    if (!c->transposed)
        return ls_window_source(w, at, k);
    const int64_t spread = (int64_t)at + w->padding - (int64_t)k * w->dilation;
    return spread % w->stride == 0 ? spread / w->stride : -1;
}

/* The kernel's elements from one channel, in its group, to a filter. */
static const double *kernel_of(const convolution *c, uint64_t filter, uint64_t channel) {
    const uint64_t each = c->filters / c->groups, of_x = filter / each * c->channels + channel;
    return c->weight->values + (c->transposed ? of_x * each + filter % each : filter * c->channels + channel) * c->kernel_size;
}

/* One element of the result: of a filter, at a place. */
static double at_place(const convolution *c, uint64_t batch, uint64_t filter, const uint64_t at[LS_WINDOW_AXES], double *scale) {
    const uint64_t first = filter / (c->filters / c->groups) * c->channels;
    double sum = 0, squares = 0;
    for (uint64_t k = 0; k < c->channels * c->kernel_size; k++) {
        uint64_t left = k % c->kernel_size, from = 0, stride = 1;
        bool inside = true;
        for (int i = LS_WINDOW_AXES - 1; i >= 0; i--) {
            const int64_t source = source_along(c, i, at[i], left % c->kernel[i]);
            left /= c->kernel[i];
            inside = inside && source >= 0 && (uint64_t)source < c->in[i];
            from += inside ? (uint64_t)source * stride : 0;
            stride *= c->in[i];
        }
        const uint64_t channel = batch * c->channels * c->groups + first + k / c->kernel_size;
        const double term = inside ? c->x->values[channel * c->in_size + from] * kernel_of(c, filter, k / c->kernel_size)[k % c->kernel_size] : 0;
        sum += term;
        squares += term * term;
    }
    *scale = fmax(fabs(sum), sqrt(squares));
    return sum;
}

static void compute_filter(void *context, uint64_t task, int worker) {
    const convolution *c = context;
    ls_evaluation *e = c->e;
    const uint64_t columns = c->out[LS_WINDOW_AXES - 1], rows = e->node->elements / (columns > 0 ? columns : 1);
    const double bias = c->bias != NULL ? c->bias->values[task % c->filters] : 0;
    (void)worker;
    for (uint64_t i = 0; i < c->out_size; i++) {
        const uint64_t index = task * c->out_size + i, at[LS_WINDOW_AXES] = {i / columns / c->out[1], i / columns % c->out[1], i % columns};
        e->out[index] = NAN;
        if (!ls_eval_wants(e, index / columns, rows))
            continue;
        e->out[index] = at_place(c, task / c->filters, task % c->filters, at, &e->scale[index]) + bias;
        e->scale[index] += fabs(bias);
    }
}

/* How many filters there are, and channels in each group. */
static bool take_weight(convolution *c, int64_t groups) {
    const uint64_t *shape = c->weight->shape;
    c->groups = groups > 0 ? (uint64_t)groups : 1;
    c->filters = c->transposed ? shape[1] * c->groups : shape[0];
    c->channels = c->transposed ? shape[0] / c->groups : shape[1];
    return c->filters != 0 && c->filters % c->groups == 0 && (!c->transposed || shape[0] % c->groups == 0);
}

static bool convolve(ls_evaluation *e, int axes, bool transposed) {
    int64_t groups;
    if (!ls_eval_has(e, 2) || (!transposed && !ls_aten_must_be(e, "transposed", 0)))
        return false;
    const char *mode = ls_node_text(e->node, "padding_mode");
    convolution c = {.e = e, .transposed = transposed, .x = e->operands[0], .weight = e->operands[1], .bias = e->operands[2]};
    if (c.weight->rank != axes + 2 || c.x->rank < axes + 1 || c.x->rank > axes + 2 || e->node->rank != c.x->rank || (mode != NULL && strcmp(mode, "zeros") != 0))
        return ls_eval_refuse(e, "a convolution that is not covered");
    if (!of_axis(e, "groups", 0, 1, &groups) || !take_axes(&c, axes))
        return false;
    const uint64_t batch = c.x->rank > axes + 1 ? c.x->shape[0] : 1;
    if (!take_weight(&c, groups) || c.x->elements != batch * c.channels * c.groups * c.in_size || e->node->elements != batch * c.filters * c.out_size ||
        (c.bias != NULL && c.bias->elements != c.filters))
        return ls_eval_misfit(e);
    if (!ls_eval_affords(e, (double)e->node->elements * (double)(c.channels * c.kernel_size)))
        return false;
    ls_pool_run(batch * c.filters, compute_filter, &c);
    return true;
}

bool ls_aten_conv_1d(ls_evaluation *e) { return convolve(e, 1, false); }
bool ls_aten_conv_2d(ls_evaluation *e) { return convolve(e, 2, false); }
bool ls_aten_conv_3d(ls_evaluation *e) { return convolve(e, 3, false); }
bool ls_aten_conv_transpose_1d(ls_evaluation *e) { return convolve(e, 1, true); }
bool ls_aten_conv_transpose_2d(ls_evaluation *e) { return convolve(e, 2, true); }
