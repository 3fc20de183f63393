/* What a comparison of traces says beside its pairs, as a line each, without labels and newlines. Recorded texts are not escaped. */
#ifndef LS_REPORT_SUMMARY_LINES_H
#define LS_REPORT_SUMMARY_LINES_H

#include <jansson.h>

#include "report/report.h"

/* Whether the most likely tokens change; nothing where there are no logits. */
void ls_report_logits(const ls_comparison *comparison, ls_text *out);
json_t *ls_report_logits_json(const ls_comparison *comparison);
/* The settings in which the two checkpoints differ; nothing where they were not compared. */
void ls_report_configuration(const ls_comparison *comparison, ls_text *out);
/* null where they were not compared. */
json_t *ls_report_configuration_json(const ls_comparison *comparison);

#endif
