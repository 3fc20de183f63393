/* Pairs beyond tolerance that are no fault: one side only computes the same in other steps. */
#ifndef LS_ALIGN_REFORMULATED_H
#define LS_ALIGN_REFORMULATED_H

#include "align/diff.h"

/* Why the pair may differ although nothing is wrong; LS_EXCUSE_NONE when it may not.
 * Call it only for a pair that diverged while everything paired that is computed from it
 * passes. `inherited` is the relative error that reaches it from its inputs. `shows` is false when the difference could simply have vanished in a larger
 * term that was added to it. */
ls_excuse ls_reformulated(const ls_diff *diff, const ls_pair *pair, double inherited, bool shows);

#endif
