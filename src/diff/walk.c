#include "diff/walk.h"

#include <stdlib.h>

lockstep_status ls_walk_open(const ls_diff *d, ls_mark *marks, ls_walk *out, lockstep_error *error) {
    const ls_side *reference = &d->in.reference, *candidate = &d->in.candidate;
    bool by_candidate = ls_diff_graph(d) == candidate->trace, ok = true;
    const ls_side *side = by_candidate ? candidate : reference;
    ls_walk w = {.diff = d, .graph = side->trace, .values = &side->values, .pair_of = d->matching.pair_of, .marks = marks};
    if (!by_candidate) {
        w.pair_of = w.owned = calloc(reference->trace->node_count + 1, sizeof *w.owned);
        ok = w.owned != NULL;
        for (size_t i = 0; ok && i < d->pairs.count; i++)
            if (!d->pairs.items[i].is_extra)
                w.owned[reference->values.value_of[d->pairs.items[i].reference_value]] = i + 1;
    }
    if (!ok || !ls_siblings_find(d, &w.siblings)) {
        free(w.owned);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    *out = w;
    return LOCKSTEP_OK;
}

void ls_walk_close(ls_walk *w) {
    free(w->owned);
    ls_siblings_done(&w->siblings);
    *w = (ls_walk){0};
}
