/* Convolutions. Every n-th row of the result is computed where a product would be sampled, too. */
#include <math.h>

#include "base/pool.h"
#include "eval/window.h"

/* Sizes are given from the innermost axis on; axes that an operation doesn't have are 1 wide. */
typedef struct convolution {
    ls_evaluation *e;
    const double *kernel, *x;
    ls_window windows[LS_WINDOW_AXES];
    uint64_t in[LS_WINDOW_AXES], out[LS_WINDOW_AXES];
    uint64_t channels; /* that an element of the result is a sum of */
    uint64_t filters;  /* channels of the result */
    bool is_depthwise; /* channel of the operand by channel */
} convolution;

typedef struct terms {
    double sum, squares;
} terms;

static void take(ls_evaluation *e, uint64_t at, const terms *t) {
    e->out[at] = t->sum;
    e->scale[at] = fmax(fabs(t->sum), sqrt(t->squares));
}

static void add_term(terms *t, double a, double b) {
    t->sum += a * b;
    t->squares += a * b * (a * b);
}

/* ------------------------------------------------------------------ from windows of the operand */

/* The part of an element that comes from one row of the kernel, and one of the operand. */
static void add_row(const convolution *c, const double *kernel, const double *x, uint64_t at, terms *t) {
    for (uint64_t k = 0; k < (uint64_t)c->windows[0].size; k++) {
        const int64_t column = ls_window_source(&c->windows[0], at, k);
        if (column >= 0 && (uint64_t)column < c->in[0])
            add_term(t, kernel[k], x[column]);
    }
}

/* The part of a row of the result that comes from one channel. */
static void add_channel(const convolution *c, const double *kernel, const double *x, const uint64_t at[LS_WINDOW_AXES], terms *t) {
    const uint64_t rows = (uint64_t)c->windows[1].size, planes = (uint64_t)c->windows[2].size;
    for (uint64_t k = 0; k < rows * planes; k++) {
        const int64_t row = ls_window_source(&c->windows[1], at[1], k % rows), plane = ls_window_source(&c->windows[2], at[2], k / rows);
        if (row >= 0 && (uint64_t)row < c->in[1] && plane >= 0 && (uint64_t)plane < c->in[2])
            add_row(c, kernel + k * (uint64_t)c->windows[0].size, x + ((uint64_t)plane * c->in[1] + (uint64_t)row) * c->in[0], at[0], t);
    }
}

/* The number of a row is that of its image, its filter, and its place. */
static void convolve_row(void *context, uint64_t row, int worker) {
    const convolution *c = context;
    const uint64_t of_kernel = (uint64_t)(c->windows[0].size * c->windows[1].size * c->windows[2].size), of_x = c->in[0] * c->in[1] * c->in[2];
    const uint64_t filter = row / c->out[1] / c->out[2] % c->filters, image = row / c->out[1] / c->out[2] / c->filters, own = c->is_depthwise ? c->filters : c->channels;
    uint64_t at[LS_WINDOW_AXES] = {0, row % c->out[1], row / c->out[1] % c->out[2]};
    const bool wanted = ls_eval_wants(c->e, row, c->e->node->elements / c->out[0]);
    (void)worker;
    for (at[0] = 0; at[0] < c->out[0]; at[0]++) {
        terms t = {wanted ? 0 : NAN, 0};
        for (uint64_t i = 0; i < c->channels && wanted; i++)
            add_channel(c, c->kernel + (filter * c->channels + i) * of_kernel, c->x + (image * own + (c->is_depthwise ? filter : i)) * of_x, at, &t);
        take(c->e, row * c->out[0] + at[0], &t);
    }
}

/* Sizes of the axes, after the windows are known. */
static void set_sizes(convolution *c, ls_evaluation *e, int axes) {
    c->e = e;
    c->kernel = e->operands[0]->values;
    c->x = e->operands[1]->values;
    for (int i = 0; i < LS_WINDOW_AXES; i++) {
        c->in[i] = i < axes ? ls_array_size(e->operands[1], i) : 1;
        c->out[i] = i < axes ? ls_eval_size(e, i) : 1;
    }
}

/* Windows fit into the padded operand as often as the result is wide. */
static bool fits(const convolution *c, int axis) {
    const ls_window *w = &c->windows[axis];
    const int64_t room = (int64_t)c->in[axis] + 2 * w->padding - w->dilation * (w->size - 1) - 1;
    return c->in[axis] <= 1 << 27 && room >= 0 && c->out[axis] == (uint64_t)(room / w->stride) + 1;
}

static bool convolve(convolution *c) {
    for (int i = 0; i < LS_WINDOW_AXES; i++)
        if (!fits(c, i))
            return ls_eval_misfit(c->e);
    if (!ls_eval_affords(c->e, (double)c->e->node->elements * (double)c->channels * (double)c->windows[0].size * (double)c->windows[1].size * (double)c->windows[2].size))
        return false;
    if (c->e->node->elements > 0)
        ls_pool_run(c->e->node->elements / c->out[0], convolve_row, c);
    return true;
}

