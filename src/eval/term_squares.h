/* The sums of the squares of a matrix product's terms, which are themselves a product: of the squares of both matrices. Along
 * a weight's many columns, they are added up in groups: the squares of the weight's elements times the mean square of what
 * they are multiplied with. Columns in which that has more than its group's share count by themselves. */
#ifndef LS_EVAL_TERM_SQUARES_H
#define LS_EVAL_TERM_SQUARES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ls_term_squares {
    uint64_t columns, group, groups; /* of the matrices; in each group, but for the last one; 1 column each where all count by themselves */
    uint64_t *alone, alone_count;    /* columns, ascending */
    uint64_t width;                  /* columns of the product of squares: the groups, then those that count by themselves */
    float *of_b;                     /* [rows of b, width] */
} ls_term_squares;

/* Prepares b [rows, columns]; `in_groups` allows groups. False if out of memory; done is called all the same. */
bool ls_term_squares_init(ls_term_squares *squares, const double *b, uint64_t rows, uint64_t columns, bool in_groups);
void ls_term_squares_done(ls_term_squares *squares);
/* Of the other matrix: a [rows, columns] -> [rows, width]. */
void ls_term_squares_of_a(const ls_term_squares *squares, const float *a, uint64_t rows, float *out);

#endif
