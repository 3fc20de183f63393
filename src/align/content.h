/* Pairs of tensors that no name pairs, by what they hold: dumps under names of their own. */
#ifndef LS_ALIGN_CONTENT_H
#define LS_ALIGN_CONTENT_H

#include "align/diff.h"

/* Where a side is a container without a graph: adds pairs of unpaired tensors of one size, each
 * the other's closest by far; then of those in one place of both, where one side's names are
 * only numbers. */
lockstep_status ls_content_pair(ls_diff *diff, lockstep_error *error);

#endif