/* kernel [filters, channels, rows, columns], x [batch, channels, rows, columns] -> [batch, filters, windows down, windows across] */
bool ls_eval_conv_2d(ls_evaluation *e) {
    convolution c = {0};
    if (!ls_eval_has(e, 2) || !ls_windows_of(e, e->operands[0], 2, c.windows))
        return false;
    const ls_array *kernel = e->operands[0], *x = e->operands[1];
    set_sizes(&c, e, 2);
    c.channels = ls_array_size(kernel, 2);
    c.filters = ls_array_size(kernel, 3);
    if (kernel->rank > LS_EVAL_AXES || !ls_array_is(x, c.in[0], c.in[1], c.channels, ls_array_size(x, 3)) ||
        !ls_eval_gives(e, c.out[0], c.out[1], c.filters, ls_array_size(x, 3)))
        return ls_eval_misfit(e);
    return convolve(&c);
}

/* kernel [channels, 1, rows, columns], x [batch, channels, rows, columns] -> [batch, channels, windows down, windows across] */
bool ls_eval_conv_2d_dw(ls_evaluation *e) {
    convolution c = {.channels = 1, .is_depthwise = true};
    if (!ls_eval_has(e, 2) || !ls_windows_of(e, e->operands[0], 2, c.windows))
        return false;
    const ls_array *kernel = e->operands[0], *x = e->operands[1];
    set_sizes(&c, e, 2);
    c.filters = ls_array_size(kernel, 3);
    if (!ls_array_is(kernel, (uint64_t)c.windows[0].size, (uint64_t)c.windows[1].size, 1, c.filters) || !ls_array_is(x, c.in[0], c.in[1], c.filters, ls_array_size(x, 3)) ||
        !ls_eval_gives(e, c.out[0], c.out[1], c.filters, ls_array_size(x, 3)))
        return ls_eval_misfit(e);
    return convolve(&c);
}

/* kernel [filters * channels, depth, rows, columns], x [batch * channels, depth, rows, columns] ->
 * [batch * filters, windows deep, windows down, windows across] */
bool ls_eval_conv_3d(ls_evaluation *e) {
    convolution c = {0};
    int64_t channels, filters, batch;
    if (!ls_eval_has(e, 2) || !ls_windows_of(e, e->operands[0], 3, c.windows) || !ls_eval_integer(e, "channels_in", 1, 1 << 24, &channels) ||
        !ls_eval_integer(e, "channels_out", 1, 1 << 24, &filters) || !ls_eval_integer(e, "batch", 1, 1 << 24, &batch))
        return false;
    const ls_array *kernel = e->operands[0], *x = e->operands[1];
    set_sizes(&c, e, 3);
    c.channels = (uint64_t)channels;
    c.filters = (uint64_t)filters;
    if (!ls_array_is(kernel, (uint64_t)c.windows[0].size, (uint64_t)c.windows[1].size, (uint64_t)c.windows[2].size, c.filters * c.channels) ||
        !ls_array_is(x, c.in[0], c.in[1], c.in[2], (uint64_t)batch * c.channels) || !ls_eval_gives(e, c.out[0], c.out[1], c.out[2], (uint64_t)batch * c.filters))
        return ls_eval_misfit(e);
    return convolve(&c);
}

/* ------------------------------------------------------------------ transposed: into windows of the result */

/* Which element of the operand meets element k of the kernel at `at` of the result; false if none does. */
static bool meets(const convolution *c, int axis, uint64_t at, uint64_t k, uint64_t *out) {
    const uint64_t stride = (uint64_t)c->windows[axis].stride;
    *out = (at - k) / stride;
    return k <= at && (at - k) % stride == 0 && *out < c->in[axis];
}

static void add_transposed(const convolution *c, const double *kernel, const double *x, uint64_t row, uint64_t column, terms *t) {
    const uint64_t across = (uint64_t)c->windows[0].size;
    uint64_t from_row, from;
    for (uint64_t j = row % (uint64_t)c->windows[1].stride; j < (uint64_t)c->windows[1].size; j += (uint64_t)c->windows[1].stride)
        for (uint64_t i = column % (uint64_t)c->windows[0].stride; i < across; i += (uint64_t)c->windows[0].stride)
            if (meets(c, 1, row, j, &from_row) && meets(c, 0, column, i, &from))
                add_term(t, kernel[j * across + i], x[from_row * c->in[0] + from]);
}

