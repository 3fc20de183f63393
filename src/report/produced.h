/* Where a result comes from. */
#ifndef LS_REPORT_PRODUCED_H
#define LS_REPORT_PRODUCED_H

#include <jansson.h>

/* When this was compared, by which version and command (NULL: unknown). SOURCE_DATE_EPOCH replaces the time. */
json_t *ls_json_produced(const char *command);

#endif
