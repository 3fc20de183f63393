/* What a layout is, and the first step of finding one: both sides are reduced to the elements that both have. */
#ifndef LS_MATCH_LAYOUT_ROWS_H
#define LS_MATCH_LAYOUT_ROWS_H

#include "match/grid.h"
#include "match/kv_window.h"
#include "match/output_rows.h"
#include "preset/rules.h"

enum { LS_LAYOUT_TEXT = 160, LS_LAYOUT_SAMPLE = 8192 };

#define LS_LAYOUT_AGREES 1e-2 /* a layout whose sampled relative L2 is below this is taken to be right */

typedef struct ls_layout_request {
    ls_view reference, candidate;
    const ls_pass_pair *passes;
    const ls_grids *grids;                 /* of the passes' rows; NULL where unknown */
    ls_output_rows reference_rows, candidate_rows;
    ls_kv_window reference_window, candidate_window;
    int32_t reference_last, candidate_last; /* highest position of the passes; -1 where unknown */
    bool square;           /* rows and columns are tokens: scores, attention weights, masks */
    ls_reorder reorder;
    uint64_t head_size;    /* for the reorder; 0 where unknown */
    uint64_t kind; /* of the pair: those of one kind vote together */
    const struct ls_layout_vote *permutation; /* which is known to be right; NULL */
    bool is_picture; /* both are pictures: only the colours' axis may stand elsewhere, since columns for rows are a fault */
    bool as_is;    /* equal names in files, and equal shapes: another order of the axes is a difference */
} ls_layout_request;

/* A vote for one permutation of axes, by the pairs of one kind. */
typedef struct ls_layout_vote {
    uint64_t kind, of_candidate, ranks, code;
} ls_layout_vote;

typedef struct ls_layout {
    ls_view reference, candidate; /* of equal element counts, in the same order */
    char text[LS_LAYOUT_TEXT];    /* "as is", or what was done */
    uint64_t columns;             /* of each row of the candidate, those of a padded KV cache that count */
    bool ambiguous;               /* which axis has the rows can't be told: a fault could hide in the choice */
    bool reference_is_cut;        /* the reference holds fewer rows than its pass has */
    bool has_vote;                /* the values agree under this permutation */
    bool has_choice;              /* there were several permutations to choose from */
    ls_layout_vote vote;
    void *gathered[2];            /* copies of rows that lie in no regular order; NULL */
} ls_layout;

/* What was done, in words. */
typedef struct ls_layout_steps {
    char text[LS_LAYOUT_TEXT];
} ls_layout_steps;

void ls_layout_say(ls_layout_steps *steps, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fails with both shapes. */
lockstep_status ls_layout_mismatch(const ls_layout_request *request, lockstep_error *error);
void ls_layout_done(ls_layout *layout);
/* Leaves out axes of 1. */
void ls_layout_squeeze(ls_view *view);

/* Selects the rows that both sides have, and cuts the padding of a KV cache. */
lockstep_status ls_layout_select(const ls_layout_request *request, ls_layout *layout, ls_layout_steps *steps, lockstep_error *error);

#endif
