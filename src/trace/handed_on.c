#include "trace/handed_on.h"

enum { FEWEST = 64 /* elements: less may be the same by chance */ };

typedef struct contents {
    uint64_t hash, elements;
} contents;

static bool is_known(const ls_node *n) { return n->xxh3 != 0 && n->elements >= FEWEST && n->pass != LS_NONE && !ls_node_is_integer(n); }

bool ls_trace_link_inputs(ls_trace *t) {
    ls_map computed = {0}; /* contents -> the last node that has them + 1 */
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
        }
        const uint64_t *source = ls_node_is_given_float(n) ? ls_map_find(&computed, (const char *)&key, sizeof key) : NULL;
        if (source == NULL || t->nodes[*source - 1].pass == n->pass)
            continue;
        n->sources = ls_arena_array(&t->arena, 1, sizeof *n->sources);
        ok = n->sources != NULL;
        if (ok) {
            n->sources[0] = (size_t)*source - 1;
            n->source_count = 1;
        }
    }
    ls_map_done(&computed);
    return ok;
}
