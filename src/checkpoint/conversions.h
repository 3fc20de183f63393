/* What a converter has to do to a weight because the engine computes an architecture in another way than
 * its checkpoints mean it. A change that is found by content is accepted only if it is due. */
#ifndef LS_CHECKPOINT_CONVERSIONS_H
#define LS_CHECKPOINT_CONVERSIONS_H

#include "checkpoint/weight_model.h"

/* Whether this one change of `side`'s tensor into the other side's is what a converter has to do. */
bool ls_conversion_is_due(const ls_weights *weights, unsigned change, int side, const size_t tensors[LS_SIDES]);
/* What a converter should have done, and did not, to a pair by content that is compared as it is; NULL if nothing is known to be missing. */
const char *ls_conversion_missing(const ls_weights *weights, const ls_weight_pair *pair);

#endif
