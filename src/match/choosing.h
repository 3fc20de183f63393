/* The choice of pairs among tensors that resemble each other, for one pair of passes. */
#ifndef LS_MATCH_CHOOSING_H
#define LS_MATCH_CHOOSING_H

#include "match/lineage.h"
#include "match/resemblance.h"

/* The closest of those that are left, and the error of the next one that is different from it. */
typedef struct ls_rank {
    const ls_likeness *best; /* NULL: none is left */
    size_t candidate;        /* piece */
    double second;
} ls_rank;

typedef struct ls_choosing {
    ls_matching *m;
    size_t pass_pair;
    ls_resemblance found, first;         /* of what is left; and of all, before anything was paired */
    size_t *of_reference, *of_candidate; /* per node: its partner, or LS_NONE */
    double *error;                       /* per node of the candidate: the error of its pair */
    bool *is_settled;                    /* per node of the reference: its derivation has the partner's values */
    ls_lineage reference, candidate;     /* without values: that side is no graph, or the other has no order */
    ls_rank *ranks;                      /* per reference piece */
    double *shelter;                     /* per node of the graph: the least error of what is computed from it */
    double limit;                        /* of an error between two tensors that are the same */
} ls_choosing;

/* The second closest has at least this multiple of the closest's error. */
#define LS_CLEARLY 2
/* The same behind a fault, and the largest error there. */
#define LS_CLEARLY_BEHIND 1.2
#define LS_BEHIND 0.9
/* The same where no graph shows that it is behind one. */
#define LS_BEHIND_ALONE 0.4

static inline const ls_piece *ls_choosing_reference(const ls_choosing *k, size_t i) { return &k->found.reference.items[i]; }
static inline const ls_piece *ls_choosing_candidate(const ls_choosing *k, size_t i) { return &k->found.candidate.items[i]; }

/* Neither has a partner, and the order in which both sides compute allows the pair. */
bool ls_choosing_is_possible(const ls_choosing *choosing, const ls_likeness *like, size_t candidate);
bool ls_choosing_is_clear(double best, double second, double clearly);
/* The largest error of a pair, which is smaller for a single row. */
double ls_choosing_limit(const ls_choosing *choosing, const ls_likeness *like, size_t candidate, double limit);
ls_rank ls_choosing_rank_candidate(const ls_choosing *choosing, size_t candidate);
void ls_choosing_rank_references(ls_choosing *choosing);
/* Brings what follows from the pairs so far up to date. */
void ls_choosing_trace(ls_choosing *choosing);
/* A fault of this size would show in what is computed from the tensor, which was found to be right. */
bool ls_choosing_is_sheltered(const ls_choosing *choosing, const ls_piece *reference, const ls_piece *candidate, double error);

lockstep_status ls_choosing_pair(ls_choosing *choosing, const ls_likeness *like, size_t candidate, ls_method method, lockstep_error *error);
/* Pairs all that are clearly the closest to each other, until there are no more. */
lockstep_status ls_choosing_pair_closest(ls_choosing *choosing, double limit, double clearly, ls_method method, lockstep_error *error);
/* Pairs tensors that differ from each other by less than their rounding: what they have in common, the rounding has, too. */
lockstep_status ls_choosing_pair_blurred(ls_choosing *choosing, double limit, ls_method method, lockstep_error *error);

#endif
