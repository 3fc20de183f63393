/* Why a tensor differs: a transform that was fitted and applied, and the error that remains. */
#ifndef LS_COMPARE_CAUSE_H
#define LS_COMPARE_CAUSE_H

#include "base/text.h"

enum { LS_CAUSE_PARAMETERS = 4 };

/* A parameter found by a rule, as a number or text. */
typedef struct ls_cause_parameter {
    const char *name; /* NULL after the last one */
    double number;    /* if text is NULL */
    const char *text; /* as recorded, so not escaped */
} ls_cause_parameter;

typedef struct ls_cause {
    const char *id;       /* stable (docs/diff.md, docs/checkpoints.md); NULL if no cause was found */
    const char *sentence; /* parameters in braces, numbers with their significant digits: "eps is {eps:3} here" */
    ls_cause_parameter parameters[LS_CAUSE_PARAMETERS];
    double before;        /* error that it explains, as the next; 0 where that is the pair's */
    size_t values, free;  /* elements that differ, and the numbers that were fitted to them; 0 where nothing was fitted */
    double residual;      /* error that remains after undoing it: relative L2 of activations, NMSE of weights; NaN where nothing was undone */
} ls_cause;

/* Set a parameter, or replace the one of that name. */
void ls_cause_set_number(ls_cause *cause, const char *name, double number);
void ls_cause_set_text(ls_cause *cause, const char *name, const char *text);
/* Appends the sentence with its parameters; recorded text is not escaped. */
void ls_cause_text(const ls_cause *cause, ls_text *out);

#endif
