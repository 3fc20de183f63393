/* What a comparison says about the operations that were computed: replay, and verify. */
#ifndef LS_REPORT_REPLAY_REPORT_H
#define LS_REPORT_REPLAY_REPORT_H

#include <jansson.h>

#include "base/text.h"
#include "diff/model.h"

/* How many operations were found, and how many kernels were checked. `all`: the limits of detection of all kinds. */
void ls_report_replay_counts(const ls_diff *diff, bool all, ls_text *out);
/* The operations at fault, the first ones or all. */
void ls_report_replay_origins(const ls_diff *diff, bool all, ls_text *out);
/* null where nothing was computed. */
json_t *ls_report_replay_json(const ls_diff *diff);

#endif
