/* Pairs beyond tolerance that are no fault: one side only computes the same in other steps. */
#ifndef LS_ALIGN_REFORMULATED_H
#define LS_ALIGN_REFORMULATED_H

#include "align/diff.h"

/* For each pair, where the same tensors of other layers are found. */
typedef struct ls_siblings {
    size_t *group;     /* pair -> its group */
    size_t *next;      /* pair -> the next of its group, or LS_NONE */
    size_t *first;     /* group -> its first pair */
} ls_siblings;

/* False when out of memory. */
bool ls_siblings_find(const ls_diff *diff, ls_siblings *out_siblings);
void ls_siblings_done(ls_siblings *siblings);

/* Little beyond what is allowed, and explained by the relative error that reaches it from its
 * inputs, or by what the same tensor of other layers has. */
bool ls_is_noise(const ls_diff *diff, const ls_siblings *siblings, const ls_pair *pair, double inherited);
/* Why the pair may differ although nothing is wrong; LS_EXCUSE_NONE when it may not.
 * Call it only for a pair that diverged while everything paired that is computed from it
 * passes. `by_noise`: the tolerance is that of the noise, not a rule of the user's. `shows` is
 * false when none of these would have shown a fault: one that allows as much, or a sum whose
 * other term is larger; `everywhere`: each of them would have shown it, so that a factor was undone
 * on every way. */
ls_excuse ls_reformulated(const ls_diff *diff, const ls_siblings *siblings, const ls_pair *pair, bool by_noise, bool shows, bool everywhere);

/* Both sides are as long, as vectors that were only rotated. */
bool ls_keeps_length(const ls_pair *pair);
/* Do the shared rows of two passes have other positions? Then a batch is padded in front. */
bool ls_is_shifted(const ls_diff *diff, size_t pass_pair);
/* Marks nodes that depend on positions and not on tokens. */
void ls_mark_positional(const ls_trace *trace, bool *positional);

#endif
