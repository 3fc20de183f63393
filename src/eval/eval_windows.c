/* Operations on windows of their operand: unfolding for convolutions, pooling, padding. */
#include <math.h>

#include "eval/window.h"

bool ls_windows_of(ls_evaluation *e, const ls_array *kernel, int axes, ls_window out[LS_WINDOW_AXES]) {
    static const char *const keys[LS_WINDOW_AXES][3] = {
        {"stride_0", "padding_0", "dilation_0"}, {"stride_1", "padding_1", "dilation_1"}, {"stride_2", "padding_2", "dilation_2"}};
    for (int i = 0; i < LS_WINDOW_AXES; i++) {
        out[i] = (ls_window){.size = 1, .stride = 1, .dilation = 1};
        if (i >= axes)
            continue;
        out[i].size = (int64_t)ls_array_size(kernel, i);
        if (!ls_eval_integer(e, keys[i][0], 1, INT32_MAX, &out[i].stride) || !ls_eval_integer(e, keys[i][1], 0, INT32_MAX, &out[i].padding) ||
            !ls_eval_integer(e, keys[i][2], 1, INT32_MAX, &out[i].dilation))
            return false;
        if (!ls_window_is_possible(&out[i]))
            return ls_eval_misfit(e);
    }
    return true;
}

/* kernel [.., channels, rows, columns] (for its shape), x [batch, channels, rows, columns] ->
 * [batch, windows down, windows across, channels * rows * columns of the kernel]; without rows if it is not 2-D. */
bool ls_eval_im2col(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *kernel = e->operands[0], *x = e->operands[1];
    const bool flat = ls_eval_parameter(e, "is_2d", 0) == 0;
    const int channel_axis = flat ? 1 : 2;
    ls_window w[LS_WINDOW_AXES];
    if (!ls_windows_of(e, kernel, flat ? 1 : 2, w))
        return false;
    const ls_window across = w[0], down = w[1];
    const uint64_t columns = ls_array_size(x, 0), rows = flat ? 1 : ls_array_size(x, 1), channels = ls_array_size(x, channel_axis), batch = ls_array_size(x, channel_axis + 1);
    if (ls_array_size(kernel, channel_axis) != channels)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    const uint64_t size = (uint64_t)(across.size * down.size), windows_across = ls_eval_size(e, 1), windows_down = flat ? 1 : ls_eval_size(e, 2);
    if (ls_eval_size(e, 0) != channels * size || e->node->elements != batch * windows_down * windows_across * channels * size || x->elements != batch * channels * rows * columns)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t within = i % (channels * size), at = i / (channels * size), k = within % size, channel = within / size;
        const int64_t column = ls_window_source(&across, at % windows_across, k % (uint64_t)across.size);
        const int64_t row = ls_window_source(&down, at / windows_across % windows_down, k / (uint64_t)across.size);
        const bool inside = column >= 0 && (uint64_t)column < columns && row >= 0 && (uint64_t)row < rows;
        const uint64_t plane = at / windows_across / windows_down * channels + channel;
        e->out[i] = inside ? x->values[(plane * rows + (uint64_t)row) * columns + (uint64_t)column] : 0;
    }
    return true;
}

/* kernel [.., depth, rows, columns] (for its shape), x [batch * channels, depth, rows, columns] ->
 * [batch * windows deep, windows down, windows across, channels * depth * rows * columns of the kernel] */
