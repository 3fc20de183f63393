#include "op/unary.h"

#include <math.h>
#include <stddef.h>

#include "op/words.h"

static double one_minus_tanh(double x) { return 1 - tanh(x); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double silu(double x) { return x / (1 + exp(-x)); }
static double relu(double x) { return x > 0 ? x : 0; }
static double relu_squared(double x) { return x > 0 ? x * x : 0; }
static double gelu_erf(double x) { return 0.5 * x * (1 + erf(x / sqrt(2))); }
static double gelu_tanh(double x) { return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }
static double gelu_quick(double x) { return x / (1 + exp(-1.702 * x)); }
static double softplus(double x) { return x > 30 ? x : log1p(exp(x)); }
static double mish(double x) { return x * tanh(softplus(x)); }
static double elu(double x) { return x > 0 ? x : expm1(x); }
static double hardsigmoid(double x) { return fmin(1, fmax(0, (x + 3) / 6)); }
static double hardswish(double x) { return x * hardsigmoid(x); }
static double square(double x) { return x * x; }
static double plus_one(double x) { return x + 1; }

const ls_unary ls_unaries[] = {
    {"tanh", "tanh", tanh},
    {"1 - tanh", "", one_minus_tanh},
    {"sigmoid", "sigmoid", sigmoid},
    {"exp", "", exp},
    {"silu", "silu swish", silu},
    {"relu", "relu", relu},
    {"gelu (erf)", "gelu gelu_python", gelu_erf},
    {"gelu (tanh)", "gelu_new gelu_pytorch_tanh gelu_fast gelu_accurate gelu_python_tanh", gelu_tanh},
    {"gelu (sigmoid)", "quick_gelu", gelu_quick},
    {"squared relu", "relu2 relu_squared squared_relu", relu_squared},
    {"softplus", "", softplus},
    {"mish", "mish", mish},
    {"elu", "", elu},
    {"hardswish", "", hardswish},
    {"hardsigmoid", "", hardsigmoid},
    {"square", "", square},
    {"sqrt", "", sqrt},
    {"1 +", "", plus_one},
    {NULL, NULL, NULL},
};

const ls_unary *ls_unary_of_config(const char *spelling) {
    for (const ls_unary *u = ls_unaries; u->name != NULL; u++)
        if (ls_words_have(u->config, spelling))
            return u;
    return NULL;
}
