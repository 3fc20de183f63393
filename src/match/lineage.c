#include "match/lineage.h"

#include <stdlib.h>

bool ls_lineage_init(const ls_values *values, ls_lineage *out) {
    const size_t count = values->trace->node_count + 1;
    *out = (ls_lineage){values, calloc(count, sizeof *out->after), calloc(count, sizeof *out->before)};
    return out->after != NULL && out->before != NULL;
}

void ls_lineage_done(ls_lineage *l) {
    free(l->after);
    free(l->before);
    *l = (ls_lineage){0};
}

static size_t input_of(const ls_node *n, size_t k) { return k < n->source_count ? n->sources[k] : n->alias_of; }

static size_t later(size_t a, size_t b) { return a > b ? a : b; }

static size_t earlier(size_t a, size_t b) { return a < b ? a : b; }

void ls_lineage_trace(ls_lineage *l, const size_t *partners) {
    const ls_trace *t = l->values->trace;
    const size_t *value_of = l->values->value_of;
    for (size_t i = 0; i < t->node_count; i++) {
        l->after[i] = 0;
        l->before[i] = LS_NONE;
        for (size_t k = 0; k <= t->nodes[i].source_count; k++) {
            const size_t from = input_of(&t->nodes[i], k);
            if (from == LS_NONE || from >= i)
                continue;
            l->after[i] = later(l->after[i], l->after[from]);
            if (partners[value_of[from]] != LS_NONE && value_of[from] != i)
                l->after[i] = later(l->after[i], partners[value_of[from]] + 1);
        }
    }
    for (size_t i = t->node_count; i-- > 0;)
        for (size_t k = 0; k <= t->nodes[i].source_count; k++) {
            const size_t from = input_of(&t->nodes[i], k), own = partners[value_of[i]];
            if (from == LS_NONE || from >= i)
                continue;
            l->before[from] = earlier(l->before[from], value_of[i] == value_of[from] ? l->before[i] : earlier(l->before[i], own));
        }
}
