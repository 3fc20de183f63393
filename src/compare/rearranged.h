/* Two tables whose rows should be the same: which are not, what these hold instead, and in what order they are. */
#ifndef LS_COMPARE_REARRANGED_H
#define LS_COMPARE_REARRANGED_H

#include <stdbool.h>
#include <stddef.h>

#include "compare/cause.h"

/* Row-major. Rows agree where the squared relative error is at most `allowed`. */
typedef struct ls_row_table {
    const double *reference, *candidate;
    size_t rows, columns;
    double allowed;
    double typical; /* what a row's squares count as at least: the noise of results is the same in all channels */
    const char *row, *column; /* what they are called: "row", "channel" */
    size_t head; /* rows of a head; 0 where there are none */
    bool is_cut; /* there are more columns, which are not at hand */
} ls_row_table;

/* Finds what was done to the rows; the cause's residual is what is left of the squared relative error without that. False where they agree,
 * where too much differs to say, and when out of memory. The cause's texts live in `texts`. */
enum { LS_ROWS_TEXT = 160 };
typedef struct ls_row_texts {
    char rows[LS_ROWS_TEXT], others[LS_ROWS_TEXT];
} ls_row_texts;
bool ls_find_row_cause(const ls_row_table *table, ls_row_texts *texts, ls_cause *out_cause);
/* The table with rows and columns exchanged. Returns what holds its values, to be freed; NULL when out of memory. */
double *ls_row_table_transpose(const ls_row_table *table, ls_row_table *out);

#endif
