/* Which pairs a report shows, why, and what is folded between them. The same for every report. */
#ifndef LS_REPORT_CHOSEN_ROWS_H
#define LS_REPORT_CHOSEN_ROWS_H

#include "diff/model.h"

/* --sort has their names, in this order. */
typedef enum ls_row_order { LS_BY_EXECUTION, LS_BY_ERROR, LS_BY_LAYER, LS_ROW_ORDER_COUNT } ls_row_order;

/* In ascending importance: a row has the last reason that applies. */
typedef enum ls_row_reason {
    LS_ROW_FOLDED,  /* several pairs that are not shown one by one */
    LS_ROW_ASKED,   /* all were asked for */
    LS_ROW_WORST,   /* the largest error of all, or of its layer */
    LS_ROW_BEFORE,  /* one of the last before the first divergence */
    LS_ROW_AFTER,   /* one of the next after it */
    LS_ROW_UNKNOWN, /* can't be compared */
    LS_ROW_ORIGIN,  /* fails, although nothing that it depends on does */
    LS_ROW_INPUT,   /* the first divergence was computed from it */
    LS_ROW_FIRST    /* the first divergence */
} ls_row_reason;

/* Pairs that are not shown, counted. */
typedef struct ls_fold {
    size_t agree, explained, downstream, origins, again, unknown; /* again: origins in a later pass */
    size_t worst;                   /* of those that don't fail, the pair of the largest error; LS_NONE */
    int first_layer, last_layer;    /* -1: none of them is in a layer */
    size_t first_pass, last_pass;   /* of the candidate */
} ls_fold;

typedef struct ls_chosen_row {
    ls_row_reason why;
    size_t pair; /* LS_NONE for LS_ROW_FOLDED */
    ls_fold fold;
} ls_chosen_row;

typedef struct ls_chosen_rows {
    ls_chosen_row *items;
    size_t count, capacity;
} ls_chosen_rows;

typedef struct ls_row_choice {
    bool all;
    ls_row_order order;
} ls_row_choice;

/* By execution: where something fails, the last pairs before the first divergence, it, what it was computed from, the next ones, and the other
 * origins; otherwise the worst pairs. By error: the worst. By layer: the worst of each layer. What is left is folded where it was left out, or,
 * where the order is another one, at the end. False if out of memory. */
bool ls_chosen_rows_find(const ls_diff *diff, const ls_row_choice *choice, ls_chosen_rows *out_rows);
void ls_chosen_rows_done(ls_chosen_rows *rows);

/* The error by which pairs are ordered: relative L2; infinite where it can't be known. */
double ls_error_of_pair(const ls_pair *pair);

#endif
