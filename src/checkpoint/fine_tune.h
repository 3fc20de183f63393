/* Many weights that differ a little everywhere: a fine-tune of the same model. */
#ifndef LS_CHECKPOINT_FINE_TUNE_H
#define LS_CHECKPOINT_FINE_TUNE_H

#include "base/text.h"
#include "checkpoint/weight_model.h"

/* Whether most of the differing weights differ as after further training. */
bool ls_is_fine_tune(const ls_weights *weights);
/* Whether a single pair differs in this way. */
bool ls_is_tuned(const ls_weight_pair *pair);
/* Describes how many weights of which modules and layers changed, and by how much; names from files are escaped. */
void ls_fine_tune_describe(const ls_weights *weights, ls_text *out);

#endif
