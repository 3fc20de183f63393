/* Rows in columns that fit the page: where there is no room for all of them, some columns are left out and names lose their middle. */
#ifndef LS_REPORT_TABLE_H
#define LS_REPORT_TABLE_H

#include "base/arena.h"
#include "report/screen.h"

typedef struct ls_column {
    const char *title; /* NULL after the last column */
    int rank;          /* the column of the highest rank is the first that is left out; 0: never */
    bool is_name;      /* may lose its middle */
    bool is_number;    /* to the right */
} ls_column;

enum { LS_COLUMNS_MAX = 16 };

typedef struct ls_table_row {
    const char *style;  /* "" for none */
    const char **cells; /* NULL: `line` goes across the table */
    const char *line;
} ls_table_row;

typedef struct ls_table {
    const ls_screen *screen;
    const ls_column *columns;
    int count; /* of columns */
    ls_table_row *rows;
    size_t row_count, row_capacity;
    ls_arena arena;
    bool failed; /* out of memory */
} ls_table;

void ls_table_init(ls_table *table, const ls_screen *screen, const ls_column *columns);
/* One cell a column, escaped; "" for none. A column without any is left out. The texts are copied. */
void ls_table_add(ls_table *table, const char *style, const char *const *cells);
/* A line across the columns, which is cut where it is too long. */
void ls_table_add_line(ls_table *table, const char *style, const char *line);
/* Appends the head and the rows, with styles, and frees everything. */
void ls_table_finish(ls_table *table, ls_text *out);

#endif
