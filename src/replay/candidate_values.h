/* The reference's graph on the candidate's values: a replay the other way round, for a candidate that has no graph, or no weights. Pairing
 * by values asks for what it gives (match/derivation.h). */
#ifndef LS_REPLAY_CANDIDATE_VALUES_H
#define LS_REPLAY_CANDIDATE_VALUES_H

#include "eval/leaves.h"
#include "match/derivation.h"
#include "trace/trace.h"

typedef struct ls_candidate_values ls_candidate_values;

/* Everything is borrowed. */
lockstep_status ls_candidate_values_open(const ls_trace *reference, const ls_models *models, ls_candidate_values **out_values, lockstep_error *error);
/* NULL is allowed. */
void ls_candidate_values_close(ls_candidate_values *values);
ls_derivation ls_candidate_values_derivation(ls_candidate_values *values);

#endif
