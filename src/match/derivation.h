/* What the reference's graph gives on the candidate's values. Pairing by values asks for it (match_by_values.h), and whoever can
 * compute operations provides it (replay/candidate_values.h). */
#ifndef LS_MATCH_DERIVATION_H
#define LS_MATCH_DERIVATION_H

#include <stdbool.h>
#include <stddef.h>

#include "tensor/tensor.h"

/* Views are of doubles in the node's own layout, and valid until the next call. */
typedef struct ls_derivation {
    void *context;
    /* Takes `values` over as those of a node of the reference. */
    void (*settle)(void *context, size_t node, double *values);
    /* Puts `values` in the place of a node's, which are returned; NULL, without taking `values` over, where it has none. */
    double *(*exchange)(void *context, size_t node, double *values);
    /* Computes a node from what was settled or computed before. */
    bool (*compute)(void *context, size_t node, ls_view *out_view);
    /* Computes it with another weight, of the same shape, in place of its own: the k-th, whose node is returned; LS_NONE after the last.
     * No values: it can't be computed. */
    size_t (*vary)(void *context, size_t node, size_t k, ls_view *out_view, bool *out_computed);
} ls_derivation;

#endif
