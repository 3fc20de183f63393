/* A walk over the graph of a comparison: the candidate's, or the reference's where only that is one. */
#ifndef LS_DIFF_WALK_H
#define LS_DIFF_WALK_H

#include "diff/model.h"
#include "diff/siblings.h"

typedef struct ls_walk {
    const ls_diff *diff;
    const ls_trace *graph;
    const ls_values *values;
    const size_t *pair_of; /* value node of the graph -> pair + 1 */
    size_t *owned;         /* pair_of where it is not the matching's; NULL */
    ls_mark *marks;        /* of the pairs, as far as they are known; the caller's */
    ls_siblings siblings;
} ls_walk;

/* `marks` has one entry per pair. */
lockstep_status ls_walk_open(const ls_diff *diff, ls_mark *marks, ls_walk *out_walk, lockstep_error *error);
void ls_walk_close(ls_walk *walk);

/* The pair that stands for a node's value, + 1; 0 where there is none, or where it could not be compared. */
static inline size_t ls_walk_pair(const ls_walk *w, size_t node) {
    size_t pair = w->pair_of[w->values->value_of[node]];
    return pair != 0 && ls_mark_is_known(&w->marks[pair - 1]) ? pair : 0;
}
/* The same, only for the node that holds the value, and not for a view of it. */
static inline size_t ls_walk_own_pair(const ls_walk *w, size_t node) { return w->values->value_of[node] == node ? ls_walk_pair(w, node) : 0; }

/* A node's inputs are its sources, and what it is an alias of: k from 0 to source_count. LS_NONE: no alias. */
static inline size_t ls_node_input(const ls_node *n, size_t k) { return k < n->source_count ? n->sources[k] : n->alias_of; }
/* Values flow from sources through this node. */
static inline bool ls_node_carries(const ls_node *n) { return n->role != LOCKSTEP_ROLE_WEIGHT && (n->role != LOCKSTEP_ROLE_INPUT || n->source_count > 0); }

#endif
