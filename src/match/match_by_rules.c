/* Pairs by naming rules: the user's map, and the preset of the model. */
#include <stdlib.h>
#include <string.h>

#include "match/match_by_rules.h"
#include "match/matching.h"

size_t ls_rule_find_candidate(const ls_values *candidate, const ls_rule *rule, size_t pass, int layer) {
    char name[LS_RULE_NAME], of[LS_RULE_NAME] = "";
    const ls_label label = {name, rule->op, rule->of != NULL ? of : NULL, rule->occurrence + rule->stride * layer};
    if (!ls_rules_expand(rule->candidate, layer, -1, name, sizeof name) || (rule->of != NULL && !ls_rules_expand(rule->of, layer, -1, of, sizeof of)))
        return LS_NONE;
    return ls_values_find(candidate, pass, &label);
}

static bool has_name(const ls_values *values, size_t pass, const char *name) {
    return ls_values_find(values, pass, &(ls_label){name, NULL, NULL, LS_FIRST}) != LS_NONE;
}

bool ls_rule_is_for(const ls_values *candidate, const ls_rule *rule, size_t pass) {
    for (const char *const *name = rule->needs; name != NULL && *name != NULL; name++)
        if (!has_name(candidate, pass, *name))
            return false;
    for (const char *const *name = rule->lacks; name != NULL && *name != NULL; name++)
        if (has_name(candidate, pass, *name))
            return false;
    return true;
}

typedef struct applying {
    ls_matching *m;
    const ls_rules *rules;
    ls_method method;
    size_t first_pass; /* of the nodes that are new */
    int last_layer;    /* of either side, at least 0 */
    lockstep_error *error;
} applying;

/* The first of the rule's names, under the first of the prefixes, that the reference has. */
static size_t find_reference(const applying *a, size_t pass, const ls_rule *rule, int layer) {
    static const char *const none[] = {"", NULL};
    char name[LS_RULE_NAME];
    ls_label label = {name, NULL, NULL, rule->reference_occurrence + rule->reference_stride * layer};
    for (const char *const *r = rule->references; *r != NULL; r++)
        for (const char *const *prefix = a->rules->prefixes != NULL ? a->rules->prefixes : none; *prefix != NULL; prefix++) {
            size_t length = strlen(*prefix);
            if (length >= sizeof name)
                continue;
            memcpy(name, *prefix, length);
            if (!ls_rules_expand(*r, layer, -1, name + length, sizeof name - length))
                continue;
            size_t reference = ls_values_find(&a->m->in->reference.values, pass, &label);
            if (reference != LS_NONE)
                return reference;
        }
    return LS_NONE;
}

/* ------------------------------------------------------------------ biases */

enum { BIAS_WITHIN = 8 }; /* nodes between a product and the sum with its bias */

/* A preset names the result of a projection: where a bias is added to the product, that is the sum. */
static size_t with_bias(const applying *a, size_t product) {
    const ls_trace *t = a->m->in->candidate.trace;
    const ls_node *n = &t->nodes[product];
    for (size_t i = product + 1; n->kind->id == LS_OP_MUL_MAT && i < t->node_count && i <= product + BIAS_WITHIN; i++)
        if (t->nodes[i].kind->id == LS_OP_ADD && ls_value_before_weight(&a->m->in->candidate.values, &t->nodes[i]) == product)
            return i;
    return product;
}

/* Is there a bias beside the product's weight? Weights are known before what is computed. */
static bool has_bias(const applying *a, const ls_node *product) {
    static const char weight[] = ".weight", bias[] = ".bias";
    const ls_trace *t = a->m->in->candidate.trace;
    for (size_t k = 0; k < product->source_count; k++) {
        const ls_node *n = &t->nodes[product->sources[k]];
        char name[LS_RULE_NAME];
        size_t length = strlen(n->name);
        if (n->role != LOCKSTEP_ROLE_WEIGHT || length < sizeof weight - 1 || length >= sizeof name || strcmp(n->name + length - (sizeof weight - 1), weight) != 0)
            continue;
        memcpy(name, n->name, length - (sizeof weight - 1));
        memcpy(name + length - (sizeof weight - 1), bias, sizeof bias);
        return ls_values_find(&a->m->in->candidate.values, n->pass, &(ls_label){name, NULL, NULL, LS_FIRST}) != LS_NONE;
    }
    return false;
}

