/* Pairs what the reference's graph gives on the candidate's values: a tensor that is equal to it is what that operation has computed in the
 * candidate, whatever went wrong before. */
#ifndef LS_MATCH_DERIVED_H
#define LS_MATCH_DERIVED_H

#include "match/choosing.h"
#include "match/derivation.h"
#include "match/value_findings.h"

/* Only what is equal. */
lockstep_status ls_derived_pair_equal(ls_choosing *choosing, const ls_derivation *derivation, lockstep_error *error);
/* Where nothing is: tries other weights, or operands that were exchanged, and else infers the closest. */
lockstep_status ls_derived_pair_behind(ls_choosing *choosing, const ls_derivation *derivation, ls_value_findings *findings, lockstep_error *error);

#endif
