/* Which of the failing pairs is where it began. */
#ifndef LS_ALIGN_DIVERGENCE_H
#define LS_ALIGN_DIVERGENCE_H

#include "align/diff.h"

/* Marks reformulated pairs and consequences, and finds the first divergence: the
 * earliest failing pair all of whose nearest paired ancestors pass, with these, and
 * with the nodes in between that have no partner. */
lockstep_status ls_divergence_mark(ls_diff *diff, lockstep_error *error); /* sets diff->first; of a candidate that still grows */
/* The same, and what lies above it; after ls_pair_finish. */
lockstep_status ls_divergence_find(ls_diff *diff, lockstep_error *error);

#endif
