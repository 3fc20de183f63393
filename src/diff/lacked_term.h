/* A term that the reference adds in front of an operation, and the candidate doesn't: a position embedding, a residual. */
#ifndef LS_DIFF_LACKED_TERM_H
#define LS_DIFF_LACKED_TERM_H

#include "diff/model.h"

/* The reference's sum, between the partner of an operation at fault and what its operands stand for, that no operation of the candidate
 * gives; sets the term. LS_NONE if there is none. */
size_t ls_lacked_term(const ls_diff *diff, const ls_replayed *item, size_t *out_term);

#endif
