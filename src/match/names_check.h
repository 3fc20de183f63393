/* Do the values of two containers contradict their names? */
#ifndef LS_MATCH_NAMES_CHECK_H
#define LS_MATCH_NAMES_CHECK_H

#include "match/matching.h"
#include "match/value_findings.h"

/* Notes pairs by name of which the candidate's values are another tensor's. Where these are more than those that are near each
 * other, names mean nothing, and the pairs that they have made are taken back. Only where a side has no graph. */
lockstep_status ls_names_check(ls_matching *matching, ls_value_findings *findings, lockstep_error *error);

#endif
