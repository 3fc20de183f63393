/* The pictures of chosen pairs, as the second block of data of an HTML report (docs/reports.md). */
#ifndef LS_REPORT_PICTURE_JSON_H
#define LS_REPORT_PICTURE_JSON_H

#include <jansson.h>

#include "report/report.h"

/* {"pictures": […], "without": […]}: of the first divergence, the pairs around it, and those that are asked for; where nothing
 * diverged, of the pair that uses the most of its tolerance, and the last. */
json_t *ls_pictures_of_traces(const ls_comparison *comparison);
/* Of the weights that the findings are about, and those that are asked for. */
json_t *ls_pictures_of_weights(const ls_checkpoint_report *report);

#endif