bool ls_eval_im2col_3d(ls_evaluation *e) {
    ls_window w[LS_WINDOW_AXES];
    int64_t count;
    if (!ls_eval_has(e, 2) || !ls_windows_of(e, e->operands[0], LS_WINDOW_AXES, w) || !ls_eval_integer(e, "channels", 1, 1 << 24, &count))
        return false;
    const ls_array *x = e->operands[1];
    const uint64_t channels = (uint64_t)count, batch = ls_array_size(x, 3) / channels, deep = batch > 0 ? ls_eval_size(e, 3) / batch : 0;
    const double size = (double)channels * (double)w[0].size * (double)w[1].size * (double)w[2].size;
    if (x->rank > LS_EVAL_AXES || e->node->rank > LS_EVAL_AXES || deep == 0 || batch * channels != ls_array_size(x, 3) || batch * deep != ls_eval_size(e, 3) ||
        size != (double)ls_eval_size(e, 0))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        uint64_t at[LS_EVAL_AXES], windows[LS_WINDOW_AXES], source[LS_EVAL_AXES];
        ls_eval_place(e, i, at);
        uint64_t k = at[0];
        bool inside = true;
        windows[0] = at[1], windows[1] = at[2], windows[2] = at[3] % deep;
        for (int axis = 0; axis < LS_WINDOW_AXES; axis++) {
            source[axis] = (uint64_t)ls_window_source(&w[axis], windows[axis], k % (uint64_t)w[axis].size);
            inside = inside && source[axis] < ls_array_size(x, axis); /* wraps in front */
            k /= (uint64_t)w[axis].size;
        }
        source[3] = at[3] / deep * channels + k;
        e->out[i] = inside ? x->values[ls_array_index(x, source)] : 0;
    }
    return true;
}

/* Kinds of ggml_op_pool. */
enum { POOL_MAX = 0, POOL_AVERAGE = 1 };

/* The windows of a pooling, whose sizes are parameters. */
static bool set_pool_windows(ls_evaluation *e, int axes, ls_window out[2]) {
    static const char *const keys[2][3] = {{"kernel_0", "stride_0", "padding_0"}, {"kernel_1", "stride_1", "padding_1"}};
    for (int i = 0; i < 2; i++) {
        out[i] = (ls_window){.size = 1, .stride = 1, .dilation = 1};
        if (i < axes && (!ls_eval_integer(e, keys[i][0], 1, INT32_MAX, &out[i].size) || !ls_eval_integer(e, keys[i][1], 1, INT32_MAX, &out[i].stride) ||
                         !ls_eval_integer(e, keys[i][2], 0, INT32_MAX, &out[i].padding)))
            return false;
    }
    return true;
}

/* The part of a window that is inside: [first, last). */
static void clamp_window(const ls_window *w, uint64_t at, uint64_t limit, uint64_t *out_first, uint64_t *out_last) {
    const int64_t first = ls_window_source(w, at, 0), last = first + w->size;
    *out_first = first < 0 ? 0 : (uint64_t)first;
    *out_last = last < 0 ? 0 : (uint64_t)last < limit ? (uint64_t)last : limit;
}

/* The largest or the mean of a window of an image. A mean divides by the whole window's size. */
static double pool_window(const double *image, uint64_t columns, uint64_t rows, const ls_window w[2], uint64_t column, uint64_t row, bool mean) {
    uint64_t left, right, top, bottom;
    double most = -INFINITY, sum = 0;
    clamp_window(&w[0], column, columns, &left, &right);
    clamp_window(&w[1], row, rows, &top, &bottom);
    for (uint64_t y = top; y < bottom; y++)
        for (uint64_t x = left; x < right; x++) {
            most = fmax(most, image[y * columns + x]);
            sum += image[y * columns + x];
        }
    return mean ? sum / (double)(w[0].size * w[1].size) : most;
}

/* x [.., columns] or [.., rows, columns] */
static bool pool(ls_evaluation *e, bool flat) {
    ls_window w[2];
    if (!ls_eval_has(e, 1) || !set_pool_windows(e, flat ? 1 : 2, w))
        return false;
    const ls_array *x = e->operands[0];
    const double kind = ls_eval_parameter(e, "kind", 0);
    const uint64_t columns = ls_array_size(x, 0), rows = flat ? 1 : ls_array_size(x, 1), out_columns = ls_eval_size(e, 0), out_rows = flat ? 1 : ls_eval_size(e, 1);
    if ((kind != POOL_MAX && kind != POOL_AVERAGE) || (flat && w[0].padding != 0))
        return ls_eval_refuse(e, "a kind of pooling that is not covered");
    if (!ls_window_is_possible(&w[0]) || !ls_window_is_possible(&w[1]) || columns == 0 || rows == 0 || out_columns == 0 || out_rows == 0 ||
        x->elements / (columns * rows) != e->node->elements / (out_columns * out_rows))
        return ls_eval_misfit(e);
    if (!ls_eval_affords(e, (double)e->node->elements * fmin((double)w[0].size, (double)columns) * fmin((double)w[1].size, (double)rows)))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = pool_window(x->values + i / out_columns / out_rows * rows * columns, columns, rows, w, i % out_columns, i / out_columns % out_rows, kind == POOL_AVERAGE);
    return true;
}

