/* What the pairs say together. */
#ifndef LS_ALIGN_CONCLUSION_H
#define LS_ALIGN_CONCLUSION_H

#include "align/diff.h"

/* Fills coverage, outcome, why and hints, once the first divergence is known. */
lockstep_status ls_conclude(ls_diff *diff, lockstep_error *error);

#endif
