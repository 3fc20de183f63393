/* What a naming rule names in the candidate. */
#ifndef LS_MATCH_MATCH_BY_RULES_H
#define LS_MATCH_MATCH_BY_RULES_H

#include "match/values.h"

/* The candidate's node that the rule names in a layer of a pass, or LS_NONE. */
size_t ls_rule_find_candidate(const ls_values *candidate, const ls_rule *rule, size_t pass, int layer);
/* The candidate's pass has the names that the rule needs, and none that it must not have. */
bool ls_rule_is_for(const ls_values *candidate, const ls_rule *rule, size_t pass);

#endif
