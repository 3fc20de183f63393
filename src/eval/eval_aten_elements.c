/* ATen's elementwise operations of several arguments, each of which is a tensor or a number. */
#include <math.h>

#include "base/pool.h"
#include "eval/aten.h"

enum { ARGUMENTS = 4 };

/* Computes one element from its arguments; `scale` is NaN, and may be set (see ls_evaluation). */
typedef double (*element)(const double x[ARGUMENTS], double *scale);

static double add(const double *x, double *scale) {
    *scale = fabs(x[0]) + fabs(x[2] * x[1]);
    return x[0] + x[2] * x[1];
}

static double sub(const double *x, double *scale) {
    *scale = fabs(x[0]) + fabs(x[2] * x[1]);
    return x[0] - x[2] * x[1];
}

static double rsub(const double *x, double *scale) {
    *scale = fabs(x[1]) + fabs(x[2] * x[0]);
    return x[1] - x[2] * x[0];
}

static double addcmul(const double *x, double *scale) {
    *scale = fabs(x[0]) + fabs(x[3] * x[1] * x[2]);
    return x[0] + x[3] * x[1] * x[2];
}

/* Python's remainder has the divisor's sign. */
static double modulo(const double *x, double *scale) {
    *scale = fabs(x[0]);
    return x[0] - x[1] * floor(x[0] / x[1]);
}

static double truncated_modulo(const double *x, double *scale) {
    *scale = fabs(x[0]);
    return fmod(x[0], x[1]);
}

/* NaN wins, unlike in fmax. */
static double maximum(double a, double b) { return isnan(a) || a > b ? a : b; }
static double minimum(double a, double b) { return isnan(a) || a < b ? a : b; }

static double clamp(const double *x, double *scale) {
    (void)scale;
    return isnan(x[0]) ? x[0] : fmin(fmax(x[0], x[1]), x[2]);
}

#define ELEMENT(name, expression)                              \
    static double name(const double *x, double *scale) {       \
        (void)scale;                                           \
        return expression;                                     \
    }
ELEMENT(mul, x[0] * x[1])
ELEMENT(divide, x[0] / x[1])
ELEMENT(divide_floor, floor(x[0] / x[1]))
ELEMENT(divide_trunc, trunc(x[0] / x[1]))
ELEMENT(power, pow(x[0], x[1]))
ELEMENT(greater, maximum(x[0], x[1]))
ELEMENT(lesser, minimum(x[0], x[1]))
ELEMENT(eq, x[0] == x[1])
ELEMENT(ne, x[0] != x[1])
ELEMENT(lt, x[0] < x[1])
ELEMENT(le, x[0] <= x[1])
ELEMENT(gt, x[0] > x[1])
ELEMENT(ge, x[0] >= x[1])
ELEMENT(logical_and, x[0] != 0 && x[1] != 0)
ELEMENT(logical_or, x[0] != 0 || x[1] != 0)
ELEMENT(logical_xor, (x[0] != 0) != (x[1] != 0))
ELEMENT(choose, x[0] != 0 ? x[1] : x[2])
ELEMENT(fill_masked, x[1] != 0 ? x[2] : x[0])

/* Integers beyond 2^63, and what is none, are nobody's flags. */
static int64_t bits(double x) { return fabs(x) < 0x1p63 ? (int64_t)x : 0; }
ELEMENT(bitwise_and, (double)(bits(x[0]) & bits(x[1])))
ELEMENT(bitwise_or, (double)(bits(x[0]) | bits(x[1])))
ELEMENT(bitwise_xor, (double)(bits(x[0]) ^ bits(x[1])))

/* An argument that may be left out has a value then; NaN for one that may not. */
typedef struct argument {
    const char *name;
    double otherwise;
} argument;

typedef struct operation {
    ls_op_id id;
    element function;
    argument arguments[ARGUMENTS]; /* as ATen's schema has them */
} operation;