bool ls_eval_pool_1d(ls_evaluation *e) { return pool(e, true); }
bool ls_eval_pool_2d(ls_evaluation *e) { return pool(e, false); }

/* Zeros before and after the operand along each axis, or its other end. */
bool ls_eval_pad(ls_evaluation *e) {
    static const char *const before[] = {"before_0", "before_1", "before_2", "before_3"}, *const after[] = {"after_0", "after_1", "after_2", "after_3"};
    enum { AXES = 4 };
    uint64_t first[AXES];
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *x = e->operands[0];
    const bool circular = ls_eval_parameter(e, "circular", 0) != 0;
    bool fits = e->node->rank <= AXES && x->rank <= AXES;
    for (int axis = 0; axis < AXES; axis++) {
        const double b = ls_eval_parameter(e, before[axis], 0), a = ls_eval_parameter(e, after[axis], 0);
        fits = fits && b >= 0 && a >= 0 && (double)ls_array_size(x, axis) + a + b == (double)ls_eval_size(e, axis);
        first[axis] = fits ? (uint64_t)b : 0;
        fits = fits && (!circular || (b <= (double)ls_array_size(x, axis) && a <= (double)ls_array_size(x, axis)));
    }
    if (!fits)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        uint64_t left = i, index = 0, stride = 1;
        bool inside = true;
        for (int axis = 0; axis < AXES; axis++) {
            const uint64_t size = ls_array_size(x, axis), place = left % ls_eval_size(e, axis) + (circular ? size : 0);
            const uint64_t at = circular ? (place - first[axis]) % size : place - first[axis]; /* wraps in front */
            left /= ls_eval_size(e, axis);
            inside = inside && at < size;
            index += inside ? at * stride : 0;
            stride *= size;
        }
        e->out[i] = inside ? x->values[index] : 0;
    }
    return true;
}

/* Mirrored along the innermost axis, without its ends. */
bool ls_eval_pad_reflect(ls_evaluation *e) {
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *x = e->operands[0];
    const double before = ls_eval_parameter(e, "before", 0), after = ls_eval_parameter(e, "after", 0);
    const uint64_t size = ls_array_size(x, 0), n = ls_eval_size(e, 0);
    if (size == 0 || !(before >= 0 && before < (double)size && after >= 0 && after < (double)size) || (double)size + before + after != (double)n ||
        x->elements / size != e->node->elements / n)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const int64_t at = (int64_t)(i % n) - (int64_t)before, last = (int64_t)size - 1, inside = at < 0 ? -at : at > last ? 2 * last - at : at;
        e->out[i] = x->values[i / n * size + (uint64_t)inside];
    }
    return true;
}

/* x [sequences, channels, width - 1 + tokens], kernel [channels, width] -> [sequences, tokens, channels] */
bool ls_eval_ssm_conv(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *x = e->operands[0], *kernel = e->operands[1];
    const uint64_t width = ls_array_size(kernel, 0), channels = ls_array_size(kernel, 1), tokens = ls_eval_size(e, 1), sequences = ls_eval_size(e, 2), length = ls_array_size(x, 0);
    if (width == 0 || length != width - 1 + tokens || ls_array_size(x, 1) != channels || ls_eval_size(e, 0) != channels || x->elements != sequences * channels * length ||
        e->node->elements != sequences * tokens * channels || kernel->elements != channels * width)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t channel = i % channels, token = i / channels % tokens, sequence = i / channels / tokens;
        double sum = 0, squares = 0;
        for (uint64_t k = 0; k < width; k++) {
            const double term = x->values[(sequence * channels + channel) * length + token + k] * kernel->values[channel * width + k];
            sum += term;
            squares += term * term;
        }
        e->out[i] = sum;
        e->scale[i] = fmax(fabs(sum), sqrt(squares));
    }
    return true;
}
