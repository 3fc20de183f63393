/* How much of the candidate was compared. */
#ifndef LS_DIFF_COVERAGE_H
#define LS_DIFF_COVERAGE_H

#include "diff/diff.h"

/* The share of the candidate's elements that were compared, 0 to 1. */
double ls_coverage_of(const ls_diff *diff);

#endif