static void transpose_row(void *context, uint64_t row, int worker) {
    const convolution *c = context;
    const uint64_t of_kernel = (uint64_t)(c->windows[0].size * c->windows[1].size), of_x = c->in[0] * c->in[1];
    const uint64_t filter = row / c->out[1] % c->filters, image = row / c->out[1] / c->filters;
    const bool wanted = ls_eval_wants(c->e, row, c->e->node->elements / c->out[0]);
    (void)worker;
    for (uint64_t column = 0; column < c->out[0]; column++) {
        terms t = {wanted ? 0 : NAN, 0};
        for (uint64_t i = 0; i < c->channels && wanted; i++)
            add_transposed(c, c->kernel + (i * c->filters + filter) * of_kernel, c->x + (image * c->channels + i) * of_x, row % c->out[1], column, &t);
        take(c->e, row * c->out[0] + column, &t);
    }
}

/* The windows must have no padding, and as many elements as there are. */
static bool transpose(convolution *c, int axes) {
    for (int i = 0; i < axes; i++)
        if (c->windows[i].padding != 0 || c->windows[i].dilation != 1 || c->in[i] == 0 || c->in[i] > 1 << 24 ||
            c->out[i] != (c->in[i] - 1) * (uint64_t)c->windows[i].stride + (uint64_t)c->windows[i].size)
            return ls_eval_misfit(c->e);
    const double taps = ceil((double)c->windows[0].size / (double)c->windows[0].stride) * ceil((double)c->windows[1].size / (double)c->windows[1].stride);
    if (!ls_eval_affords(c->e, (double)c->e->node->elements * (double)c->channels * taps))
        return false;
    if (c->e->node->elements > 0)
        ls_pool_run(c->e->node->elements / c->out[0], transpose_row, c);
    return true;
}

/* kernel [channels, filters, width], x [channels, length] -> [filters, (length - 1) * stride + width] */
bool ls_eval_conv_transpose_1d(ls_evaluation *e) {
    convolution c = {0};
    if (!ls_eval_has(e, 2) || !ls_windows_of(e, e->operands[0], 1, c.windows))
        return false;
    const ls_array *kernel = e->operands[0];
    set_sizes(&c, e, 1);
    c.filters = ls_array_size(kernel, 1);
    c.channels = ls_array_size(kernel, 2);
    if (!ls_array_is(kernel, (uint64_t)c.windows[0].size, c.filters, c.channels, 1) || !ls_array_is(e->operands[1], c.in[0], c.channels, 1, 1) ||
        !ls_eval_gives(e, c.out[0], c.filters, 1, 1))
        return ls_eval_misfit(e);
    return transpose(&c, 1);
}

/* kernel [channels, filters, rows, columns], x [batch, channels, rows, columns] -> [batch, filters, .., ..]; one stride for both axes */
bool ls_eval_conv_transpose_2d(ls_evaluation *e) {
    convolution c = {0};
    int64_t stride;
    if (!ls_eval_has(e, 2) || !ls_eval_integer(e, "stride_0", 1, 1 << 23, &stride))
        return false;
    const ls_array *kernel = e->operands[0], *x = e->operands[1];
    for (int i = 0; i < LS_WINDOW_AXES; i++)
        c.windows[i] = (ls_window){.size = i < 2 ? (int64_t)ls_array_size(kernel, i) : 1, .stride = i < 2 ? stride : 1, .dilation = 1};
    set_sizes(&c, e, 2);
    c.filters = ls_array_size(kernel, 2);
    c.channels = ls_array_size(kernel, 3);
    if (kernel->rank > LS_EVAL_AXES || kernel->elements == 0 || !ls_array_is(x, c.in[0], c.in[1], c.channels, ls_array_size(x, 3)) ||
        !ls_eval_gives(e, c.out[0], c.out[1], c.filters, ls_array_size(x, 3)))
        return ls_eval_misfit(e);
    return transpose(&c, 2);
}

/* columns [length, channels * width] -> [channels, (length - 1) * stride + width - 2 * padding]: what overlaps is added up. */
bool ls_eval_col2im_1d(ls_evaluation *e) {
    int64_t stride, channels, padding;
    if (!ls_eval_has(e, 1) || !ls_eval_integer(e, "stride_0", 1, 1 << 23, &stride) || !ls_eval_integer(e, "channels", 1, 1 << 23, &channels) ||
        !ls_eval_integer(e, "padding_0", 0, 1 << 23, &padding))
        return false;
    const ls_array *x = e->operands[0];
    const uint64_t width = ls_array_size(x, 0) / (uint64_t)channels, length = ls_array_size(x, 1), n = ls_eval_size(e, 0), step = (uint64_t)stride, cut = (uint64_t)padding;
    if (width == 0 || length == 0 || !ls_array_is(x, width * (uint64_t)channels, length, 1, 1) || !ls_eval_gives(e, n, (uint64_t)channels, 1, 1) ||
        n + 2 * cut != (length - 1) * step + width)
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t channel = i / n, at = i % n + cut;
        terms t = {0, 0};
        for (uint64_t k = at % step; k < width && k <= at; k += step)
            if ((at - k) / step < length)
                add_term(&t, 1, x->values[((at - k) / step * (uint64_t)channels + channel) * width + k]);
        take(e, i, &t);
    }
    return true;
}
