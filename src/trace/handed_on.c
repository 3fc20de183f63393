#include "trace/handed_on.h"

#include <stdlib.h>

#include "tensor/dtype.h"

enum { FEWEST = 64 /* elements: less may be the same by chance */ };

typedef struct contents {
    uint64_t hash, elements;
} contents;

static bool is_known(const ls_node *n) { return n->xxh3 != 0 && n->elements >= FEWEST && n->pass != LS_NONE && !ls_node_is_integer(n); }

static bool set_source(ls_trace *t, ls_node *n, size_t source) {
    n->sources = ls_arena_array(&t->arena, 1, sizeof *n->sources);
    if (n->sources == NULL)
        return false;
    n->sources[0] = source;
    n->source_count = 1;
    return true;
}

/* ------------------------------------------------------------------ rows of a result */

/* The results of the last passes without tokens: what a tower has made of a picture, say. */
enum { RESULTS = 8 };
typedef struct results {
    size_t nodes[RESULTS], count; /* a ring: the last one is nodes[(count - 1) % RESULTS] */
} results;

static void note_result(results *r, const ls_trace *t, size_t node) {
    const size_t last = r->count > 0 ? r->nodes[(r->count - 1) % RESULTS] : LS_NONE;
    if (last != LS_NONE && t->nodes[last].pass == t->nodes[node].pass)
        r->count--;
    r->nodes[r->count++ % RESULTS] = node;
}

/* The row of a tensor at which another one's contents begin, or UINT64_MAX. */
static uint64_t row_of(const ls_view *whole, const ls_view *part, uint64_t row_bytes) {
    const uint64_t bytes = ls_view_elements(part) * ls_dtype(part->dtype)->block_bytes, all = ls_view_elements(whole) * ls_dtype(whole->dtype)->block_bytes;
    for (uint64_t at = 0; row_bytes > 0 && at + bytes <= all; at += row_bytes)
        if (memcmp(whole->data + at, part->data, row_bytes) == 0 && memcmp(whole->data + at, part->data, bytes) == 0)
            return at / row_bytes;
    return UINT64_MAX;
}

static bool is_plain(const ls_view *v) { return ls_dtype(v->dtype)->block_elements == 1 && ls_view_is_contiguous(v); }

/* Whether an input has consecutive rows of a result; it lies in it, then. */
static bool link_rows(ls_trace *t, ls_node *n, size_t result) {
    const ls_node *whole = &t->nodes[result];
    const uint64_t columns = n->rank > 0 ? n->shape[n->rank - 1] : 0;
    ls_hold big, small;
    if (whole->rank < 2 || n->rank < 2 || whole->shape[whole->rank - 1] != columns || whole->elements <= n->elements || strcmp(whole->dtype, n->dtype) != 0 ||
        ls_trace_hold(t, result, &big, NULL) != LOCKSTEP_OK)
        return false;
    bool found = false;
    if (ls_trace_hold(t, (size_t)(n - t->nodes), &small, NULL) == LOCKSTEP_OK) {
        const uint64_t row_bytes = columns * ls_dtype(small.view.dtype)->block_bytes;
        const bool comparable = big.view.dtype == small.view.dtype && is_plain(&big.view) && is_plain(&small.view);
        const uint64_t row = comparable ? row_of(&big.view, &small.view, row_bytes) : UINT64_MAX;
        found = row != UINT64_MAX && set_source(t, n, result);
        if (found) {
            n->view_of = result;
            n->offset = row * row_bytes;
        }
        ls_hold_release(&small);
    }
    ls_hold_release(&big);
    return found;
}

static void find_rows(ls_trace *t, ls_node *n, const results *r) {
    bool found = false;
    for (size_t i = 0; i < RESULTS && i < r->count && !found; i++) {
        const size_t result = r->nodes[(r->count - 1 - i) % RESULTS];
        found = t->nodes[result].pass != n->pass && link_rows(t, n, result);
    }
}

/* ------------------------------------------------------------------ all of it */

bool ls_trace_link_inputs(ls_trace *t) {
    ls_map computed = {0}; /* contents -> the last node that has them + 1 */
    results last = {0};
    bool ok = true;
    for (size_t i = 0; i < t->node_count && ok; i++) {
        ls_node *n = &t->nodes[i];
        const contents key = {n->xxh3, n->elements};
        if (!is_known(n))
            continue;
        if (ls_node_is_operation(n)) {
            uint64_t *at = ls_map_at(&computed, (const char *)&key, sizeof key);
            ok = at != NULL;
            if (ok)
                *at = i + 1;
            if (t->passes[n->pass].tokens == NULL)
                note_result(&last, t, i);
        }
        if (!ls_node_is_given_float(n) || !ls_node_has_values(n))
            continue;
        const uint64_t *source = ls_map_find(&computed, (const char *)&key, sizeof key);
        if (source == NULL)
            find_rows(t, n, &last);
        else if (t->nodes[*source - 1].pass != n->pass)
            ok = set_source(t, n, (size_t)*source - 1);
    }
    ls_map_done(&computed);
    return ok;
}
