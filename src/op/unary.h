/* The table of functions of one number, in double precision. */
#ifndef LS_OP_UNARY_H
#define LS_OP_UNARY_H

typedef struct ls_unary {
    const char *name;   /* shown in reports */
    const char *config; /* spellings in config.json's `hidden_act`, separated by spaces; "" if not an activation */
    double (*apply)(double);
} ls_unary;

extern const ls_unary ls_unaries[]; /* ends with name == NULL */

double ls_sigmoid(double x);
double ls_silu(double x);
double ls_relu(double x);
double ls_gelu_erf(double x);
double ls_gelu_tanh(double x);
double ls_gelu_quick(double x); /* by a sigmoid */
double ls_softplus(double x);
double ls_elu(double x);
double ls_hardsigmoid(double x);
double ls_hardswish(double x);
double ls_square(double x);

/* The function by its spelling in config.json; NULL if unknown. */
const ls_unary *ls_unary_of_config(const char *spelling);

#endif
