/* A trace's nodes folded into values: a module's output, its alias and a reshape of
 * it are one value under several labels. */
#ifndef LS_MATCH_VALUES_H
#define LS_MATCH_VALUES_H

#include "base/map.h"
#include "preset/rules.h"
#include "trace/trace.h"

/* Nodes + 1 by a key that is computed from them; 0: free. */
typedef struct ls_node_table {
    uint32_t *slots;
    size_t count, capacity; /* capacity is a power of two, or 0 */
} ls_node_table;

/* Under what a node is filed. */
typedef struct ls_node_label {
    uint32_t name, op;           /* numbers of the two strings, from 1 */
    uint32_t of_name, of_name_op; /* how many nodes of the same pass and name, and of the same operation, too, come before it */
} ls_node_label;

typedef struct ls_values {
    const ls_trace *trace;
    size_t count, capacity; /* of the nodes that are folded in */
    size_t *value_of;       /* node -> the node that holds its values (itself, mostly) */
    size_t *next_same;      /* node -> the next of the same pass and name, or LS_NONE */
    ls_node_label *labels;  /* per node */
    ls_map strings;         /* name or operation -> its number, from 1 */
    ls_node_table by_name, by_name_op;     /* every node */
    ls_node_table last_by_name, last_by_name_op; /* the last node of each pass and name (and operation) */
    ls_map unnumbered;      /* of a container: name without a number in front -> node + 1, or that there are several */
} ls_values;

/* What a rule looks for; name is complete, the others narrow it. */
typedef struct ls_label {
    const char *name;
    const char *op;       /* NULL: any */
    const char *of;       /* a label of its first computed source; NULL: any */
    long occurrence;      /* among those that match so far, LS_FIRST or LS_LAST */
} ls_label;

lockstep_status ls_values_init(const ls_trace *trace, ls_values *out_values, lockstep_error *error);
/* Takes in what the trace has got since. */
lockstep_status ls_values_grow(ls_values *values, lockstep_error *error);
void ls_values_done(ls_values *values);

/* The node with this label in a pass, or LS_NONE. */
size_t ls_values_find(const ls_values *values, size_t pass, const ls_label *label);
/* The node that has this name when numbers in front are left out on both sides (files are
 * numbered so that they sort); LS_NONE also where several have. */
size_t ls_values_find_unnumbered(const ls_values *values, size_t pass, const char *name);
/* A computed tensor of its own: what can be paired. */
bool ls_values_is_own(const ls_values *values, size_t node);
/* For each pass, the last tensor of its own that it computed: its output; or LS_NONE.
 * `kept`: of those whose values were kept. The caller frees it; NULL when out of memory. */
size_t *ls_values_outputs(const ls_values *values, bool kept);

#endif
