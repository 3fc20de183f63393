#include "align/pair.h"

#include "align/content.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

enum { NAME_BYTES = 400 };

typedef struct pairing {
    ls_diff *diff;
    size_t from; /* candidate nodes before this one had their turn */
    size_t first_pass; /* of the nodes from there on */
    int last_layer;    /* of either side, at least 0 */
    lockstep_error *error;
} pairing;

/* Left out by a filter while recording: nothing to compare, and nothing wrong. What
 * was lost has a reason, and is paired, to be reported. */
static bool was_left_out(const ls_node *n) { return !ls_node_has_values(n) && n->lost == NULL; }

static lockstep_status add(pairing *p, size_t passes, size_t reference, size_t candidate, ls_how how, const ls_rule *rule) {
    ls_diff *d = p->diff;
    size_t value = d->candidate_values.value_of[candidate];
    if (d->pair_of[value] != 0 || !d->wanted[value] || d->candidate->nodes[value].elements == 0)
        return LOCKSTEP_OK;
    size_t root = d->reference_values.value_of[reference];
    /* an alias may have been kept by itself, in its own layout */
    size_t reference_value = ls_node_has_values(&d->reference->nodes[reference]) ? reference : root;
    if (was_left_out(&d->candidate->nodes[value]) || was_left_out(&d->reference->nodes[reference_value]))
        return LOCKSTEP_OK;
    if (!ls_grow((void **)&d->pairs, d->pair_count, &d->pair_capacity, sizeof *d->pairs))
        return ls_fail(p->error, LOCKSTEP_NO_MEMORY, "out of memory");
    d->pairs[d->pair_count++] = (ls_pair){.reference = reference, .candidate = candidate, .how = how, .passes = passes,
                                          .reference_value = reference_value, .candidate_value = value, .rule = rule};
    d->pair_of[value] = d->pair_count;
    d->reference_used[root] = true;
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ by rules */

/* The first of the rule's names, under the first of the prefixes, that is there. */
static size_t find_reference(const pairing *p, size_t pass, const ls_rules *rules, const ls_rule *rule, int layer) {
    static const char *const none[] = {"", NULL};
    char name[NAME_BYTES];
    ls_label label = {name, NULL, NULL, rule->reference_occurrence};
    for (const char *const *r = rule->references; *r != NULL; r++)
        for (const char *const *prefix = rules->prefixes != NULL ? rules->prefixes : none; *prefix != NULL; prefix++) {
            size_t length = strlen(*prefix);
            if (length >= sizeof name)
                continue;
            memcpy(name, *prefix, length);
            if (!ls_rules_expand(*r, layer, -1, name + length, sizeof name - length))
                continue;
            size_t reference = ls_values_find(&p->diff->reference_values, pass, &label);
            if (reference != LS_NONE)
                return reference;
        }
    return LS_NONE;
}

/* Nothing more will come of it. */
static bool is_whole(const ls_diff *d, size_t pass) { return d->candidate->memory == NULL || d->candidate->passes[pass].ended; }

/* The computed value that an operation adds a weight to, or multiplies by one; LS_NONE. */
static size_t made_from(const ls_values *v, const ls_node *n) {
    const ls_node *nodes = v->trace->nodes;
    if (n->source_count != 2 || (n->kind->id != LS_OP_ADD && n->kind->id != LS_OP_MUL))
        return LS_NONE;
    for (int k = 0; k < 2; k++) {
        size_t weight = v->value_of[n->sources[k]], value = v->value_of[n->sources[1 - k]];
        while (nodes[weight].role == LS_ROLE_VIEW && nodes[weight].source_count > 0)
            weight = nodes[weight].sources[0];
        if (nodes[weight].role == LS_ROLE_WEIGHT && ls_values_is_own(v, value) && nodes[value].elements == n->elements)
            return value;
    }
    return LS_NONE;
}

enum { BIAS_WITHIN = 8 }; /* nodes after a product, its bias is added */

/* A preset means a projection's result: where a bias is added to the product, that sum. */
static size_t with_bias(const pairing *p, size_t product) {
    const ls_trace *t = p->diff->candidate;
    const ls_node *n = &t->nodes[product];
    for (size_t i = product + 1; n->kind->id == LS_OP_MUL_MAT && i < t->node_count && i <= product + BIAS_WITHIN; i++)
        if (t->nodes[i].kind->id == LS_OP_ADD && made_from(&p->diff->candidate_values, &t->nodes[i]) == product)
            return i;
    return product;
}

/* Has the product's weight a bias beside it? Weights are known before what is computed. */
static bool has_bias(const pairing *p, const ls_node *product) {
    static const char weight[] = ".weight", bias[] = ".bias";
    const ls_trace *t = p->diff->candidate;
    for (size_t k = 0; k < product->source_count; k++) {
        const ls_node *n = &t->nodes[product->sources[k]];
        char name[NAME_BYTES];
        size_t length = strlen(n->name);
        if (n->role != LS_ROLE_WEIGHT || length < sizeof weight - 1 || length >= sizeof name || strcmp(n->name + length - (sizeof weight - 1), weight) != 0)
            continue;
        memcpy(name, n->name, length - (sizeof weight - 1));
        memcpy(name + length - (sizeof weight - 1), bias, sizeof bias);
        return ls_values_find(&p->diff->candidate_values, n->pass, &(ls_label){name, NULL, NULL, LS_FIRST}) != LS_NONE;
    }
    return false;
}

/* Its bias may still come. */
static bool waits_for_bias(const pairing *p, size_t node) {
    const ls_trace *t = p->diff->candidate;
    return t->nodes[node].kind->id == LS_OP_MUL_MAT && node + BIAS_WITHIN >= t->node_count && !is_whole(p->diff, t->nodes[node].pass) &&
           has_bias(p, &t->nodes[node]);
}

static lockstep_status apply_rule(pairing *p, size_t passes, const ls_rules *rules, const ls_rule *rule, int layer, ls_how how) {
    ls_diff *d = p->diff;
    const ls_pass_pair *pp = &d->rows.pairs[passes];
    char name[NAME_BYTES], of[NAME_BYTES] = "";
    ls_label label = {name, rule->op, rule->of != NULL ? of : NULL, rule->occurrence + rule->stride * layer};
    if (!ls_rules_expand(rule->candidate, layer, -1, name, sizeof name) ||
        (rule->of != NULL && !ls_rules_expand(rule->of, layer, -1, of, sizeof of)))
        return LOCKSTEP_OK;
    size_t candidate = ls_values_find(&d->candidate_values, pp->candidate, &label);
    if (candidate == LS_NONE)
        return LOCKSTEP_OK;
    if (how == LS_HOW_PRESET)
        candidate = with_bias(p, candidate);
    if (how == LS_HOW_PRESET && waits_for_bias(p, candidate))
        return LOCKSTEP_OK;
    size_t reference = find_reference(p, pp->reference, rules, rule, layer);
    return reference != LS_NONE ? add(p, passes, reference, candidate, how, rule) : LOCKSTEP_OK;
}

static int last_layer(const ls_trace *t) {
    int last = -1;
    for (size_t i = 0; i < t->node_count; i++)
        last = t->nodes[i].layer > last ? t->nodes[i].layer : last;
    return last;
}

static bool has_name(const ls_values *values, size_t pass, const char *name) {
    return ls_values_find(values, pass, &(ls_label){name, NULL, NULL, LS_FIRST}) != LS_NONE;
}

/* The candidate's pass is one that the rule is for. */
static bool is_for(const pairing *p, const ls_rule *rule, size_t pass) {
    const ls_values *values = &p->diff->candidate_values;
    for (const char *const *name = rule->needs; name != NULL && *name != NULL; name++)
        if (!has_name(values, pass, *name))
            return false;
    for (const char *const *name = rule->lacks; name != NULL && *name != NULL; name++)
        if (has_name(values, pass, *name))
            return false;
    return true;
}

static lockstep_status apply_to_pass(pairing *p, size_t passes, const ls_rules *rules, ls_how how, bool late) {
    for (size_t i = 0; i < rules->count; i++) {
        const ls_rule *rule = &rules->rules[i];
        if (ls_rule_is_late(rule) != late || !is_for(p, rule, p->diff->rows.pairs[passes].candidate))
            continue;
        for (int layer = rule->per_layer ? 0 : p->last_layer; layer <= p->last_layer; layer++)
            LS_TRY(apply_rule(p, passes, rules, rule, layer, how));
    }
    return LOCKSTEP_OK;
}

/* To passes of which there is something new, and to those that are whole now. */
static lockstep_status apply_rules(pairing *p, const ls_rules *rules, ls_how how) {
    const ls_rows *rows = &p->diff->rows;
    for (size_t passes = ls_rows_from(rows, p->first_pass); passes < rows->pair_count; passes++)
        LS_TRY(apply_to_pass(p, passes, rules, how, false));
    for (size_t passes = 0; passes < rows->pair_count; passes++)
        if (is_whole(p->diff, rows->pairs[passes].candidate) && !p->diff->facts[rows->pairs[passes].candidate].was_whole)
            LS_TRY(apply_to_pass(p, passes, rules, how, true));
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ by equality */

/* The same name; and the same operation and occurrence where both sides tell. */
static lockstep_status pair_equal_names(pairing *p) {
    ls_diff *d = p->diff;
    const ls_rows *rows = &d->rows;
    bool graphs = d->reference->is_graph && d->candidate->is_graph;
    for (size_t i = p->from; i < d->candidate->node_count; i++) {
        const ls_node *n = &d->candidate->nodes[i];
        if (!ls_values_is_own(&d->candidate_values, i))
            continue;
        /* an engine of one's own need not say which operations it has */
        ls_label label = {n->name, graphs && *n->op != '\0' ? n->op : NULL, NULL, graphs ? (long)n->occurrence : -1};
        for (size_t k = ls_rows_from(rows, n->pass); k < rows->pair_count && rows->pairs[k].candidate == n->pass; k++) {
            size_t reference = ls_values_find(&d->reference_values, rows->pairs[k].reference, &label);
            if (reference == LS_NONE && !graphs && ls_values_find_unnumbered(&d->candidate_values, n->pass, n->name) == i)
                reference = ls_values_find_unnumbered(&d->reference_values, rows->pairs[k].reference, n->name);
            if (reference != LS_NONE)
                LS_TRY(add(p, k, reference, i, LS_HOW_NAME, NULL));
        }
    }
    return LOCKSTEP_OK;
}

/* Two files of one tensor each need no equal names. */
static lockstep_status pair_the_only_two(pairing *p) {
    const ls_trace *r = p->diff->reference, *c = p->diff->candidate;
    if (r->is_graph || c->is_graph || r->node_count != 1 || c->node_count != 1 || p->diff->rows.pair_count != 1)
        return LOCKSTEP_OK;
    return add(p, 0, 0, 0, LS_HOW_ELIMINATION, NULL);
}

/* ------------------------------------------------------------------ what is left */

static bool in_a_pair(const ls_diff *d, size_t pass) {
    for (size_t i = 0; i < d->rows.pair_count; i++)
        if (d->rows.pairs[i].reference == pass)
            return true;
    return false;
}

static bool candidate_in_a_pair(const ls_rows *rows, size_t pass) {
    size_t at = ls_rows_from(rows, pass);
    return at < rows->pair_count && rows->pairs[at].candidate == pass;
}

/* A product whose one use is to get its bias, or a norm whose one use is to get its
 * weight, is compared with what comes of it: the other side does both at once. */
static lockstep_status find_implied(pairing *p) {
    ls_diff *d = p->diff;
    const ls_values *v = &d->candidate_values;
    size_t count = d->candidate->node_count;
    unsigned *uses = calloc(count + 1, sizeof *uses);
    d->implied_by = ls_arena_array(&d->arena, count + 1, sizeof *d->implied_by);
    if (uses == NULL || d->implied_by == NULL) {
        free(uses);
        return ls_fail(p->error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < count; i++)
        if (v->value_of[i] == i) /* views and aliases are no uses of their own */
            for (size_t k = 0; k < d->candidate->nodes[i].source_count; k++)
                uses[v->value_of[d->candidate->nodes[i].sources[k]]]++;
    for (size_t i = count; i-- > 0;) {
        size_t made = made_from(v, &d->candidate->nodes[i]);
        size_t by = d->pair_of[i] != 0 ? d->pair_of[i] : d->implied_by[i];
        if (made != LS_NONE && by != 0 && d->pair_of[made] == 0 && uses[made] == 1 && d->wanted[made])
            d->implied_by[made] = by;
    }
    free(uses);
    return LOCKSTEP_OK;
}

static lockstep_status list_unpaired(pairing *p) {
    ls_diff *d = p->diff;
    const ls_trace *c = d->candidate, *r = d->reference;
    d->candidate_only = ls_arena_array(&d->arena, c->node_count + 1, sizeof *d->candidate_only);
    d->reference_only = ls_arena_array(&d->arena, r->node_count + 1, sizeof *d->reference_only);
    if (d->candidate_only == NULL || d->reference_only == NULL)
        return ls_fail(p->error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < c->node_count; i++) {
        if (!d->wanted[i] || !ls_values_is_own(&d->candidate_values, i) || c->nodes[i].elements == 0 ||
            !candidate_in_a_pair(&d->rows, c->nodes[i].pass))
            continue;
        d->candidate_total++;
        d->implied_count += d->pair_of[i] == 0 && d->implied_by[i] != 0;
        if (d->pair_of[i] == 0 && d->implied_by[i] == 0)
            d->candidate_only[d->candidate_only_count++] = i;
    }
    for (size_t i = 0; i < r->node_count; i++)
        if (ls_values_is_own(&d->reference_values, i) && r->nodes[i].elements > 0 && !d->reference_used[i] &&
            in_a_pair(d, r->nodes[i].pass))
            d->reference_only[d->reference_only_count++] = i;
    return LOCKSTEP_OK;
}

static int by_reference(const void *a, const void *b) {
    const ls_pair *x = a, *y = b;
    return x->reference_value < y->reference_value ? -1 : x->reference_value > y->reference_value;
}

static int by_candidate(const void *a, const void *b) {
    const ls_pair *x = a, *y = b;
    if (x->candidate_value != y->candidate_value)
        return x->candidate_value < y->candidate_value ? -1 : 1;
    return x->extra - y->extra;
}

lockstep_status ls_pair_add(ls_diff *diff, size_t passes, size_t reference, size_t candidate, ls_how how, lockstep_error *error) {
    pairing p = {.diff = diff, .error = error};
    return add(&p, passes, reference, candidate, how, NULL);
}

lockstep_status ls_pair_nodes(ls_diff *diff, size_t from, lockstep_error *error) {
    int of_reference = last_layer(diff->reference), of_candidate = last_layer(diff->candidate);
    pairing p = {.diff = diff, .from = from, .first_pass = SIZE_MAX, .error = error};
    p.last_layer = of_reference > of_candidate ? of_reference : of_candidate;
    p.last_layer = p.last_layer > 0 ? p.last_layer : 0;
    for (size_t i = from; i < diff->candidate->node_count; i++)
        p.first_pass = diff->candidate->nodes[i].pass < p.first_pass ? diff->candidate->nodes[i].pass : p.first_pass;
    LS_TRY(apply_rules(&p, &diff->map, LS_HOW_MAP));
    LS_TRY(pair_equal_names(&p));
    LS_TRY(apply_rules(&p, &diff->preset, LS_HOW_PRESET));
    for (size_t i = 0; i < diff->candidate->pass_count; i++)
        diff->facts[i].was_whole = diff->facts[i].was_whole || is_whole(diff, i);
    LS_TRY(pair_the_only_two(&p));
    return ls_content_pair(diff, error);
}

lockstep_status ls_pair_finish(ls_diff *diff, lockstep_error *error) {
    pairing p = {.diff = diff, .error = error};
    diff->order_of_reference = diff->reference->is_graph > diff->candidate->is_graph || (diff->reference->is_ordered && !diff->candidate->is_graph);
    diff->order_known = diff->reference->is_ordered || diff->candidate->is_ordered;
    if (diff->pair_count > 0)
        qsort(diff->pairs, diff->pair_count, sizeof *diff->pairs, diff->order_of_reference ? by_reference : by_candidate);
    for (size_t i = 0; i < diff->pair_count; i++) {
        if (!diff->pairs[i].extra)
            diff->pair_of[diff->pairs[i].candidate_value] = i + 1;
        diff->by_how[diff->pairs[i].how]++;
    }
    LS_TRY(find_implied(&p));
    return list_unpaired(&p);
}