#define TWO {{"self", NAN}, {"other", NAN}}
#define WITH_ALPHA {{"self", NAN}, {"other", NAN}, {"alpha", 1}}
static const operation operations[] = {
    {LS_OP_ADD, add, WITH_ALPHA}, {LS_OP_SUB, sub, WITH_ALPHA}, {LS_OP_RSUB, rsub, WITH_ALPHA}, {LS_OP_MUL, mul, TWO}, {LS_OP_DIV, divide, TWO},
    {LS_OP_POW, power, {{"self", NAN}, {"exponent", NAN}}}, {LS_OP_FLOOR_DIVIDE, divide_floor, TWO}, {LS_OP_REMAINDER, modulo, TWO},
    {LS_OP_FMOD, truncated_modulo, TWO}, {LS_OP_MAXIMUM, greater, TWO}, {LS_OP_MINIMUM, lesser, TWO},
    {LS_OP_ADDCMUL, addcmul, {{"self", NAN}, {"tensor1", NAN}, {"tensor2", NAN}, {"value", 1}}},
    {LS_OP_EQ, eq, TWO}, {LS_OP_NE, ne, TWO}, {LS_OP_LT, lt, TWO}, {LS_OP_LE, le, TWO}, {LS_OP_GT, gt, TWO}, {LS_OP_GE, ge, TWO},
    {LS_OP_LOGICAL_AND, logical_and, TWO}, {LS_OP_LOGICAL_OR, logical_or, TWO}, {LS_OP_LOGICAL_XOR, logical_xor, TWO},
    {LS_OP_BITWISE_AND, bitwise_and, TWO}, {LS_OP_BITWISE_OR, bitwise_or, TWO}, {LS_OP_BITWISE_XOR, bitwise_xor, TWO},
    {LS_OP_WHERE, choose, {{"condition", NAN}, {"self", NAN}, {"other", NAN}}},
    {LS_OP_MASKED_FILL, fill_masked, {{"self", NAN}, {"mask", NAN}, {"value", NAN}}},
    {LS_OP_CLAMP, clamp, {{"self", NAN}, {"min", -INFINITY}, {"max", INFINITY}}},
};

static element function_of(const ls_evaluation *e, const operation *o) {
    const char *rounding = ls_node_text(e->node, "rounding_mode");
    if (o->id != LS_OP_DIV || rounding == NULL)
        return o->function;
    return *rounding == 'f' ? divide_floor : divide_trunc;
}

/* The arguments of a call, repeated along the result's axes. */
typedef struct call {
    ls_evaluation *e;
    element function;
    ls_aten_broadcast arguments[ARGUMENTS];
    double numbers[ARGUMENTS];
    uint64_t columns, rows;
} call;

/* A number has no slot of its own, unless a later one had to be kept apart. */
static bool take_argument(call *c, const argument *a, int at, int *slot) {
    const ls_node *n = c->e->node;
    const double *number = ls_node_parameter(n, a->name);
    const ls_array *tensor = NULL;
    const bool has_slot = *slot < LS_EVAL_OPERANDS && (size_t)*slot < n->operand_count;
    if (number == NULL && has_slot)
        tensor = c->e->operands[(*slot)++];
    else if (number != NULL && has_slot && c->e->operands[*slot] == NULL)
        ++*slot;
    if (tensor != NULL)
        return ls_aten_broadcast_to(tensor, n->rank, n->shape, &c->arguments[at]) || ls_eval_misfit(c->e);
    c->numbers[at] = number != NULL ? *number : a->otherwise;
    c->arguments[at] = (ls_aten_broadcast){.values = &c->numbers[at]};
    return number != NULL || !isnan(a->otherwise) || ls_eval_refuse(c->e, "an operand is missing");
}

static void compute_row(const call *c, uint64_t row) {
    const ls_node *n = c->e->node;
    const double *at[ARGUMENTS];
    uint64_t step[ARGUMENTS];
    for (int k = 0; k < ARGUMENTS; k++) {
        at[k] = c->arguments[k].values != NULL ? ls_aten_row(&c->arguments[k], n->rank, n->shape, row) : &c->numbers[k];
        step[k] = n->rank > 0 ? c->arguments[k].strides[n->rank - 1] : 0;
    }
    for (uint64_t i = 0; i < c->columns; i++) {
        const double x[ARGUMENTS] = {at[0][i * step[0]], at[1][i * step[1]], at[2][i * step[2]], at[3][i * step[3]]};
        c->e->out[row * c->columns + i] = c->function(x, &c->e->scale[row * c->columns + i]);
    }
}

