/* Why a command recorded nothing, from what its processes told (facts.h). */
#ifndef LS_LAUNCH_UNRECORDED_H
#define LS_LAUNCH_UNRECORDED_H

#include "base/text.h"
#include "launch/observe.h"

static inline bool ls_recorded_nothing(const ls_observed *done) { return done->totals.tensors == 0; }
/* One line without a newline: what was found, and the way out. */
void ls_explain_unrecorded(const char *command, const ls_observed *done, ls_text *out);

#endif
