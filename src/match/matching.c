#include "match/matching.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/pattern.h"
#include "base/ranges.h"
#include "match/chosen_passes.h"

static lockstep_status no_memory(lockstep_error *error) { return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory"); }

#define LS_METHOD_ROW(id, name, function) function,
static lockstep_status (*const methods[])(ls_matching *matching, size_t from, lockstep_error *error) = {
#include "match/method_table.h"
};
#undef LS_METHOD_ROW

lockstep_status ls_matching_init(ls_match_inputs *in, ls_pairs *pairs, ls_arena *arena, ls_matching *out, lockstep_error *error) {
    *out = (ls_matching){.in = in, .pairs = pairs, .arena = arena};
    out->reference_used = calloc(in->reference.trace->node_count + 1, sizeof *out->reference_used);
    out->reference_outputs = ls_values_outputs(&in->reference.values, true);
    if (in->passes != NULL) {
        ls_alike_pass *chosen;
        LS_TRY(ls_chosen_passes_read(in->passes, in->reference.trace, in->candidate.trace, arena, &chosen, &out->tokens.chosen_count, error));
        out->tokens.chosen = chosen;
    }
    return out->reference_used != NULL && out->reference_outputs != NULL ? LOCKSTEP_OK : no_memory(error);
}

void ls_matching_done(ls_matching *m) {
    for (size_t i = 0; i < m->geometry_count; i++)
        if (m->geometry[i].has_grids)
            ls_grids_done(&m->geometry[i].grids);
    free(m->geometry);
    free(m->reference_used);
    free(m->reference_outputs);
    free(m->wanted);
    free(m->pair_of);
    free(m->facts);
    ls_map_done(&m->votes);
    ls_token_alignment_done(&m->tokens);
    *m = (ls_matching){0};
}

/* ------------------------------------------------------------------ growing */

static bool make_room(ls_matching *m) {
    const ls_trace *candidate = m->in->candidate.trace;
    size_t had = m->node_capacity, nodes = ls_doubled(had, candidate->node_count + 1);
    size_t had_passes = m->pass_capacity, passes = ls_doubled(had_passes, candidate->pass_count + 1);
    if (!ls_extend(&m->wanted, had, nodes, sizeof *m->wanted) || !ls_extend(&m->pair_of, had, nodes, sizeof *m->pair_of) ||
        !ls_extend(&m->facts, had_passes, passes, sizeof *m->facts))
        return false;
    m->node_capacity = nodes;
    m->pass_capacity = passes;
    return true;
}

/* Marks the new nodes that are to be compared. */
static lockstep_status select_nodes(ls_matching *m, lockstep_error *error) {
    const ls_match_inputs *in = m->in;
    const ls_trace *candidate = in->candidate.trace;
    regex_t names;
    if (in->tensors != NULL && !ls_pattern_compile(in->tensors, &names))
        return ls_pattern_refused(error, "--tensors", in->tensors);
    for (size_t i = m->seen; i < candidate->node_count; i++) {
        const ls_node *n = &candidate->nodes[i];
        bool kept = candidate->only == NULL || ls_node_has_values(n) || n->lost != NULL;
        m->wanted[i] = kept && (in->tensors == NULL || regexec(&names, n->name, 0, NULL, 0) == 0) &&
                       (in->layers == NULL || ls_ranges_hold(in->layers, n->layer));
    }
    if (in->tensors != NULL)
        regfree(&names);
    return LOCKSTEP_OK;
}

/* A pass that ends in tensors without elements computes for its caches alone. */
static void note_outputs(ls_matching *m) {
    const ls_trace *candidate = m->in->candidate.trace;
    for (size_t i = m->seen; i < candidate->node_count; i++) {
        const ls_node *n = &candidate->nodes[i];
        if (n->pass == LS_NONE)
            continue;
        if (n->elements == 0 && ls_node_is_operation(n))
            m->facts[n->pass].output = 0;
        else if (n->elements > 0 && ls_values_is_own(&m->in->candidate.values, i) && ls_node_has_values(n))
            m->facts[n->pass].output = i + 1;
    }
}

/* The first node to look at: a pass may have found its partner only now. */
static size_t first_node_of(const ls_matching *m, size_t first_new_pass_pair) {
    size_t from = m->seen;
    for (size_t i = first_new_pass_pair; i < m->tokens.pair_count; i++) {
        size_t first = m->in->candidate.trace->passes[m->tokens.pairs[i].candidate].first_node;
        from = first < from ? first : from;
    }
    return from;
}

static int32_t last_position(const ls_pass *pass) {
    int32_t last = -1;
    for (size_t i = 0; pass->positions != NULL && i < pass->rows; i++)
        last = pass->positions[i] > last ? pass->positions[i] : last;
    return last;
}

/* A pass over several pictures, and one over one of them, as passes with so many rows. */
static const ls_pass_pair *items_of(ls_matching *m, const ls_pass_pair *pair) {
    ls_pass_pair *items = ls_arena_array(m->arena, 1, sizeof *items);
    ls_row_pair *row = ls_arena_array(m->arena, 1, sizeof *row);
    if (items == NULL || row == NULL)
        return NULL;
    *row = (ls_row_pair){(uint32_t)(pair->reference_items > 1 ? pair->item : 0), (uint32_t)(pair->candidate_items > 1 ? pair->item : 0)};
    *items = *pair;
    items->rows = row;
    items->row_count = 1;
    items->whole = false;
    return items;
}

static bool measure_passes(ls_matching *m) {
    for (size_t i = m->geometry_count; i < m->tokens.pair_count; i++) {
        const ls_pass_pair *pair = &m->tokens.pairs[i];
        const ls_pass *reference = &m->in->reference.trace->passes[pair->reference], *candidate = &m->in->candidate.trace->passes[pair->candidate];
        if (!ls_grow((void **)&m->geometry, i, &m->geometry_capacity, sizeof *m->geometry))
            return false;
        ls_pass_geometry *g = &m->geometry[i];
        *g = (ls_pass_geometry){.reference_last = last_position(reference), .candidate_last = last_position(candidate),
                               .last_row = (int32_t)(candidate->rows > 0 ? candidate->rows : reference->rows) - 1, .reference_sequences = ls_grid_of(reference).sequences, .candidate_sequences = ls_grid_of(candidate).sequences};
        if (pair->reference_items > 0 && (g->items = items_of(m, pair)) == NULL)
            return false;
        g->has_grids = pair->rows != NULL && !pair->whole && ls_grids_read(reference, candidate, pair, &g->grids);
        m->geometry_count = i + 1;
    }
    return true;
}

static lockstep_status apply_methods(ls_matching *m, size_t from, lockstep_error *error) {
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        LS_TRY(methods[i](m, from, error));
    for (size_t i = 0; i < m->in->candidate.trace->pass_count; i++)
        m->facts[i].was_whole = m->facts[i].was_whole || ls_matching_has_whole(m, i);
    return LOCKSTEP_OK;
}

lockstep_status ls_matching_grow(ls_matching *m, lockstep_error *error) {
    ls_side *candidate = &m->in->candidate;
    size_t pass_pairs_before = m->tokens.pair_count;
    if (!make_room(m))
        return no_memory(error);
    LS_TRY(ls_side_grow(candidate, error));
    note_outputs(m);
    LS_TRY(select_nodes(m, error));
    LS_TRY(ls_tokens_align(&m->tokens, m->in->reference.trace, candidate->trace, error));
    if (!measure_passes(m))
        return no_memory(error);
    LS_TRY(ls_side_describe(candidate, m->seen, error));
    size_t from = first_node_of(m, pass_pairs_before);
    LS_TRY(apply_methods(m, from, error));
    ls_pass_facts_read(candidate->trace, from, m->facts);
    LS_TRY(ls_kv_windows_read(candidate->trace, from, candidate->windows, error));
    m->seen = candidate->trace->node_count;
    return LOCKSTEP_OK;
}

/* A filter left the values out of the recording: nothing to compare, and nothing wrong. Values
 * that were lost have a reason, and are paired so that they are reported. */
static bool was_left_out(const ls_node *n) { return !ls_node_has_values(n) && n->lost == NULL; }

lockstep_status ls_matching_add(ls_matching *m, const ls_pair *pair, lockstep_error *error) {
    const ls_trace *r = m->in->reference.trace, *c = m->in->candidate.trace;
    size_t value = m->in->candidate.values.value_of[pair->candidate], root = m->in->reference.values.value_of[pair->reference];
    if (m->pair_of[value] != 0 || !m->wanted[value] || c->nodes[value].elements == 0)
        return LOCKSTEP_OK;
    /* an alias may have been recorded by itself, in its own layout */
    size_t reference_value = ls_node_has_values(&r->nodes[pair->reference]) ? pair->reference : root;
    if (was_left_out(&c->nodes[value]) || was_left_out(&r->nodes[reference_value]))
        return LOCKSTEP_OK;
    if (!ls_grow((void **)&m->pairs->items, m->pairs->count, &m->pairs->capacity, sizeof *m->pairs->items))
        return no_memory(error);
    ls_pair *added = &m->pairs->items[m->pairs->count++];
    *added = *pair;
    added->reference_value = reference_value;
    added->candidate_value = value;
    m->pair_of[value] = m->pairs->count;
    m->reference_used[root] = true;
    return LOCKSTEP_OK;
}

void ls_matching_retract(ls_matching *m, const bool *dropped) {
    size_t kept = 0;
    for (size_t i = 0; i < m->pairs->count; i++) {
        const ls_pair *p = &m->pairs->items[i];
        m->pair_of[p->candidate_value] = 0;
        m->reference_used[m->in->reference.values.value_of[p->reference]] = false;
    }
    for (size_t i = 0; i < m->pairs->count; i++) {
        if (dropped[i])
            continue;
        m->pairs->items[kept++] = m->pairs->items[i];
        const ls_pair *p = &m->pairs->items[kept - 1];
        m->pair_of[p->candidate_value] = kept;
        m->reference_used[m->in->reference.values.value_of[p->reference]] = true;
    }
    m->pairs->count = kept;
}

/* ------------------------------------------------------------------ finishing */

static bool has_paired_candidate(const ls_token_alignment *tokens, size_t pass) {
    size_t at = ls_token_alignment_from(tokens, pass);
    return at < tokens->pair_count && tokens->pairs[at].candidate == pass;
}

size_t ls_value_before_weight(const ls_values *v, const ls_node *n) {
    const ls_node *nodes = v->trace->nodes;
    if (n->source_count != 2 || (n->kind->id != LS_OP_ADD && n->kind->id != LS_OP_MUL))
        return LS_NONE;
    for (int k = 0; k < 2; k++) {
        size_t weight = v->value_of[n->sources[k]], value = v->value_of[n->sources[1 - k]];
        while (nodes[weight].role == LOCKSTEP_ROLE_VIEW && nodes[weight].source_count > 0)
            weight = nodes[weight].sources[0];
        if (nodes[weight].role == LOCKSTEP_ROLE_WEIGHT && ls_values_is_own(v, value) && nodes[value].elements == n->elements)
            return value;
    }
    return LS_NONE;
}

/* How often each value is used; views and aliases are no uses of their own. */
static unsigned *count_uses(const ls_values *v) {
    const ls_trace *t = v->trace;
    unsigned *uses = calloc(t->node_count + 1, sizeof *uses);
    for (size_t i = 0; uses != NULL && i < t->node_count; i++)
        for (size_t k = 0; v->value_of[i] == i && k < t->nodes[i].source_count; k++)
            uses[v->value_of[t->nodes[i].sources[k]]]++;
    return uses;
}

/* A product that is used only to add its bias, or a norm that is used only to multiply by its
 * weight, is compared as part of the result: the other side computes both in one step. */
static lockstep_status find_absorbed(ls_matching *m, lockstep_error *error) {
    const ls_values *v = &m->in->candidate.values;
    size_t count = m->in->candidate.trace->node_count;
    unsigned *uses = count_uses(v);
    m->absorbed_into = ls_arena_array(m->arena, count + 1, sizeof *m->absorbed_into);
    if (uses == NULL || m->absorbed_into == NULL) {
        free(uses);
        return no_memory(error);
    }
    for (size_t i = count; i-- > 0;) {
        size_t before = ls_value_before_weight(v, &m->in->candidate.trace->nodes[i]);
        size_t by = m->pair_of[i] != 0 ? m->pair_of[i] : m->absorbed_into[i];
        if (before != LS_NONE && by != 0 && m->pair_of[before] == 0 && uses[before] == 1 && m->wanted[before])
            m->absorbed_into[before] = by;
    }
    free(uses);
    return LOCKSTEP_OK;
}

static lockstep_status list_unpaired(ls_matching *m, lockstep_error *error) {
    const ls_trace *c = m->in->candidate.trace, *r = m->in->reference.trace;
    bool *has_pair = ls_arena_array(m->arena, r->pass_count + 1, sizeof *has_pair); /* of the reference's passes */
    m->candidate_only = ls_arena_array(m->arena, c->node_count + 1, sizeof *m->candidate_only);
    m->reference_only = ls_arena_array(m->arena, r->node_count + 1, sizeof *m->reference_only);
    if (m->candidate_only == NULL || m->reference_only == NULL || has_pair == NULL)
        return no_memory(error);
    for (size_t i = 0; i < m->tokens.pair_count; i++)
        has_pair[m->tokens.pairs[i].reference] = true;
    for (size_t i = 0; i < c->node_count; i++) {
        if (!m->wanted[i] || !ls_values_is_own(&m->in->candidate.values, i) || c->nodes[i].elements == 0 || !has_paired_candidate(&m->tokens, c->nodes[i].pass))
            continue;
        m->candidate_total++;
        m->absorbed_count += m->pair_of[i] == 0 && m->absorbed_into[i] != 0;
        if (m->pair_of[i] == 0 && m->absorbed_into[i] == 0)
            m->candidate_only[m->candidate_only_count++] = i;
    }
    for (size_t i = 0; i < r->node_count; i++)
        if (ls_values_is_own(&m->in->reference.values, i) && r->nodes[i].elements > 0 && !m->reference_used[i] && r->nodes[i].pass < r->pass_count && has_pair[r->nodes[i].pass])
            m->reference_only[m->reference_only_count++] = i;
    return LOCKSTEP_OK;
}

static int by_reference_order(const void *a, const void *b) {
    const ls_pair *x = a, *y = b;
    return x->reference_value < y->reference_value ? -1 : x->reference_value > y->reference_value;
}

static int by_candidate_order(const void *a, const void *b) {
    const ls_pair *x = a, *y = b;
    if (x->candidate_value != y->candidate_value)
        return x->candidate_value < y->candidate_value ? -1 : 1;
    return x->is_extra - y->is_extra;
}

lockstep_status ls_matching_finish(ls_matching *m, bool by_reference, lockstep_error *error) {
    ls_pairs *pairs = m->pairs;
    if (pairs->count > 0)
        qsort(pairs->items, pairs->count, sizeof *pairs->items, by_reference ? by_reference_order : by_candidate_order);
    for (size_t i = 0; i < pairs->count; i++) {
        if (!pairs->items[i].is_extra)
            m->pair_of[pairs->items[i].candidate_value] = i + 1;
        m->by_method[pairs->items[i].method]++;
    }
    LS_TRY(find_absorbed(m, error));
    return list_unpaired(m, error);
}