enum { ROWS_AT_ONCE = 64, WORTH_THREADS = 1 << 16 /* elements */ };

static void compute_rows(void *context, uint64_t task, int worker) {
    const call *c = context;
    (void)worker;
    for (uint64_t row = task * ROWS_AT_ONCE; row < (task + 1) * ROWS_AT_ONCE && row < c->rows; row++)
        compute_row(c, row);
}

static const operation *find_operation(ls_op_id id) {
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (operations[i].id == id)
            return &operations[i];
    return NULL;
}

bool ls_aten_elements(ls_evaluation *e) {
    const operation *o = find_operation(e->node->kind->id);
    call c = {.e = e, .columns = ls_eval_size(e, 0)};
    int slot = 0;
    if (o == NULL)
        return ls_eval_refuse(e, "an operation that is not covered");
    for (int k = 0; k < ARGUMENTS && o->arguments[k].name != NULL; k++)
        if (!take_argument(&c, &o->arguments[k], k, &slot))
            return false;
    c.function = function_of(e, o);
    c.rows = c.columns > 0 ? e->node->elements / c.columns : 0;
    const uint64_t tasks = (c.rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
    if (e->node->elements >= WORTH_THREADS)
        ls_pool_run(tasks, compute_rows, &c);
    for (uint64_t task = 0; task < tasks && e->node->elements < WORTH_THREADS; task++)
        compute_rows(&c, task, 0);
    return true;
}

/* ------------------------------------------------------------------ of one argument */

static double invert(double x) { return 1 / x; }
static double invert_root(double x) { return 1 / sqrt(x); }
static double log_sigmoid(double x) { return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x)); }
static double negate(double x) { return x == 0; }
static double invert_bits(double x) { return (double)~bits(x); }

/* Those that ggml has not, or defines differently. */
static const struct {
    ls_op_id id;
    double (*function)(double);
} unaries[] = {{LS_OP_RECIPROCAL, invert}, {LS_OP_RSQRT, invert_root}, {LS_OP_ERF, erf}, {LS_OP_LOG_SIGMOID, log_sigmoid}, {LS_OP_LOGICAL_NOT, negate}, {LS_OP_ROUND, rint}};

bool ls_aten_unary(ls_evaluation *e) {
    if (!ls_eval_has(e, 1) || !ls_aten_must_be(e, "output", 0) || !ls_aten_gives(e, e->operands[0]->elements))
        return false;
    for (size_t k = 0; k < sizeof unaries / sizeof *unaries; k++)
        for (uint64_t i = 0; unaries[k].id == e->node->kind->id && i < e->node->elements; i++)
            e->out[i] = unaries[k].function(e->operands[0]->values[i]);
    return true;
}

bool ls_aten_bitwise_not(ls_evaluation *e) {
    if (!ls_eval_has(e, 1) || !ls_aten_gives(e, e->operands[0]->elements))
        return false;
    const ls_array *x = e->operands[0];
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = x->is_flags ? negate(x->values[i]) : invert_bits(x->values[i]);
    return true;
}

/* Those with parameters that have to be the usual ones. */
bool ls_aten_elu(ls_evaluation *e) {
    return ls_aten_must_be(e, "alpha", 1) && ls_aten_must_be(e, "scale", 1) && ls_aten_must_be(e, "input_scale", 1) && ls_eval_unary(e);
}

bool ls_aten_softplus(ls_evaluation *e) { return ls_aten_must_be(e, "beta", 1) && ls_aten_must_be(e, "threshold", 20) && ls_eval_unary(e); }

bool ls_aten_leaky_relu(ls_evaluation *e) {
    if (!ls_eval_has(e, 1) || !ls_aten_gives(e, e->operands[0]->elements))
        return false;
    const double slope = ls_eval_parameter(e, "negative_slope", 0.01);
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = e->operands[0]->values[i] * (e->operands[0]->values[i] > 0 ? 1 : slope);
    return true;
}
