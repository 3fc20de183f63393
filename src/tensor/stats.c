/* Chunks are summed on all cores and merged in order, so that the result doesn't depend
 * on the number of threads. */
#include "tensor/stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/pool.h"
#include "tensor/summary.h"

enum { TILE = 4096, CHUNK = 16 * TILE, MAX_CHUNKS = 4096 };

typedef struct job {
    const ls_view *view;
    uint64_t elements, chunk;
    ls_summary *parts;
} job;

static void run_chunk(void *context, uint64_t i, int worker) {
    (void)worker;
    job *j = context;
    uint64_t first = i * j->chunk;
    uint64_t end = j->elements - first < j->chunk ? j->elements : first + j->chunk;
    ls_summary_init(&j->parts[i]);
    for (; first < end; first += TILE) {
        double tile[TILE];
        size_t n = end - first < TILE ? (size_t)(end - first) : TILE;
        ls_view_read_f64(j->view, first, n, tile);
        ls_summary_add_f64(&j->parts[i], tile, n);
    }
}

lockstep_status ls_view_stats(const ls_view *view, ls_stats *out_stats, lockstep_error *error) {
    job j = {.view = view, .elements = ls_view_elements(view), .chunk = CHUNK};
    while (j.elements / j.chunk >= MAX_CHUNKS)
        j.chunk *= 2;
    uint64_t chunks = j.elements / j.chunk + (j.elements % j.chunk != 0);
    j.parts = calloc((size_t)chunks + 1, sizeof *j.parts);
    if (j.parts == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_pool_run(chunks, run_chunk, &j);
    ls_summary whole;
    ls_summary_init(&whole);
    for (uint64_t i = 0; i < chunks; i++)
        ls_summary_merge(&whole, &j.parts[i]);
    free(j.parts);
    bool any = whole.finite > 0;
    *out_stats = (ls_stats){
        .elements = j.elements,
        .nan = whole.nan,
        .inf = whole.inf,
        .zeros = whole.zeros,
        .min = any ? whole.min : NAN,
        .max = any ? whole.max : NAN,
        .mean = ls_summary_mean(&whole),
        .std = ls_summary_std(&whole),
        .l2 = ls_summary_l2(&whole),
    };
    return LOCKSTEP_OK;
}
