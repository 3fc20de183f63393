/* Many weights that differ a little everywhere: another training of the same model. */
#ifndef LS_CHECKPOINT_FINE_TUNE_H
#define LS_CHECKPOINT_FINE_TUNE_H

#include "base/text.h"
#include "checkpoint/weight_model.h"

/* Most of what differs differs as after further training. */
bool ls_is_fine_tune(const ls_weights *weights);
/* Such a pair. */
bool ls_is_tuned(const ls_weight_pair *pair);
/* How many changed, by how much, of which modules and layers; what comes from files is escaped. */
void ls_fine_tune_describe(const ls_weights *weights, ls_text *out);

#endif
