/* Which layers of a model have one fault. */
#ifndef LS_DIFF_AFFECTED_LAYERS_H
#define LS_DIFF_AFFECTED_LAYERS_H

#include "diff/model.h"

typedef struct ls_affected_layers {
    bool *at_fault, *present; /* by layer: its operation is at fault in the same way; it has such an operation */
    size_t layers;            /* of the arrays; 0 where the operation belongs to no layer */
    size_t faulty, total;
} ls_affected_layers;

/* Of an operation at fault: the operations of the same kind and name in other layers, and those of them that the same rule explains, of the
 * operation or of its weight. Where no rule explains it, those without one. False when out of memory. */
bool ls_affected_layers_find(const ls_diff *diff, const ls_replayed *item, ls_affected_layers *out_layers);
void ls_affected_layers_done(ls_affected_layers *layers);
/* Whether two operations are at fault for the same reason, in whichever layers they are. */
bool ls_has_same_fault(const ls_diff *diff, const ls_replayed *a, const ls_replayed *b);

#endif
