/* One pair: its two tensors aligned, measured and judged by its tolerance. */
#ifndef LS_DIFF_JUDGEMENT_H
#define LS_DIFF_JUDGEMENT_H

#include "diff/model.h"

/* LS_LAYOUT_LEARN for the first of two rounds over all pairs; see ls_layout_find. */
lockstep_status ls_diff_compare(ls_diff *diff, size_t pair, ls_layout_choice choice, lockstep_error *error);

#endif
