/* Where to look for what a cause says: keys of the configuration, or a step of the conversion. */
#ifndef LS_REPORT_WHERE_H
#define LS_REPORT_WHERE_H

#include "base/text.h"
#include "checkpoint/settings.h"

/* Appends the place to look at for a rule's cause, in one line without a newline; nothing where none is known. settings: the configurations of
 * both checkpoints, whose values are then given; or NULL. Values are escaped. */
void ls_report_place(const char *rule, const ls_settings *settings, ls_text *out);

#endif
