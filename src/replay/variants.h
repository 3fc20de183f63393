/* What engines, converters and configurations are known to do differently. Each variant is an experiment: an operation that is at
 * fault is computed again in another way, and where the reference's values come out, that is what differs. */
#ifndef LS_REPLAY_VARIANTS_H
#define LS_REPLAY_VARIANTS_H

#include "replay/replayer.h"

/* How a node is computed instead. */
struct ls_alteration {
    size_t at;
    ls_node node;       /* with another kind or other parameters */
    ls_parameter parameters[LS_OP_PARAMETERS_MAX + 1];
    int window;         /* columns by which the window of its mask is longer; negative: shorter */
    char text[60];      /* for people */
};

/* Tries every variant of an operation at fault. Sets the rule of the one that leaves least, if what it leaves is no fault. */
void ls_replayer_vary(ls_replayer *replayer, ls_replayed *item);
/* The mask as an alteration has it. */
void ls_alteration_apply(const struct ls_alteration *alteration, size_t slot, ls_array *operand);

#endif
