/* How a reference tensor must be looked at to be the candidate's: rows selected,
 * padding cut, axes permuted, heads split or merged. Views, but for rows in no regular order,
 * which are copied. */
#ifndef LS_MATCH_LAYOUT_H
#define LS_MATCH_LAYOUT_H

#include "base/map.h"
#include "match/grid.h"
#include "match/kv_window.h"
#include "preset/rules.h"

enum { LS_LAYOUT_TEXT = 160 };

typedef struct ls_layout_request {
    ls_view reference, candidate;
    const ls_pass_pair *passes;
    const ls_grids *grids;                 /* of the passes' rows; NULL where unknown */
    size_t reference_rows, candidate_rows; /* of the passes; 0 where unknown */
    const int32_t *output_rows;              /* of the candidate's pass, after its last layer was cut; may be NULL */
    size_t output_row_count;
    ls_kv_window reference_window, candidate_window;
    int32_t reference_last, candidate_last; /* highest position of the passes; -1 where unknown */
    bool square;           /* rows and columns are tokens: scores, attention weights, masks */
    ls_reorder reorder;
    uint64_t head_size;    /* for the reorder; 0 where unknown */
    uint64_t kind; /* of the pair: those of one kind vote together */
} ls_layout_request;

typedef struct ls_layout {
    ls_view reference, candidate; /* of equal element counts, in the same order */
    char text[LS_LAYOUT_TEXT];    /* "as is", or what was done */
    uint64_t columns;             /* of each row of the candidate, those of a padded KV cache that count */
    bool ambiguous;               /* which axis has the rows can't be told: a fault could hide in the choice */
    void *gathered[2];            /* copies of rows that lie in no regular order; NULL */
} ls_layout;

/* Shapes alone often leave several permutations; the values decide, but not those of
 * the pair in question: a fault can look like another permutation (swapped q and k
 * transpose their product). So pairs of one kind vote, with the permutation that makes
 * them agree. */
typedef enum ls_layout_choice {
    LS_LAYOUT_LEARN, /* the one with the least error, and a vote for it */
    LS_LAYOUT_VOTED, /* the one with the most votes, then the least error */
    LS_LAYOUT_BOTH,  /* as voted, and a vote: where there is only one round */
} ls_layout_choice;

/* LOCKSTEP_INCOMPARABLE, with the reason in `error`, when no layout makes one the
 * other's shape. */
lockstep_status ls_layout_find(const ls_layout_request *request, ls_map *votes, ls_layout_choice choice, ls_layout *out_layout,
                               lockstep_error *error);
void ls_layout_done(ls_layout *layout);
/* Relative L2 of the two views on a sample. */
double ls_layout_error(const ls_layout *layout);

#endif
