/* The pair of tensors that a command is about. */
#ifndef LS_CLI_CHOSEN_PAIR_H
#define LS_CLI_CHOSEN_PAIR_H

#include "diff/model.h"

/* The pair whose candidate or reference is called so ("NAME", or "NAME (OP)"): the first at which a fault begins, or else that fails, or else
 * of all. NAME NULL: the first divergence. NULL, with a message, if there is none. */
const ls_pair *chosen_pair(const char *command, const ls_diff *diff, const char *name);

#endif
