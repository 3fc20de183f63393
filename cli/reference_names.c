#include "reference_names.h"

#include <stdlib.h>

#include "match/match_by_rules.h"
#include "trace/trace.h"

typedef struct naming_nodes {
    const ls_values *values;
    const char **names; /* per node */
    ls_arena *arena;
    bool failed;
} naming_nodes;

/* The first rule that fits a tensor is used, and the first of its names. */
static void name_node(naming_nodes *n, const ls_rule *rule, size_t pass, int layer) {
    char name[LS_RULE_NAME];
    const size_t node = ls_rule_find_candidate(n->values, rule, pass, layer), value = node != LS_NONE ? n->values->value_of[node] : LS_NONE;
    if (value == LS_NONE || n->names[value] != NULL || !ls_rules_expand(rule->references[0], layer, -1, name, sizeof name))
        return;
    const long occurrence = rule->reference_occurrence + rule->reference_stride * layer;
    n->names[value] = occurrence > 0 ? ls_arena_printf(n->arena, "%s#%ld", name, occurrence + 1) : ls_arena_printf(n->arena, "%s", name);
    n->failed = n->failed || n->names[value] == NULL;
}

static void name_nodes(naming_nodes *n, const ls_rules *rules) {
    const ls_trace *t = n->values->trace;
    const int last = ls_trace_last_layer(t);
    for (size_t i = 0; i < rules->count; i++)
        for (size_t pass = 0; pass < t->pass_count; pass++)
            for (int layer = 0; layer <= (rules->rules[i].per_layer ? last : 0) && ls_rule_is_for(n->values, &rules->rules[i], pass); layer++)
                name_node(n, &rules->rules[i], pass, layer);
}

/* Keeps the names of the nodes that have values: those that a listing shows. */
static void keep_listed(const ls_trace *t, reference_names *out) {
    for (size_t i = 0; i < t->node_count; i++)
        if (ls_node_has_values(&t->nodes[i]))
            out->names[out->count++] = out->names[i];
}

static lockstep_status name_trace(const ls_trace *t, const ls_rules *rules, reference_names *out, lockstep_error *error) {
    ls_values values;
    LS_TRY(ls_values_init(t, &values, error));
    out->names = calloc(t->node_count + 1, sizeof *out->names);
    naming_nodes n = {.values = &values, .names = out->names, .arena = &out->arena, .failed = out->names == NULL};
    if (!n.failed)
        name_nodes(&n, rules);
    ls_values_done(&values);
    if (n.failed)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    keep_listed(t, out);
    return LOCKSTEP_OK;
}

lockstep_status reference_names_open(const char *trace, const char *map, reference_names *out, lockstep_error *error) {
    ls_rules rules;
    ls_trace *t;
    *out = (reference_names){0};
    LS_TRY(ls_rules_open(map, &rules, error));
    lockstep_status status = ls_trace_open(trace, &t, error);
    if (status == LOCKSTEP_OK) {
        status = name_trace(t, &rules, out, error);
        ls_trace_close(t);
    }
    ls_rules_done(&rules);
    if (status != LOCKSTEP_OK)
        reference_names_done(out);
    return status;
}

void reference_names_done(reference_names *names) {
    free(names->names);
    ls_arena_done(&names->arena);
    *names = (reference_names){0};
}
