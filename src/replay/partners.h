/* The reference's side of a replay: the tensors that can be found, and which are computed from which. */
#ifndef LS_REPLAY_PARTNERS_H
#define LS_REPLAY_PARTNERS_H

#include "trace/trace.h"

typedef struct ls_partners {
    const ls_trace *trace;
    bool *is_value;   /* per node: a computed float tensor with values of its own */
    size_t *children, *first_child; /* children[first_child[i] … first_child[i + 1]) are computed from node i, or other names of it */
    size_t *copy_of;  /* of an input: the value that it has the content of; LS_NONE */
    size_t *alike;    /* per node: the first value with its content, which is itself as a rule */
    size_t *next_alike; /* per node: another value with its content, and so on, until it is the node again */
    double *norms;    /* per node: L2 of its numbers; negative where not known yet */
    bool has_edges;
    bool is_set;      /* of tensors without a graph or an order: any may be any operation's result */
    size_t *by_size, sized; /* of a set: its values, by number of elements, then by norm */
    bool *is_seen;    /* per node: it is within the tolerance of some operation's result */
    ls_hold *held;    /* per node: values that were read, up to a limit */
    uint64_t held_bytes;
    /* For a search. */
    size_t *stamp, stamps, *queue;
} ls_partners;

lockstep_status ls_partners_init(const ls_trace *trace, ls_partners *out_partners, lockstep_error *error);
void ls_partners_done(ls_partners *partners);

/* A value within reach of some nodes. */
typedef struct ls_reach {
    size_t node;
    int depth; /* how many values below them it is */
} ls_reach;

/* The values of a pass that are computed from `roots`, at most `depth` values below them, nearest first; without roots,
 * the first ones of the pass. `elsewhere`: in other passes, too. Returns how many of `capacity` were written. */
size_t ls_partners_below(ls_partners *partners, size_t pass, bool elsewhere, const size_t *roots, size_t root_count, int depth, ls_reach *out, size_t capacity);
/* Other values with the same content as one of some nodes. */
size_t ls_partners_like(const ls_partners *partners, const size_t *nodes, size_t count, size_t *out, size_t capacity);
/* The values of the same pass from which a node is computed, nearest first. */
size_t ls_partners_above(ls_partners *partners, size_t node, ls_reach *out, size_t capacity);
/* Of a set: values of so many elements, whose norm is near the given one: |a - b| <= within * max(a, b); infinite for all of them. */
size_t ls_partners_of_size(const ls_partners *partners, uint64_t elements, double norm, double within, ls_reach *out, size_t capacity);
/* Of a copy that only later passes read, the value that was copied, from which the rest of the pass is computed; LS_NONE for others. */
size_t ls_partners_copied(const ls_partners *partners, size_t node);
/* The values of a node; NULL if they can't be read. They are borrowed until the next call. */
const ls_view *ls_partners_values(ls_partners *partners, size_t node);
/* L2 of a node's numbers; NaN if its values can't be read. */
double ls_partners_norm(ls_partners *partners, size_t node);

#endif
