/* Parts of the JSON of a comparison of traces that other reports have, too (docs/diff.md). Each is a new reference. */
#ifndef LS_REPORT_DIFF_JSON_H
#define LS_REPORT_DIFF_JSON_H

#include <jansson.h>

#include "report/report.h"

json_t *ls_report_pair_json(const ls_diff *diff, const ls_pair *pair);
json_t *ls_report_cause_json(const ls_comparison *comparison, const ls_pair *pair, const ls_cause *cause);

#endif