/* The sum with its bias may still come. */
static bool waits_for_bias(const applying *a, size_t node) {
    const ls_trace *t = a->m->in->candidate.trace;
    return t->nodes[node].kind->id == LS_OP_MUL_MAT && node + BIAS_WITHIN >= t->node_count && !ls_matching_has_whole(a->m, t->nodes[node].pass) &&
           has_bias(a, &t->nodes[node]);
}

/* ------------------------------------------------------------------ rules */

static lockstep_status apply_rule(applying *a, size_t pass_pair, const ls_rule *rule, int layer) {
    const ls_pass_pair *pp = &a->m->tokens.pairs[pass_pair];
    size_t candidate = ls_rule_find_candidate(&a->m->in->candidate.values, rule, pp->candidate, layer);
    if (candidate == LS_NONE)
        return LOCKSTEP_OK;
    if (a->method == LS_METHOD_PRESET)
        candidate = with_bias(a, candidate);
    if (a->method == LS_METHOD_PRESET && waits_for_bias(a, candidate))
        return LOCKSTEP_OK;
    size_t reference = find_reference(a, pp->reference, rule, layer);
    if (reference == LS_NONE)
        return LOCKSTEP_OK;
    return ls_matching_add(a->m, &(ls_pair){.pass_pair = pass_pair, .reference = reference, .candidate = candidate, .method = a->method, .rule = rule}, a->error);
}

static lockstep_status apply_to_pass(applying *a, size_t pass_pair, bool late) {
    for (size_t i = 0; i < a->rules->count; i++) {
        const ls_rule *rule = &a->rules->rules[i];
        if (ls_rule_is_late(rule) != late || !ls_rule_is_for(&a->m->in->candidate.values, rule, a->m->tokens.pairs[pass_pair].candidate))
            continue;
        for (int layer = rule->per_layer ? 0 : a->last_layer; layer <= a->last_layer; layer++)
            LS_TRY(apply_rule(a, pass_pair, rule, layer));
    }
    return LOCKSTEP_OK;
}

/* To passes that have new nodes, and late rules to passes that have just become whole. */
static lockstep_status apply(ls_matching *m, const ls_rules *rules, ls_method method, size_t from, lockstep_error *error) {
    const ls_trace *candidate = m->in->candidate.trace;
    int of_reference = ls_trace_last_layer(m->in->reference.trace), of_candidate = ls_trace_last_layer(candidate);
    applying a = {.m = m, .rules = rules, .method = method, .first_pass = SIZE_MAX, .error = error};
    a.last_layer = of_reference > of_candidate ? of_reference : of_candidate;
    a.last_layer = a.last_layer > 0 ? a.last_layer : 0;
    for (size_t i = from; i < candidate->node_count; i++)
        a.first_pass = candidate->nodes[i].pass < a.first_pass ? candidate->nodes[i].pass : a.first_pass;
    for (size_t pass_pair = ls_token_alignment_from(&m->tokens, a.first_pass); pass_pair < m->tokens.pair_count; pass_pair++)
        LS_TRY(apply_to_pass(&a, pass_pair, false));
    for (size_t pass_pair = 0; pass_pair < m->tokens.pair_count; pass_pair++) {
        size_t pass = m->tokens.pairs[pass_pair].candidate;
        if (ls_matching_has_whole(m, pass) && !m->facts[pass].was_whole)
            LS_TRY(apply_to_pass(&a, pass_pair, true));
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_match_by_map(ls_matching *m, size_t from, lockstep_error *error) { return m->in->map.count > 0 ? apply(m, &m->in->map, LS_METHOD_MAP, from, error) : LOCKSTEP_OK; }

lockstep_status ls_match_by_preset(ls_matching *m, size_t from, lockstep_error *error) {
    return m->in->preset.count > 0 ? apply(m, &m->in->preset, LS_METHOD_PRESET, from, error) : LOCKSTEP_OK;
}
