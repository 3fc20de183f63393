/* Elementwise operations. */
#include <math.h>

#include "eval/eval.h"
#include "op/unary.h"

/* ------------------------------------------------------------------ of two operands */

typedef double (*binary)(double, double);

static inline double add(double a, double b) { return a + b; }
static inline double sub(double a, double b) { return a - b; }
static inline double mul(double a, double b) { return a * b; }
static inline double divide(double a, double b) { return a / b; }

/* The index in `a` of an element of the result: along each axis, `a` is repeated. */
static uint64_t repeated(const ls_evaluation *e, const ls_array *a, uint64_t at) {
    uint64_t index = 0, stride = 1;
    for (int axis = 0; axis < e->node->rank; axis++) {
        const uint64_t size = ls_eval_size(e, axis), own = ls_array_size(a, axis);
        index += at % size % own * stride;
        stride *= own;
        at /= size;
    }
    return index;
}

static bool repeats(const ls_evaluation *e, const ls_array *a) {
    bool ok = a->elements > 0;
    for (int axis = 0; axis < LOCKSTEP_MAX_RANK; axis++)
        ok = ok && ls_eval_size(e, axis) % ls_array_size(a, axis) == 0;
    return ok;
}

/* The place in a row of `own` elements, which is repeated. */
static inline uint64_t within(uint64_t i, uint64_t own, uint64_t columns) { return own == columns ? i : own == 1 ? 0 : i % own; }

__attribute__((always_inline)) static inline bool combine(ls_evaluation *e, binary function, bool sums) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    if (!repeats(e, a) || !repeats(e, b))
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    const uint64_t columns = ls_eval_size(e, 0), of_a = ls_array_size(a, 0), of_b = ls_array_size(b, 0);
    for (uint64_t row = 0; row < e->node->elements; row += columns) {
        const double *x = a->values + repeated(e, a, row), *y = b->values + repeated(e, b, row);
        for (uint64_t i = 0; i < columns; i++) {
            const double left = x[within(i, of_a, columns)], right = y[within(i, of_b, columns)];
            e->out[row + i] = function(left, right);
            if (sums)
                e->scale[row + i] = fabs(left) + fabs(right);
        }
    }
    return true;
}

bool ls_eval_add(ls_evaluation *e) { return combine(e, add, true); }
bool ls_eval_sub(ls_evaluation *e) { return combine(e, sub, true); }
bool ls_eval_mul(ls_evaluation *e) { return combine(e, mul, false); }
bool ls_eval_div(ls_evaluation *e) { return combine(e, divide, false); }

bool ls_eval_repeat(ls_evaluation *e) {
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *a = e->operands[0];
    if (!repeats(e, a))
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = a->values[repeated(e, a, i)];
    return true;
}

/* a [tokens, used, n] + b [experts, n], where ids [tokens, used] choose the row of b. */
bool ls_eval_add_id(ls_evaluation *e) {
    if (!ls_eval_has(e, 3))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1], *ids = e->operands[2];
    const uint64_t n = ls_eval_size(e, 0), used = ls_eval_size(e, 1);
    if (a->elements != e->node->elements || ls_array_size(b, 0) != n || ids->elements * n != a->elements || ls_array_size(ids, 0) != used)
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < a->elements; i++) {
        const double id = ids->values[i / n];
        if (!(id >= 0 && id < (double)ls_array_size(b, 1)))
            return ls_eval_refuse(e, "an index out of range");
        const double y = b->values[(uint64_t)id * n + i % n];
        e->out[i] = a->values[i] + y;
        e->scale[i] = fabs(a->values[i]) + fabs(y);
    }
    return true;
}

/* x [.., n, n] + down [.., n], for each row, + across [.., n], for each column */
bool ls_eval_add_rel_pos(ls_evaluation *e) {
    if (!ls_eval_has(e, 3))
        return false;
    const ls_array *x = e->operands[0], *across = e->operands[1], *down = e->operands[2];
    const uint64_t n = ls_array_size(across, 0);
    if (n == 0 || x->elements != e->node->elements || x->elements % n != 0 || across->elements != x->elements / n || down->elements != across->elements ||
        across->elements % n != 0)
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const double w = across->values[i / n / n * n + i % n], h = down->values[i / n];
        e->out[i] = x->values[i] + w + h;
        e->scale[i] = fabs(x->values[i]) + fabs(w) + fabs(h);
    }
    return true;
}

/* ------------------------------------------------------------------ of one operand */

static bool has_equal(ls_evaluation *e) {
    if (!ls_eval_has(e, 1))
        return false;
    return e->operands[0]->elements == e->node->elements || ls_eval_refuse(e, "operands whose shapes don't fit");
}

static double sign(double x) { return (double)((x > 0) - (x < 0)); }
static double negative(double x) { return -x; }
static double step(double x) { return x > 0; }

static double (*const unaries[LS_OP_COUNT])(double) = {
    [LS_OP_SQR] = ls_square, [LS_OP_SQRT] = sqrt, [LS_OP_LOG] = log, [LS_OP_SIN] = sin, [LS_OP_COS] = cos, [LS_OP_ABS] = fabs,
    [LS_OP_SGN] = sign, [LS_OP_NEG] = negative, [LS_OP_STEP] = step, [LS_OP_TANH] = tanh, [LS_OP_ELU] = ls_elu, [LS_OP_RELU] = ls_relu,
    [LS_OP_SIGMOID] = ls_sigmoid, [LS_OP_GELU] = ls_gelu_tanh, [LS_OP_GELU_ERF] = ls_gelu_erf, [LS_OP_GELU_QUICK] = ls_gelu_quick, [LS_OP_SILU] = ls_silu,
    [LS_OP_HARDSWISH] = ls_hardswish, [LS_OP_HARDSIGMOID] = ls_hardsigmoid, [LS_OP_EXP] = exp, [LS_OP_EXPM1] = expm1, [LS_OP_SOFTPLUS] = ls_softplus,
    [LS_OP_FLOOR] = floor, [LS_OP_CEIL] = ceil, [LS_OP_ROUND] = round, [LS_OP_TRUNC] = trunc,
};

