/* Values as JSON, the same in every report. Each is a new reference. */
#ifndef LS_REPORT_JSON_VALUES_H
#define LS_REPORT_JSON_VALUES_H

#include <jansson.h>

#include "base/text.h"
#include "checkpoint/checkpoint_diff.h"
#include "compare/cause.h"
#include "compare/metrics.h"

/* JSON has no NaN and no infinities: they are the strings "nan", "inf", "-inf". */
json_t *ls_json_number(double value);
/* Names in files need not be UTF-8; JSON must be. */
json_t *ls_json_text(const char *value);
json_t *ls_json_count(uint64_t value);
json_t *ls_json_sentence(const ls_cause *cause);
json_t *ls_json_parameters(const ls_cause *cause);
json_t *ls_json_metrics(const ls_metrics *metrics);
/* The pairs of weights, as an array (docs/checkpoints.md). */
json_t *ls_report_weight_pairs(const ls_checkpoint_diff *diff);
/* Appends the document and a newline, and releases it. */
void ls_json_dump(json_t *document, ls_text *out);

#endif
