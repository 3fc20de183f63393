#include "base/progress.h"

#include <stdatomic.h>

static struct {
    atomic_int under_way; /* how many have begun it: several comparisons may run at the same time */
    atomic_int layer;
    _Atomic uint64_t done, all;
} stages[LS_STAGE_COUNT];

void ls_progress_begin(ls_stage stage, uint64_t all) {
    atomic_store_explicit(&stages[stage].done, 0, memory_order_relaxed);
    atomic_store_explicit(&stages[stage].all, all, memory_order_relaxed);
    atomic_store_explicit(&stages[stage].layer, -1, memory_order_relaxed);
    atomic_fetch_add(&stages[stage].under_way, 1);
}

void ls_progress_add(ls_stage stage, uint64_t more) { atomic_fetch_add_explicit(&stages[stage].done, more, memory_order_relaxed); }

void ls_progress_layer(ls_stage stage, int layer) { atomic_store_explicit(&stages[stage].layer, layer, memory_order_relaxed); }

void ls_progress_end(ls_stage stage) { atomic_fetch_sub(&stages[stage].under_way, 1); }

bool ls_progress_read(ls_stage stage, ls_progress *out) {
    *out = (ls_progress){.done = atomic_load_explicit(&stages[stage].done, memory_order_relaxed),
                         .all = atomic_load_explicit(&stages[stage].all, memory_order_relaxed),
                         .layer = atomic_load_explicit(&stages[stage].layer, memory_order_relaxed)};
    return atomic_load(&stages[stage].under_way) > 0;
}
