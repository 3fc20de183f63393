/* Functions of one number, in double precision: one row each. */
#ifndef LS_OP_UNARY_H
#define LS_OP_UNARY_H

typedef struct ls_unary {
    const char *name;   /* as reports show it */
    const char *config; /* as `hidden_act` of a config.json spells it, several separated by spaces; "" where it is no activation */
    double (*apply)(double);
} ls_unary;

extern const ls_unary ls_unaries[]; /* ends with name == NULL */

/* The function that a config.json calls so; NULL when it is not known. */
const ls_unary *ls_unary_of_config(const char *spelling);

#endif
