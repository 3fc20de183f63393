/* What a comparison found, for people and for programs. Results in, text out. */
#ifndef LS_REPORT_REPORT_H
#define LS_REPORT_REPORT_H

#include "align/diff.h"
#include "checkpoint/checkpoint_diff.h"

/* `width`: columns of the terminal, 0 for as many as it takes. `all`: every pair,
 * and the names without a partner. */
void ls_report_terminal(const ls_diff *diff, bool all, int width, ls_text *out);
void ls_report_checkpoints(const ls_checkpoint_diff *diff, bool all, int width, ls_text *out);
/* Schema 1: docs/diff.md and docs/checkpoints.md. */
void ls_report_json(const ls_diff *diff, ls_text *out);
void ls_report_checkpoints_json(const ls_checkpoint_diff *diff, ls_text *out);

#endif
