/* The two weights of a pair as they were compared. */
#ifndef LS_CHECKPOINT_WEIGHT_VIEWS_H
#define LS_CHECKPOINT_WEIGHT_VIEWS_H

#include "checkpoint/weight_steps.h"

typedef struct ls_weight_views {
    ls_weight_values values[LS_SIDES]; /* equal in shape, with corresponding elements in the same order */
} ls_weight_views;

/* Fails where the pair could not be compared, for the same reason. */
lockstep_status ls_weight_views_open(const ls_weights *weights, const ls_weight_pair *pair, ls_weight_views *out_views, lockstep_error *error);
void ls_weight_views_close(ls_weight_views *views);

#endif
