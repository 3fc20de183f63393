/* How a reference tensor must be looked at to be the candidate's: rows selected,
 * padding cut, axes permuted, heads split or merged. Views, but for rows in no regular order,
 * which are copied. */
#ifndef LS_MATCH_LAYOUT_H
#define LS_MATCH_LAYOUT_H

#include "base/map.h"
#include "match/layout_rows.h"

/* Shapes alone often leave several permutations; the values decide, but not those of the pair in
 * question: a fault can look like another permutation (swapped q and k transpose their product). So
 * pairs of one kind vote, with the permutation that makes them agree. */
typedef enum ls_layout_choice {
    LS_LAYOUT_LEARN, /* the one with the least error, without a look at the votes */
    LS_LAYOUT_VOTED, /* the one with the most votes, then the least error */
} ls_layout_choice;

/* LOCKSTEP_INCOMPARABLE, with the reason in `error`, when no layout makes one the other's shape. Only reads the
 * votes: several threads may look for layouts at once. */
lockstep_status ls_layout_find(const ls_layout_request *request, const ls_map *votes, ls_layout_choice choice, ls_layout *out_layout,
                               lockstep_error *error);
/* Counts a vote. */
void ls_layout_cast(ls_map *votes, const ls_layout_vote *vote);
/* Relative L2 of the two views on a sample. */
double ls_layout_error(const ls_layout *layout);

#endif
