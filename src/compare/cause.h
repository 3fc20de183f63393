/* Why a tensor differs: a transform that was fitted and applied, and what was left after it. */
#ifndef LS_COMPARE_CAUSE_H
#define LS_COMPARE_CAUSE_H

#include "base/text.h"

enum { LS_CAUSE_PARAMETERS = 4 };

/* What a rule found, as a number or as a word. */
typedef struct ls_cause_parameter {
    const char *name; /* NULL after the last one */
    double number;    /* unless there is a text */
    const char *text; /* as it was recorded: not escaped */
} ls_cause_parameter;

typedef struct ls_cause {
    const char *id;       /* stable: docs/diff.md, docs/checkpoints.md; NULL: no cause was found */
    const char *sentence; /* parameters in braces, numbers with their significant digits: "eps is {eps:3} here" */
    ls_cause_parameter parameters[LS_CAUSE_PARAMETERS];
    double residual;      /* what is left once it is undone: a relative L2 of activations, an NMSE of weights */
} ls_cause;

/* Sets a parameter; one of that name that is already there is replaced. */
void ls_cause_set_number(ls_cause *cause, const char *name, double number);
void ls_cause_set_text(ls_cause *cause, const char *name, const char *text);
/* Appends the sentence with its parameters; what was recorded is not escaped. */
void ls_cause_text(const ls_cause *cause, ls_text *out);

#endif
