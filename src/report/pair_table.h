/* The table of a comparison's pairs. */
#ifndef LS_REPORT_PAIR_TABLE_H
#define LS_REPORT_PAIR_TABLE_H

#include "report/chosen_rows.h"
#include "report/screen.h"

/* Appends the chosen rows; nothing without pairs. */
void ls_put_pair_table(const ls_screen *screen, const ls_diff *diff, const ls_row_choice *choice, ls_text *out);

#endif
