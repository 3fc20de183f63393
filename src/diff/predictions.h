/* What a model says next: whether the most likely tokens are the same on both sides. */
#ifndef LS_DIFF_PREDICTIONS_H
#define LS_DIFF_PREDICTIONS_H

#include "diff/model.h"

enum { LS_PREDICTIONS_TOP = 5 };

/* A row of logits with another most likely token. */
typedef struct ls_changed_prediction {
    size_t pass;        /* of the candidate */
    uint64_t row;       /* of the pair */
    int64_t reference, candidate; /* most likely tokens */
    double margin;      /* by which the reference's logits prefer its token to the candidate's */
    double own_margin;  /* by which the candidate's logits prefer the candidate's */
} ls_changed_prediction;

typedef struct ls_predictions {
    uint64_t rows;    /* of logits; 0: there are none */
    uint64_t nan;     /* rows in which a side has NaN: no token is the most likely; the others follow */
    uint64_t changed; /* with another most likely token */
    uint64_t reordered; /* with other tokens among the first LS_PREDICTIONS_TOP */
    double closest;   /* the smallest margin between the reference's first two tokens in the rows that did not change */
    ls_changed_prediction first; /* of those that changed */
} ls_predictions;

/* Logits are results that have an element for each token of the table in which the inputs' tokens are looked up, behind all layers. */
void ls_predictions_compare(const ls_diff *diff, ls_predictions *out_predictions);

#endif
