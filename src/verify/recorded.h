/* The values that a trace's operations had: recorded ones, weights of files, and caches as the recorded writes
 * left them. Nodes have to be taken in their order, because caches change. */
#ifndef LS_VERIFY_RECORDED_H
#define LS_VERIFY_RECORDED_H

#include "eval/leaves.h"
#include "eval/some_rows.h"

typedef struct ls_recorded {
    const ls_trace *trace;
    const ls_models *models;
    ls_map caches;                   /* "process/context/name" -> cache + 1 */
    struct ls_cache *items;
    size_t count, capacity;
    uint64_t held;                   /* elements of all caches */
    /* A node that takes other values than its own, or LS_NONE. */
    size_t replaced;
    const ls_array *replacement;
    const ls_array *computed; /* per node, what takes the place of everything that was recorded but inputs and weights; NULL: nothing does */
} ls_recorded;

void ls_recorded_done(ls_recorded *recorded);
/* The values of a node. On success `out->values` is to be freed; otherwise `out` is empty and out_reason says why. */
bool ls_recorded_read(const ls_recorded *recorded, size_t node, ls_array *out, const char **out_reason);
/* The same, of the chosen rows along an axis; of all for -1. */
bool ls_recorded_read_rows(const ls_recorded *recorded, size_t node, const ls_rows *rows, int axis, ls_array *out, const char **out_reason);
/* Carries a write to a cache out. One that is not understood leaves its contents unknown: NaN. */
void ls_recorded_write(ls_recorded *recorded, size_t node);
/* Whether a node lies in the memory of a cache. */
bool ls_recorded_is_of_cache(const ls_recorded *recorded, size_t node);
/* The cache in whose memory the node lies, or SIZE_MAX. */
size_t ls_recorded_cache(ls_recorded *recorded, size_t node);
/* A copy of its contents, and back: the copy is freed. NULL if out of memory. */
double *ls_recorded_save(const ls_recorded *recorded, size_t cache);
void ls_recorded_restore(ls_recorded *recorded, size_t cache, double *saved);
/* Whether the node lies in the other's memory, or is the other. */
bool ls_recorded_is_view_of(const ls_trace *trace, size_t node, size_t other);

#endif
