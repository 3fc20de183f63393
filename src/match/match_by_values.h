/* Pairs tensors by what they hold, where names mean nothing. */
#ifndef LS_MATCH_MATCH_BY_VALUES_H
#define LS_MATCH_MATCH_BY_VALUES_H

#include "match/derivation.h"
#include "match/value_findings.h"
#include "match/matching.h"

/* After all nodes are there: pairs those of the candidate that names and rules have not paired. `derivation` may be NULL; the findings that
 * it has shown are appended, and are to be freed. */
lockstep_status ls_match_by_values(ls_matching *matching, const ls_derivation *derivation, ls_value_findings *findings, lockstep_error *error);
/* Pairs the rest of two archives whose tensors have mere numbers for names, and that have equally many: those in the same place. */
lockstep_status ls_match_by_place(ls_matching *matching, lockstep_error *error);

#endif
