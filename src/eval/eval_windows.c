/* Operations on windows of their operand: unfolding for convolutions, pooling, padding. */
#include <math.h>

#include "eval/eval.h"

typedef struct window {
    int64_t size, stride, padding, dilation;
} window;

/* Where element k of the window at `at` lies in the operand; negative or beyond its end: in the padding. */
static int64_t source_of(const window *w, uint64_t at, uint64_t k) { return (int64_t)at * w->stride + (int64_t)k * w->dilation - w->padding; }

static bool is_possible(const window *w) {
    const int64_t most = 1 << 24;
    return w->size > 0 && w->stride > 0 && w->dilation > 0 && w->padding >= 0 && w->size < most && w->stride < most && w->dilation < most && w->padding < most;
}

/* kernel [.., channels, rows, columns] (for its shape), x [batch, channels, rows, columns] ->
 * [batch, windows down, windows across, channels * rows * columns of the kernel]; without rows if it is not 2-D. */
bool ls_eval_im2col(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *kernel = e->operands[0], *x = e->operands[1];
    const bool flat = ls_eval_parameter(e, "is_2d", 0) == 0;
    const int channel_axis = flat ? 1 : 2;
    const window across = {(int64_t)ls_array_size(kernel, 0), (int64_t)ls_eval_parameter(e, "stride_0", 0), (int64_t)ls_eval_parameter(e, "padding_0", 0),
                           (int64_t)ls_eval_parameter(e, "dilation_0", 0)};
    const window down = {flat ? 1 : (int64_t)ls_array_size(kernel, 1), flat ? 1 : (int64_t)ls_eval_parameter(e, "stride_1", 0),
                         flat ? 0 : (int64_t)ls_eval_parameter(e, "padding_1", 0), flat ? 1 : (int64_t)ls_eval_parameter(e, "dilation_1", 0)};
    const uint64_t columns = ls_array_size(x, 0), rows = flat ? 1 : ls_array_size(x, 1), channels = ls_array_size(x, channel_axis), batch = ls_array_size(x, channel_axis + 1);
    if (!is_possible(&across) || !is_possible(&down) || ls_array_size(kernel, channel_axis) != channels)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    const uint64_t size = (uint64_t)(across.size * down.size), windows_across = ls_eval_size(e, 1), windows_down = flat ? 1 : ls_eval_size(e, 2);
    if (ls_eval_size(e, 0) != channels * size || e->node->elements != batch * windows_down * windows_across * channels * size || x->elements != batch * channels * rows * columns)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t within = i % (channels * size), at = i / (channels * size), k = within % size, channel = within / size;
        const int64_t column = source_of(&across, at % windows_across, k % (uint64_t)across.size);
        const int64_t row = source_of(&down, at / windows_across % windows_down, k / (uint64_t)across.size);
        const bool inside = column >= 0 && (uint64_t)column < columns && row >= 0 && (uint64_t)row < rows;
        const uint64_t plane = at / windows_across / windows_down * channels + channel;
        e->out[i] = inside ? x->values[(plane * rows + (uint64_t)row) * columns + (uint64_t)column] : 0;
    }
    return true;
}

/* Kinds of ggml_op_pool. */
enum { POOL_MAX = 0, POOL_AVERAGE = 1 };

/* x [.., columns] or [.., rows, columns]: the largest or the mean of each window. A mean divides by the whole
 * window's size in two axes. */
static bool pool(ls_evaluation *e, bool flat) {
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *x = e->operands[0];
    const double kind = ls_eval_parameter(e, "kind", 0);
    const window across = {(int64_t)ls_eval_parameter(e, "kernel_0", 0), (int64_t)ls_eval_parameter(e, "stride_0", 0), (int64_t)ls_eval_parameter(e, "padding_0", 0), 1};
    const window down = {flat ? 1 : (int64_t)ls_eval_parameter(e, "kernel_1", 0), flat ? 1 : (int64_t)ls_eval_parameter(e, "stride_1", 0),
                         flat ? 0 : (int64_t)ls_eval_parameter(e, "padding_1", 0), 1};
    const uint64_t columns = ls_array_size(x, 0), rows = flat ? 1 : ls_array_size(x, 1), out_columns = ls_eval_size(e, 0), out_rows = flat ? 1 : ls_eval_size(e, 1);
    if ((kind != POOL_MAX && kind != POOL_AVERAGE) || (flat && across.padding != 0))
        return ls_eval_refuse(e, "a kind of pooling that is not covered");
    if (!is_possible(&across) || !is_possible(&down) || columns == 0 || rows == 0 || out_columns == 0 || out_rows == 0 ||
        x->elements / (columns * rows) != e->node->elements / (out_columns * out_rows))
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const double *plane = x->values + i / out_columns / out_rows * rows * columns;
        double most = -INFINITY, sum = 0;
        for (int64_t k = 0; k < across.size * down.size; k++) {
            const int64_t column = source_of(&across, i % out_columns, (uint64_t)(k % across.size)), row = source_of(&down, i / out_columns % out_rows, (uint64_t)(k / across.size));
            if (column < 0 || (uint64_t)column >= columns || row < 0 || (uint64_t)row >= rows)
                continue;
            most = fmax(most, plane[(uint64_t)row * columns + (uint64_t)column]);
            sum += plane[(uint64_t)row * columns + (uint64_t)column];
        }
        e->out[i] = kind == POOL_MAX ? most : sum / (double)(across.size * down.size);
    }
    return true;
}

bool ls_eval_pool_1d(ls_evaluation *e) { return pool(e, true); }
bool ls_eval_pool_2d(ls_evaluation *e) { return pool(e, false); }

/* Zeros before and after the operand along each axis. */
bool ls_eval_pad(ls_evaluation *e) {
    static const char *const before[] = {"before_0", "before_1", "before_2", "before_3"}, *const after[] = {"after_0", "after_1", "after_2", "after_3"};
    enum { AXES = 4 };
    uint64_t first[AXES];
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *x = e->operands[0];
    bool fits = e->node->rank <= AXES && x->rank <= AXES;
    for (int axis = 0; axis < AXES; axis++) {
        const double b = ls_eval_parameter(e, before[axis], 0), a = ls_eval_parameter(e, after[axis], 0);
        fits = fits && b >= 0 && a >= 0 && (double)ls_array_size(x, axis) + a + b == (double)ls_eval_size(e, axis);
        first[axis] = fits ? (uint64_t)b : 0;
    }
    if (!fits)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        uint64_t left = i, index = 0, stride = 1;
        bool inside = true;
        for (int axis = 0; axis < AXES; axis++) {
            const uint64_t at = left % ls_eval_size(e, axis) - first[axis], size = ls_array_size(x, axis); /* wraps in front */
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
