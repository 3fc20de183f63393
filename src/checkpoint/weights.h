/* Compares the weights of two checkpoints: which tensors correspond, whether they hold the same values, and where
 * else their content is found. */
#ifndef LS_CHECKPOINT_WEIGHTS_H
#define LS_CHECKPOINT_WEIGHTS_H

#include "checkpoint/weight_model.h"

typedef struct ls_weights_options {
    const char *preset;  /* a name, "none", or NULL: by the model */
    const char *map;     /* a file of rules, or NULL */
    const char *tensors; /* regular expression for the candidate's names, or NULL */
} ls_weights_options;

lockstep_status ls_weights_run(ls_checkpoint *reference, ls_checkpoint *candidate, const uint64_t heads[2],
                               const ls_weights_options *options, ls_weights *out_weights, lockstep_error *error);
void ls_weights_done(ls_weights *weights);

#endif
