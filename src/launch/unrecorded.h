/* Explains why a command recorded nothing, from what its processes reported (facts.h). */
#ifndef LS_LAUNCH_UNRECORDED_H
#define LS_LAUNCH_UNRECORDED_H

#include "base/text.h"
#include "launch/observe.h"

static inline bool ls_recorded_nothing(const ls_observed *done) { return done->totals.tensors == 0; }
/* Appends one line without a newline: the reason, and what to do about it. */
void ls_explain_unrecorded(const char *command, const ls_observed *done, ls_text *out);

#endif
