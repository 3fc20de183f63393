/* What `explain` and `bundle` share: two traces are compared, and one pair of tensors is looked at. */
#ifndef LS_CLI_CHOSEN_PAIR_H
#define LS_CLI_CHOSEN_PAIR_H

#include "comparison.h"
#include "report/explanation.h"

/* Returns the exit status. `status`: the comparison's. */
typedef int use_of_pair(const ls_explanation *explanation, int status, const void *options);

/* Compares the first two arguments, and uses the pair whose candidate or reference has the name that the third one is ("NAME", or "NAME (OP)"):
 * the first at which a fault begins, or else that fails, or else of all. Without a third one, the first divergence: where there is none, this is
 * said, and the exit status is `without`, or the comparison's for -1. `options` begin with comparison_options. Returns the exit status. */
int chosen_pair_use(const char *command, const arguments *args, const void *options, use_of_pair *use, int without);

#endif
