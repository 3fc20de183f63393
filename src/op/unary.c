#include "op/unary.h"

#include <math.h>
#include <stddef.h>

#include "op/words.h"

static double one_minus_tanh(double x) { return 1 - tanh(x); }
double ls_sigmoid(double x) { return 1 / (1 + exp(-x)); }
double ls_silu(double x) { return x / (1 + exp(-x)); }
double ls_relu(double x) { return x > 0 ? x : 0; }
static double relu_squared(double x) { return x > 0 ? x * x : 0; }
double ls_gelu_erf(double x) { return 0.5 * x * (1 + erf(x / sqrt(2))); }
double ls_gelu_tanh(double x) { return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }
double ls_gelu_quick(double x) { return x / (1 + exp(-1.702 * x)); }
double ls_softplus(double x) { return x > 30 ? x : log1p(exp(x)); }
static double mish(double x) { return x * tanh(ls_softplus(x)); }
double ls_elu(double x) { return x > 0 ? x : expm1(x); }
double ls_hardsigmoid(double x) { return fmin(1, fmax(0, (x + 3) / 6)); }
double ls_hardswish(double x) { return x * ls_hardsigmoid(x); }
double ls_square(double x) { return x * x; }
static double plus_one(double x) { return x + 1; }

const ls_unary ls_unaries[] = {
    {"tanh", "tanh", tanh},
    {"1 - tanh", "", one_minus_tanh},
    {"sigmoid", "sigmoid", ls_sigmoid},
    {"exp", "", exp},
    {"silu", "silu swish", ls_silu},
    {"relu", "relu", ls_relu},
    {"gelu (erf)", "gelu gelu_python", ls_gelu_erf},
    {"gelu (tanh)", "gelu_new gelu_pytorch_tanh gelu_fast gelu_accurate gelu_python_tanh", ls_gelu_tanh},
    {"gelu (sigmoid)", "quick_gelu", ls_gelu_quick},
    {"squared relu", "relu2 relu_squared squared_relu", relu_squared},
    {"softplus", "", ls_softplus},
    {"mish", "mish", mish},
    {"elu", "", ls_elu},
    {"hardswish", "", ls_hardswish},
    {"hardsigmoid", "", ls_hardsigmoid},
    {"square", "", ls_square},
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
