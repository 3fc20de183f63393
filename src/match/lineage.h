/* Where the partner of a tensor may be: computed after the partners of what it is computed from, and before those of what
 * is computed from it. */
#ifndef LS_MATCH_LINEAGE_H
#define LS_MATCH_LINEAGE_H

#include "match/values.h"

/* Per node of a graph: nodes of the other side between which its partner is. */
typedef struct ls_lineage {
    const ls_values *values;
    size_t *after;  /* + 1: the last partner of an ancestor; 0: none */
    size_t *before; /* the first partner of a descendant; LS_NONE: none */
} ls_lineage;

bool ls_lineage_init(const ls_values *values, ls_lineage *out_lineage);
void ls_lineage_done(ls_lineage *lineage);
/* `partners`: per node that holds a value, its partner on the other side, or LS_NONE. */
void ls_lineage_trace(ls_lineage *lineage, const size_t *partners);
static inline bool ls_lineage_allows(const ls_lineage *l, size_t node, size_t partner) { return partner + 1 > l->after[node] && partner < l->before[node]; }

#endif
