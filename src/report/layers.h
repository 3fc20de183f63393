/* The layers that have one fault. */
#ifndef LS_REPORT_LAYERS_H
#define LS_REPORT_LAYERS_H

#include <jansson.h>

#include "base/text.h"
#include "diff/model.h"

/* Appends "in all 28 layers", or "in 3 of 28 layers: 0, 4-5"; nothing for what belongs to no layer, or is at fault in a single one of several. */
void ls_report_layers(const ls_diff *diff, const ls_replayed *item, ls_text *out);
/* {"at_fault": [0, 4, 5], "of": 28}, or null where the operation belongs to no layer. */
json_t *ls_report_layers_json(const ls_diff *diff, const ls_replayed *item);

#endif
