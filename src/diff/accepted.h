/* Faults that the user accepts by what explains them: RULE, or RULE@OPERATIONS (a regular expression on their names). */
#ifndef LS_DIFF_ACCEPTED_H
#define LS_DIFF_ACCEPTED_H

#include "diff/model.h"

/* Fails for a rule that there is not, and for an expression that is none. */
lockstep_status ls_accepted_check(const ls_diff_options *options, lockstep_error *error);
/* Takes what is accepted from the operations at fault. */
lockstep_status ls_accepted_apply(ls_diff *diff, lockstep_error *error);

#endif