/* What errors of a function are relative to: of one that ggml looks up in a table of f16 values, for an argument in f16, also what
 * the function changes by where its argument does, and the least that f16 has all its digits for. */
static double magnitude_of(const ls_evaluation *e, double (*function)(double), double x, double y) {
    const double flat = 0.1, step = 0x1p-10, smallest = 0x1p-14, cancels = 0x1p-4;
    const ls_op_id id = e->node->kind->id;
    if (e->node->kind->precision != LS_OP_F16_TABLE || e->node->dialect != LS_DIALECT_GGML)
        return fabs(y) + (id == LS_OP_GELU || id == LS_OP_GELU_ERF ? cancels * fabs(x) : 0); /* x / 2 * (1 + erf), where erf is near -1 */
    return (fabs(y) < flat * fabs(x) ? fmax(fabs(y), fabs(function(x + step * x) - y) / step) : fabs(y)) + smallest;
}

bool ls_eval_unary(ls_evaluation *e) {
    if (!has_equal(e))
        return false;
    double (*const function)(double) = unaries[e->node->kind->id];
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const double x = e->operands[0]->values[i];
        e->out[i] = function(x);
        e->scale[i] = magnitude_of(e, function, x, e->out[i]);
    }
    return true;
}

bool ls_eval_scale(ls_evaluation *e) {
    if (!has_equal(e))
        return false;
    const double scale = ls_eval_parameter(e, "scale", 0), bias = ls_eval_parameter(e, "bias", 0);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        e->out[i] = scale * e->operands[0]->values[i] + bias;
        e->scale[i] = fabs(scale * e->operands[0]->values[i]) + fabs(bias);
    }
    return true;
}

bool ls_eval_clamp(ls_evaluation *e) {
    if (!has_equal(e))
        return false;
    const double min = ls_eval_parameter(e, "min", 0), max = ls_eval_parameter(e, "max", 0);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const double x = e->operands[0]->values[i];
        e->out[i] = x < min ? min : x > max ? max : x;
    }
    return true;
}

bool ls_eval_leaky_relu(ls_evaluation *e) {
    if (!has_equal(e))
        return false;
    const double slope = ls_eval_parameter(e, "negative_slope", 0);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const double x = e->operands[0]->values[i];
        e->out[i] = x > 0 ? x : slope * x;
    }
    return true;
}

bool ls_eval_xielu(ls_evaluation *e) {
    if (!has_equal(e))
        return false;
    const double alpha_n = ls_eval_parameter(e, "alpha_n", 0), alpha_p = ls_eval_parameter(e, "alpha_p", 0);
    const double beta = ls_eval_parameter(e, "beta", 0), eps = ls_eval_parameter(e, "eps", 0);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const double x = e->operands[0]->values[i], least = fmin(x, eps);
        e->out[i] = x > 0 ? alpha_p * x * x + beta * x : (expm1(least) - x) * alpha_n + beta * x;
        e->scale[i] = x > 0 ? fabs(alpha_p * x * x) + fabs(beta * x) : (fabs(expm1(least)) + fabs(x)) * fabs(alpha_n) + fabs(beta * x);
    }
    return true;
}

/* ------------------------------------------------------------------ gates */

typedef double function_of_one(double);

static function_of_one *gate_of(ls_op_id id) {
    return id == LS_OP_REGLU ? ls_relu : id == LS_OP_GEGLU ? ls_gelu_tanh : id == LS_OP_GEGLU_ERF ? ls_gelu_erf : id == LS_OP_GEGLU_QUICK ? ls_gelu_quick : ls_silu;
}

/* The gate and what it multiplies: two operands, or the halves of one, which may be swapped. */
bool ls_eval_gate(ls_evaluation *e) {
    if (!ls_eval_has(e, 1))
        return false;
    const ls_array *a = e->operands[0], *b = e->operands[1];
    const uint64_t n = ls_eval_size(e, 0), width = b == NULL ? 2 * n : n, swapped = ls_eval_parameter(e, "swapped", 0) != 0;
    const double alpha = ls_eval_parameter(e, "alpha", 0), limit = ls_eval_parameter(e, "limit", 0);
    if (n == 0 || ls_array_size(a, 0) != width || a->elements / width * n != e->node->elements || (b != NULL && b->elements != a->elements))
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t at = i / n * width + i % n;
        double x = b != NULL ? a->values[at] : a->values[at + (swapped ? n : 0)];
        double y = b != NULL ? b->values[at] : a->values[at + (swapped ? 0 : n)];
        if (e->node->kind->id == LS_OP_SWIGLU_OAI) {
            x = fmin(x, limit);
            y = fmax(fmin(y, limit), -limit);
            e->out[i] = x / (1 + exp(-alpha * x)) * (y + 1);
            e->scale[i] = fabs(x / (1 + exp(-alpha * x))) * (fabs(y) + 1);
        } else if (e->node->kind->id == LS_OP_SWIGLU_CLAMP) {
            e->out[i] = ls_silu(fmin(x, limit)) * fmax(fmin(y, limit), -limit);
        } else {
            const double gate = gate_of(e->node->kind->id)(x);
            e->out[i] = gate * y;
            e->scale[i] = magnitude_of(e, gate_of(e->node->kind->id), x, gate) * fabs(y);
        }
    }
    return true;
}
