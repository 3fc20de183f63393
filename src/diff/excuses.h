/* Pairs beyond tolerance that are no fault: one side computes the same in other steps. */
#ifndef LS_DIFF_EXCUSES_H
#define LS_DIFF_EXCUSES_H

#include "diff/walk.h"

/* Gives each diverged pair that may differ without a fault its excuse, in the walk's marks, from the last
 * node to the first: a pair that differs although everything computed from it passes may be
 * explained, and then counts as passing for those before it. */
lockstep_status ls_excuses_mark(ls_walk *walk, lockstep_error *error);

#endif
