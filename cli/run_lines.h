/* What `lockstep run` prints. */
#ifndef LS_CLI_RUN_LINES_H
#define LS_CLI_RUN_LINES_H

#include <stddef.h>

#include "report/screen.h"

typedef struct run_line {
    const char *name, *told;
    const char *why; /* what became of the reference; NULL */
    int status;      /* an exit status */
} run_line;

typedef struct run_totals {
    size_t by_status[3], reused;
    const char *folder;   /* of the reports */
    const char *earliest; /* divergence of all; NULL */
} run_totals;

/* One prompt, whose name takes so many columns; at once. */
void run_line_print(const ls_screen *screen, int width, const run_line *line);
void run_totals_print(const ls_screen *screen, const run_totals *totals);

#endif
