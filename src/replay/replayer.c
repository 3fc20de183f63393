#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "replay/replayer.h"

enum { LOST = 100 /* operations in a row of which none was found: then nothing will be */ };
/* Multiplications for those of a pass: */
#define GUESSES 0x1p35
#define DRAWS 0x1p36

/* ------------------------------------------------------------------ settling */

enum { ROOTS = 256 };

static size_t add_root(size_t *list, size_t count, size_t root) {
    for (size_t i = 0; i < count; i++)
        if (list[i] == root)
            return count;
    if (count < ROOTS)
        list[count++] = root;
    return count;
}

/* The reference's input with the content of one of a node's operands: what begins within a pass, as a decoder behind its encoder,
 * is computed from nothing else. */
static size_t add_input(const ls_replayer *w, size_t node, size_t *list, size_t count) {
    const ls_node *n = &w->candidate->nodes[node];
    const size_t pass = w->m->tokens.pairs[w->pass_pair].reference;
    for (size_t k = 0; k < n->operand_count && count == 0; k++) {
        const ls_node *input = n->operands[k] != LS_NONE ? &w->candidate->nodes[ls_replayer_base(w, n->operands[k])] : NULL;
        if (input == NULL || input->role != LOCKSTEP_ROLE_INPUT || input->xxh3 == 0)
            continue;
        for (size_t i = w->partners.trace->passes[pass].first_node; i < w->partners.trace->passes[pass].end_node && i < w->partners.trace->node_count; i++) {
            const ls_node *r = &w->partners.trace->nodes[i];
            if (r->pass == pass && r->role == LOCKSTEP_ROLE_INPUT && r->xxh3 == input->xxh3 && r->elements == input->elements)
                count = add_root(list, count, i);
        }
    }
    return count;
}

size_t ls_replayer_roots(ls_replayer *w, size_t node, size_t **out) {
    enum { INPUTS = 32 };
    size_t inputs[INPUTS], found[ROOTS], count = 0;
    size_t n = ls_replayer_inputs(w, node, inputs, INPUTS);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < w->steps[inputs[i]].root_count; k++)
            count = add_root(found, count, w->steps[inputs[i]].roots[k]);
    n = ls_replayer_handed_on(w, node, inputs, INPUTS);
    for (size_t i = 0; i < n; i++)
        if (w->steps[inputs[i]].partner != LS_NONE)
            count = add_root(found, count, w->steps[inputs[i]].partner);
    if (count == 0)
        count = add_input(w, node, found, 0);
    *out = ls_arena_alloc(&w->scratch, (count + 1) * sizeof **out);
    if (*out == NULL)
        return 0;
    memcpy(*out, found, count * sizeof *found);
    return count;
}

/* Where it is the one that was settled on a partner, others may be. */
static void give_up(ls_replayer *w, size_t node, size_t partner) {
    size_t *taken = &w->taken[w->partners.alike[partner]];
    if (*taken == node)
        *taken = LS_NONE;
}

static void forget(ls_replayer *w, size_t node) {
    ls_step *s = &w->steps[node];
    if (s->partner != LS_NONE)
        give_up(w, node, s->partner);
    s->partner = LS_NONE;
}

/* What is open in front of a node with a partner belongs to it: the reference has no tensors of its own for it. */
static size_t cover_region(ls_replayer *w, size_t node, size_t out[LS_REPLAYER_REGION]) {
    const size_t count = ls_replayer_region(w, node, out, LS_REPLAYER_REGION);
    for (size_t i = 0; i < count; i++)
        w->steps[out[i]].is_covered = true;
    return count;
}

/* So does what an earlier pass has left in a cache for one of them, where the node itself is right. */
static void cover(ls_replayer *w, size_t node) {
    size_t region[LS_REPLAYER_REGION + 1], writes[LS_REPLAYER_REGION], behind[LS_REPLAYER_REGION];
    const size_t count = 1 + cover_region(w, node, region + 1);
    region[0] = node;
    for (size_t i = 0; i < count; i++) {
        const size_t earlier = ls_replayer_earlier_writes(w, region[i], writes, LS_REPLAYER_REGION);
        for (size_t k = 0; k < earlier; k++)
            for (size_t x = cover_region(w, writes[k], behind); x > 0; x--)
                w->steps[behind[x - 1]].is_near = true;
    }
}

/* A bias. */
static bool adds_weight(const ls_replayer *w, const ls_node *n) {
    bool any = false;
    for (size_t i = 0; i < n->operand_count && n->kind->role == LS_OP_ROLE_SUM; i++)
        any = any || ls_replayer_weight(w, n, i) != LS_NONE;
    return any;
}

/* Where W x + b differs from its partner, W x is part of the difference, even if rounding let it pass for another tensor. */
static void open_product(ls_replayer *w, size_t node) {
    enum { INPUTS = 8 };
    size_t inputs[INPUTS];
    const size_t count = adds_weight(w, &w->candidate->nodes[node]) ? ls_replayer_inputs(w, node, inputs, INPUTS) : 0;
    for (size_t i = 0; i < count; i++) {
        ls_step *s = &w->steps[inputs[i]];
        if (s->partner == LS_NONE || s->computed.values == NULL)
            continue;
        forget(w, inputs[i]);
        ls_array_release(&s->value);
        s->value = s->computed;
        s->computed = (ls_array){0};
        s->is_open = true;
    }
}

void ls_replayer_unmeasure(ls_replayer *w, size_t node) {
    const size_t pass = w->candidate->nodes[node].pass;
    for (size_t i = node; i < w->last_node[pass]; i++)
        w->steps[i].is_measured = false;
}

static const ls_layout_vote *kept_vote(ls_replayer *w, const ls_layout_vote *vote) {
    ls_layout_vote *kept = ls_arena_array(w->arena, 1, sizeof *kept);
    if (kept != NULL)
        *kept = *vote;
    return kept;
}

void ls_replayer_settle(ls_replayer *w, size_t node, ls_sighting *sighting, ls_replay_means means) {
    ls_step *s = &w->steps[node];
    size_t region[LS_REPLAYER_REGION];
    if (s->is_known && means != LS_REPLAY_BY_VALUE)
        ls_replayer_unmeasure(w, node);
    s->likeness = means == LS_REPLAY_BY_CONSUMER && s->partner != LS_NONE && s->partner != sighting->partner && s->means == LS_REPLAY_BY_VALUE ? s->partner : LS_NONE;
    forget(w, node);
    ls_array_release(&s->value);
    s->value = sighting->value;
    sighting->value = (ls_array){0};
    s->partner = sighting->partner;
    s->layout = sighting->layout;
    s->has_pairs = sighting->has_pairs;
    s->permutation = means == LS_REPLAY_BY_VALUE && sighting->has_vote ? kept_vote(w, &sighting->vote) : NULL;
    s->order = sighting->order;
    s->orders_elements = sighting->orders_elements;
    s->means = means;
    s->is_open = false;
    const size_t copied = ls_partners_copied(&w->partners, sighting->partner);
    s->roots = ls_arena_alloc(&w->scratch, 2 * sizeof *s->roots);
    s->root_count = s->roots == NULL ? 0 : copied != LS_NONE ? 2 : 1;
    for (size_t i = 0; i < s->root_count; i++)
        s->roots[i] = i == 0 ? sighting->partner : copied;
    size_t *taken = &w->taken[w->partners.alike[sighting->partner]];
    if (*taken == LS_NONE)
        *taken = node;
    if (means == LS_REPLAY_BY_VALUE) {
        ls_replayer_learn(w, node, sighting);
        return;
    }
    open_product(w, node);
    cover_region(w, node, region);
}

/* ------------------------------------------------------------------ one node */

bool ls_replayer_proves(const ls_array *a) {
    enum { DISTINCT = 8 };
    double seen[DISTINCT];
    int count = 0;
    for (uint64_t i = 0; i < a->elements && count < DISTINCT; i++) {
        bool known = !isfinite(a->values[i]);
        for (int k = 0; k < count && !known; k++)
            known = seen[k] == a->values[i];
        if (!known)
            seen[count++] = a->values[i];
    }
    return count == DISTINCT;
}

static bool may_share(const ls_node *n) { return ls_op_only_moves(n->kind) || n->kind->role == LS_OP_ROLE_SELECTION; }

/* A tensor of a set stands for one operation, and for copies of its result: what a factor of one leaves as it is may lack a factor, and
 * what rounding hides the difference to is another layer's. */
static bool stands_for_another(const ls_replayer *w, size_t node, size_t partner) {
    const size_t taken = w->taken[w->partners.alike[partner]];
    return w->partners.is_set && taken != LS_NONE && taken != node && !may_share(&w->candidate->nodes[node]) && !may_share(&w->candidate->nodes[taken]);
}

/* What is computed from a value may also be found below another one of the same content. */
static void look_everywhere(ls_replayer *w, size_t node, const ls_array *computed, double tolerance, ls_sightings *out) {
    enum { LIKE = 32 };
    size_t like[LIKE];
    const ls_step *s = &w->steps[node];
    ls_replayer_look_up(w, node, computed, s->roots, s->root_count, tolerance, out);
    const size_t count = out->count == 0 && !w->partners.is_set ? ls_partners_like(&w->partners, s->roots, s->root_count, like, LIKE) : 0;
    if (count == 0)
        return;
    ls_sightings_release(out);
    ls_replayer_look_up(w, node, computed, like, count, tolerance, out);
}

static bool look_up(ls_replayer *w, size_t node, const ls_array *computed, const ls_array *moved) {
    ls_sightings found;
    look_everywhere(w, node, computed, ls_replayer_tolerance(w, node, computed, moved), &found);
    const bool any = found.count > 0 && !stands_for_another(w, node, found.items[0].partner);
    for (size_t i = 0; i < found.count; i++)
        w->partners.is_seen[found.items[i].partner] = true;
    if (any)
        ls_replayer_settle(w, node, &found.items[0], LS_REPLAY_BY_VALUE);
    ls_sightings_release(&found);
    return any;
}

/* W x may have been taken for W x + b, where the rounding of W hides b: goes on with what was computed instead. */
static bool give_back(ls_replayer *w, size_t node) {
    enum { INPUTS = 16 };
    size_t inputs[INPUTS], back[INPUTS], count = 0;
    ls_array values[INPUTS], computed, moved;
    const char *reason;
    const size_t n = ls_replayer_inputs(w, node, inputs, INPUTS);
    for (size_t i = 0; i < n; i++)
        if (w->steps[inputs[i]].partner != LS_NONE && w->steps[inputs[i]].computed.values != NULL)
            back[count++] = inputs[i];
    if (count == 0)
        return false;
    for (size_t i = 0; i < count; i++)
        ls_replayer_try(w, back[i], &w->steps[back[i]].computed);
    bool found = ls_replayer_compute(w, node, false, &computed, NULL, &reason);
    ls_replayer_untry(w);
    if (!found)
        return false;
    for (size_t i = 0; i < count; i++) {
        ls_step *s = &w->steps[back[i]];
        values[i] = s->value;
        s->value = s->computed;
        s->computed = (ls_array){0};
    }
    ls_step *own = &w->steps[node];
    size_t partners[INPUTS];
    for (size_t i = 0; i < count; i++) {
        partners[i] = w->steps[back[i]].partner;
        w->steps[back[i]].partner = LS_NONE;
        w->steps[back[i]].root_count = ls_replayer_roots(w, back[i], &w->steps[back[i]].roots);
    }
    own->root_count = ls_replayer_roots(w, node, &own->roots);
    ls_replayer_compute_moved(w, node, &computed, &moved);
    found = ls_replayer_proves(&computed) && look_up(w, node, &computed, &moved);
    for (size_t i = 0; i < count; i++) {
        ls_step *s = &w->steps[back[i]];
        if (found) {
            give_up(w, back[i], partners[i]);
            s->is_open = true;
            ls_replayer_unmeasure(w, back[i]);
            ls_array_release(&values[i]);
        } else {
            s->computed = s->value;
            s->value = values[i];
            s->partner = partners[i];
            if (s->root_count > 0)
                s->roots[0] = partners[i];
            s->root_count = s->root_count > 0;
        }
    }
    if (found)
        cover(w, node);
    ls_array_release(&computed);
    ls_array_release(&moved);
    return found;
}

static void hold(ls_step *s, ls_array *value) {
    ls_array_release(&s->value);
    s->value = *value;
    *value = (ls_array){0};
}

/* What has no partner of its own: writes, indexes. */
static void carry(ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    ls_step *s = &w->steps[node];
    ls_array value;
    if (ls_replayer_compute(w, node, false, &value, NULL, &s->reason))
        hold(s, &value);
    ls_array_release(&s->moved);
    ls_replayer_compute_moved(w, node, s->value.values != NULL && n->role != LOCKSTEP_ROLE_WRITE ? &s->value : NULL, &s->moved);
}

/* A bias is added to it, perhaps behind views, of which so many are looked at. */
static bool leads_to_bias(const ls_replayer *w, size_t node, int *looks) {
    bool any = --*looks < 0;
    for (size_t k = w->first_consumer[node]; k < w->first_consumer[node + 1] && !any; k++) {
        const ls_node *c = &w->candidate->nodes[w->consumers[k]];
        any = adds_weight(w, c) || (c->role == LOCKSTEP_ROLE_VIEW && leads_to_bias(w, w->consumers[k], looks));
    }
    return any;
}

/* Then all of its rows are needed, and it may be given back. */
static bool feeds_bias(const ls_replayer *w, size_t node) {
    int looks = LS_REPLAYER_VIEWS;
    return leads_to_bias(w, node, &looks);
}

/* Looks a result up, of which only some rows are computed where it is dear, and measures it. */
static bool find(ls_replayer *w, size_t node, ls_array *computed, bool *out_proves, bool *out_some) {
    ls_step *s = &w->steps[node];
    double *scale = NULL;
    const bool keeps = feeds_bias(w, node), some = !keeps && ls_replayer_knows_order(w, node) && ls_replayer_is_dear(w, node);
    *out_some = some;
    w->sampled = some ? node : LS_NONE;
    const bool known = ls_replayer_compute(w, node, false, computed, &scale, &s->reason);
    if (known)
        ls_replayer_compute_moved(w, node, computed, &s->moved);
    *out_proves = !known || ls_replayer_proves(computed);
    const bool found = known && *out_proves && look_up(w, node, computed, &s->moved);
    if (found && w->sampled == node)
        ls_replayer_mask_out(w, node);
    w->sampled = LS_NONE;
    if (found) {
        cover(w, node);
        s->is_measured = !ls_replayer_has_rounded_region(w, node) && ls_replayer_measure(w, node, computed, scale, &s->local); /* a region is dear */
    }
    if (found && keeps && s->moved.values != NULL) {
        s->computed = *computed;
        *computed = (ls_array){0};
    } else if (found) {
        ls_array_release(&s->moved);
    }
    free(scale);
    return found;
}

static uint64_t rows_of(const ls_node *n) { return n->elements > 0 ? n->elements / (n->rank > 0 ? n->shape[n->rank - 1] : 1) : 0; }

/* An index that comes from ranks of integers, such as the experts of each token: equal ones are in any order. `looks`: how many more
 * nodes are looked at. */
static bool is_of_ties(const ls_replayer *w, size_t node, int *looks) {
    enum { INPUTS = 8 };
    size_t inputs[INPUTS];
    const ls_node *n = &w->candidate->nodes[node];
    const size_t count = ls_node_is_integer(n) && --*looks >= 0 ? ls_replayer_inputs(w, node, inputs, INPUTS) : 0;
    bool any = false;
    for (size_t i = 0; i < count && !any; i++)
        any = (n->kind->role == LS_OP_ROLE_ORDER && ls_node_is_integer(&w->candidate->nodes[inputs[i]])) || is_of_ties(w, inputs[i], looks);
    return any;
}

static bool picks_by_ties(const ls_replayer *w, size_t node) {
    enum { INPUTS = 8, LOOKS = 64 };
    size_t inputs[INPUTS];
    int looks = LOOKS;
    const size_t count = w->candidate->nodes[node].kind->role == LS_OP_ROLE_SELECTION ? ls_replayer_inputs(w, node, inputs, INPUTS) : 0;
    bool any = false;
    for (size_t i = 0; i < count && !any; i++)
        any = is_of_ties(w, inputs[i], &looks);
    return any;
}

/* The product of experts that a node is, or what is done to each of its rows; or the node itself that gathers rows for one: its node + 1;
 * or 0. */
static size_t experts_of(const ls_replayer *w, size_t node) {
    enum { INPUTS = 8 };
    size_t inputs[INPUTS], product = 0;
    const ls_node *n = &w->candidate->nodes[node];
    if (n->kind->id == LS_OP_MUL_MAT_ID || picks_by_ties(w, node))
        return node + 1;
    const size_t count = n->kind->role != LS_OP_ROLE_REDUCTION ? ls_replayer_inputs(w, node, inputs, INPUTS) : 0;
    for (size_t i = 0; i < count && product == 0; i++)
        if (rows_of(&w->candidate->nodes[inputs[i]]) == rows_of(n))
            product = w->steps[inputs[i]].experts;
    return product;
}

/* On what is taken to be its result. */
static bool settle_anchor(ls_replayer *w, size_t node) {
    ls_sightings possible;
    ls_replayer_lay_out(w, node, w->anchors[node], &possible);
    const bool any = possible.count > 0;
    if (any)
        ls_replayer_settle(w, node, &possible.items[0], LS_REPLAY_BY_CONSUMER);
    ls_sightings_release(&possible);
    return any;
}

void ls_replayer_process(ls_replayer *w, size_t node, bool again) {
    const ls_node *n = &w->candidate->nodes[node];
    ls_step *s = &w->steps[node];
    ls_array computed = {0};
    s->is_known = true;
    s->experts = experts_of(w, node);
    s->root_count = ls_replayer_roots(w, node, &s->roots);
    if (n->role == LOCKSTEP_ROLE_WRITE || ls_node_is_integer(n)) {
        carry(w, node);
        return;
    }
    s->reason = NULL;
    if (again && s->is_covered) { /* what it stands for was found */
        carry(w, node);
        return;
    }
    ls_array_release(&s->moved);
    ls_array_release(&s->computed);
    bool proves, some;
    if (find(w, node, &computed, &proves, &some)) {
        w->lost_for = 0;
        ls_array_release(&computed);
        return;
    }
    const bool known = computed.values != NULL;
    if (known && some) { /* what is computed from it needs all rows */
        ls_array_release(&computed);
        carry(w, node);
    } else if (known) {
        hold(s, &computed);
    } else {
        ls_array_release(&s->value);
    }
    s->is_open = true;
    s->is_covered = false;
    if (known && !some && w->anchors[node] != LS_NONE && settle_anchor(w, node))
        return;
    if (again || !proves || (known && adds_weight(w, n) && give_back(w, node)))
        return;
    if (ls_replayer_is_suspect(w, node) && w->lost_for++ < LOST && ls_replayer_substitute(w, node) && s->is_open)
        ls_replayer_process(w, node, true);
}

/* ------------------------------------------------------------------ one pass */

static bool is_replayed(const ls_node *n, size_t pass) { return n->pass == pass && (ls_node_is_operation(n) || n->role == LOCKSTEP_ROLE_WRITE); }

bool ls_replayer_is_silent(const ls_replayer *w) { return w->is_silent[w->m->tokens.pairs[w->pass_pair].candidate]; }

/* What a node multiplies with a weight; LS_NONE. */
static size_t multiplied_by_weight(const ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    const bool is_product = (n->kind->role == LS_OP_ROLE_PRODUCT || n->kind->role == LS_OP_ROLE_CONVOLUTION) && n->operand_count > 1;
    const size_t weight = !is_product ? 2 : ls_replayer_weight(w, n, 0) != LS_NONE ? 0 : ls_replayer_weight(w, n, 1) != LS_NONE ? 1 : 2;
    return weight < 2 && n->operands[1 - weight] != LS_NONE ? ls_replayer_base(w, n->operands[1 - weight]) : LS_NONE;
}

static ls_region_size size_of_region(const ls_replayer *w, size_t node, const size_t *region, size_t count) {
    size_t operands[LS_REPLAYER_REGION];
    ls_region_size size = {.node = node};
    for (size_t i = 0; i < count; i++) {
        const size_t operand = multiplied_by_weight(w, region[i]);
        bool known = operand == LS_NONE;
        for (size_t k = 0; k < size.products && !known; k++)
            known = operands[k] == operand;
        if (!known)
            operands[size.products++] = operand;
        size.operations += !w->is_given[region[i]] && !ls_op_only_moves(w->candidate->nodes[region[i]].kind);
    }
    return size;
}

static bool is_shifted(const ls_replayer *w) { return ls_pass_pair_is_shifted(&w->m->tokens.pairs[w->pass_pair], w->partners.trace, w->candidate); }

bool ls_replayer_is_at_fault(ls_replayer *w, size_t node) {
    ls_step *s = &w->steps[node];
    if (s->partner != LS_NONE && !s->is_measured)
        s->is_measured = ls_replayer_local_error(w, node, &s->local);
    return s->partner != LS_NONE && s->is_measured && ls_local_error_is_fault(&s->local);
}

/* What all experts do, and the router in front of them: a reference that computes one expert after the other has only the sum of what they give. Nothing in it is rounded but
 * numbers of f32, so what is found behind it, found it exactly. */
static bool is_of_experts(const ls_replayer *w, const size_t *region, size_t count) {
    size_t products = 0, of_experts = 0;
    bool exact = w->type_error == 0;
    for (size_t i = 0; i < count && exact; i++) {
        exact = w->steps[region[i]].moved.values == NULL;
        products += multiplied_by_weight(w, region[i]) != LS_NONE;
        of_experts += w->candidate->nodes[region[i]].kind->id == LS_OP_MUL_MAT_ID;
    }
    return exact && of_experts > 0 && products - of_experts <= 1;
}

static bool is_small(const ls_replayer *w, const ls_region_size *size, bool of_experts) {
    const size_t operations = of_experts || w->candidate->is_torch ? 2 * LS_REGION_OPERATIONS : LS_REGION_OPERATIONS;
    return size->operations <= operations && size->products <= (of_experts ? LS_REGION_EXPERTS : LS_REGION_PRODUCTS);
}

/* What belongs to a fault is named with it, however large it is; and all that depends on positions has other values on the two sides where
 * padding has moved these. PyTorch's operations are smaller than ggml's: one softmax with its scale and mask is several. */
static void measure_region(ls_replayer *w, size_t node, ls_replay *out) {
    size_t region[LS_REPLAYER_REGION];
    const ls_step *s = &w->steps[node];
    const size_t count = s->partner != LS_NONE ? ls_replayer_region(w, node, region, LS_REPLAYER_REGION) : 0;
    const ls_region_size size = size_of_region(w, node, region, count);
    const bool at_fault = ls_replayer_is_at_fault(w, node), near = w->partners.is_set || is_shifted(w) || is_small(w, &size, is_of_experts(w, region, count));
    for (size_t i = 0; i < count && (near || at_fault); i++)
        w->steps[region[i]].is_near = true;
    if (!at_fault && (size.products > out->largest.products || (size.products == out->largest.products && size.operations > out->largest.operations)))
        out->largest = size;
}

static bool proves_nothing(const ls_replayer *w, size_t node) {
    const ls_array *value = &w->steps[node].value;
    return value->values != NULL && !ls_replayer_proves(value);
}

/* Whether anything is computed from a node that could prove something. */
static bool is_read_by_any(const ls_replayer *w, size_t node, int *looks) {
    bool any = --*looks < 0;
    for (size_t k = w->first_consumer[node]; k < w->first_consumer[node + 1] && !any; k++) {
        const size_t consumer = w->consumers[k];
        any = (w->candidate->nodes[consumer].role != LOCKSTEP_ROLE_VIEW && !proves_nothing(w, consumer)) || is_read_by_any(w, consumer, looks);
    }
    return any;
}

/* Nothing is computed from it, and it proves nothing: the ranked elements, say, where only their places are used, or a mask that no layer
 * has. */
static bool is_unused(const ls_replayer *w, size_t node) {
    int looks = LS_REPLAYER_VIEWS;
    return proves_nothing(w, node) && !is_read_by_any(w, node, &looks);
}

/* Positions as numbers, which padding in front of one side's batch has moved. */
static bool has_moved_positions(const ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    bool all = n->operand_count > 0 && is_shifted(w);
    for (size_t i = 0; i < n->operand_count && all; i++)
        all = n->operands[i] != LS_NONE && ls_node_is_integer(&w->candidate->nodes[n->operands[i]]);
    return all;
}

/* ------------------------------------------------------------------ a reference without a graph */

/* Of the tensors of a set, all those count that something was computed for and found, however far in front of it. */
static void cover_all(ls_replayer *w, size_t pass) {
    enum { INPUTS = 64 };
    size_t inputs[INPUTS];
    for (size_t i = w->last_node[pass]; i-- > ls_replayer_first(w, pass);) {
        ls_step *s = &w->steps[i];
        if (w->candidate->nodes[i].pass != pass || (s->partner == LS_NONE && !s->is_covered))
            continue;
        for (size_t k = ls_replayer_inputs(w, i, inputs, INPUTS); k > 0; k--)
            w->steps[inputs[k - 1]].is_covered = w->steps[inputs[k - 1]].is_near = true;
    }
}

/* Nothing is left that a node's result could have been found as, were something in front of it not at fault. */
static bool is_beyond(ls_replayer *w, size_t node) { return w->partners.is_set && !ls_replayer_is_like_a_lost_one(w, node); }

static void count_lost(const ls_replayer *w, ls_replay *out) {
    out->lost_of = w->partners.sized;
    for (size_t i = 0; i < w->partners.trace->node_count && w->partners.is_set; i++)
        if (w->partners.is_value[i] && ls_replayer_is_lost(w, i) && out->lost++ == 0)
            out->first_lost = i;
}

static void add_result(ls_replayer *w, size_t node, ls_replay *out) {
    const ls_node *n = &w->candidate->nodes[node];
    const ls_step *s = &w->steps[node];
    ls_replayed own = {.node = node, .weight = LS_NONE, .means = s->means, .partner = s->partner, .likeness = s->likeness, .layout = s->layout, .has_pairs = s->has_pairs, .order = s->order, .orders_elements = s->orders_elements, .permutation = s->permutation};
    if (s->partner == LS_NONE && is_unused(w, node))
        w->steps[node].is_covered = w->steps[node].is_near = true;
    own.local = s->local;
    const bool is_measured = s->partner != LS_NONE && (s->is_measured || ls_replayer_local_error(w, node, &own.local));
    const bool is_known = s->partner == LS_NONE ? s->reason == NULL : is_measured || s->means == LS_REPLAY_BY_VALUE;
    const bool is_found = is_known && s->partner != LS_NONE, is_covered = is_known && s->is_covered && s->is_near;
    own.class = is_found ? LS_REPLAY_FOUND : is_covered ? LS_REPLAY_COVERED : is_beyond(w, node) ? LS_REPLAY_BEYOND : is_known ? LS_REPLAY_OPEN : LS_REPLAY_UNSUPPORTED;
    own.reason = own.class != LS_REPLAY_UNSUPPORTED ? NULL : s->reason != NULL ? s->reason : "an operand that is not known";
    if (is_measured)
        own.is_origin = ls_local_error_is_fault(&own.local) && !has_moved_positions(w, node);
    if (own.is_origin && (own.region = ls_arena_alloc(w->arena, LS_REPLAYER_REGION * sizeof *own.region)) != NULL)
        own.region_count = ls_replayer_region(w, node, own.region, LS_REPLAYER_REGION);
    if (own.is_origin)
        ls_replayer_vary(w, &own);
    out->sampled += s->partner != LS_NONE && ls_replayer_is_dear(w, node);
    out->operations[own.class]++;
    out->elements[own.class] += n->elements;
    out->origins += own.is_origin;
    out->items[out->count++] = own;
}

static bool is_marked(const ls_replayed *item, const bool *marks) {
    bool any = marks[item->node];
    for (size_t k = 0; k < item->region_count && !any; k++)
        any = marks[item->region[k]];
    return any;
}

/* Between the few tensors of a set, regions overlap: one fault shows at the end of each of them. The first is named. */
static void join_origins(const ls_replayer *w, size_t first, ls_replay *out) {
    bool *marks = calloc(w->candidate->node_count + 1, sizeof *marks);
    for (size_t i = first; marks != NULL && i < out->count; i++) {
        ls_replayed *item = &out->items[i];
        if (!item->is_origin)
            continue;
        if (is_marked(item, marks)) {
            item->is_origin = false;
            out->origins--;
        }
        marks[item->node] = true;
        for (size_t k = 0; k < item->region_count; k++)
            marks[item->region[k]] = true;
    }
    free(marks);
}

static ls_rotation rotation_of(const ls_replayer *w, size_t pass) {
    for (size_t i = ls_replayer_first(w, pass); i < w->last_node[pass]; i++) {
        const ls_node *n = &w->candidate->nodes[i];
        const double *mode = n->pass == pass && n->kind->id == LS_OP_ROPE ? ls_node_parameter(n, "mode") : NULL;
        if (n->pass == pass && n->kind->id == LS_OP_ROPE)
            return mode == NULL || *mode == 0 ? LS_ROTATES_PAIRS : LS_ROTATES_HALVES;
    }
    return LS_ROTATES_NOTHING;
}

static bool has_one_token(const ls_pass *pass) { return pass->rows == 1 && (pass->positions == NULL || pass->positions[0] == 0); }

void ls_replayer_walk(ls_replayer *w, size_t pass) {
    const ls_node *nodes = w->candidate->nodes;
    for (size_t i = 0; i < w->partners.trace->node_count; i++) /* several passes may make up one of the reference */
        w->taken[i] = LS_NONE;
    w->lost_for = 0;
    w->oldest = ls_replayer_first(w, pass);
    w->held = 0;
    for (size_t i = w->oldest; i < w->last_node[pass]; i++) {
        ls_progress_add(LS_STAGE_REPLAYING, nodes[i].pass == pass);
        if (!is_replayed(&nodes[i], pass))
            continue;
        ls_progress_layer(LS_STAGE_REPLAYING, nodes[i].layer);
        ls_replayer_process(w, i, false);
        w->held += w->steps[i].value.values != NULL ? nodes[i].elements : 0;
        ls_replayer_release_oldest(w, pass, i);
    }
}

static void replay_pass(ls_replayer *w, size_t pass_pair, ls_replay *out) {
    const ls_node *nodes = w->candidate->nodes;
    const size_t pass = w->m->tokens.pairs[pass_pair].candidate, first = ls_replayer_first(w, pass), last = w->last_node[pass];
    w->pass_pair = pass_pair;
    w->teaches_nothing = has_one_token(&w->candidate->passes[pass]);
    w->guesses_left = GUESSES;
    w->draws_left = DRAWS;
    w->rotation = rotation_of(w, pass);
    w->groups = ls_head_groups_of(w->candidate, first, last, pass);
    ls_replayer_walk(w, pass);
    if (w->partners.is_set && w->is_right == NULL)
        ls_replayer_walk_again(w, pass);
    ls_replayer_pair_ends(w, pass);
    if (w->partners.is_set)
        cover_all(w, pass);
    for (size_t i = first; i < last; i++)
        if (is_replayed(&nodes[i], pass) && w->steps[i].is_open && w->steps[i].is_covered && !w->partners.is_set)
            ls_replayer_unhide(w, i);
    for (size_t i = first; i < last; i++) /* with what is known now */
        if (is_replayed(&nodes[i], pass) && w->steps[i].partner == LS_NONE)
            carry(w, i);
    for (size_t i = first; i < last; i++)
        if (nodes[i].pass == pass)
            measure_region(w, i, out);
    const size_t first_result = out->count;
    for (size_t i = first; i < last; i++)
        if (ls_node_is_operation(&nodes[i]) && nodes[i].elements > 0 && nodes[i].pass == pass && !ls_node_is_integer(&nodes[i]))
            add_result(w, i, out);
    if (w->partners.is_set)
        join_origins(w, first_result, out);
    count_lost(w, out);
    ls_replayer_release_pass(w, pass);
}

/* ------------------------------------------------------------------ all */

/* Later passes have shown that some is right. */
static void classify_again(const ls_replayer *w, ls_replay *out) {
    for (size_t i = 0; i < out->count; i++) {
        ls_replayed *item = &out->items[i];
        const uint64_t elements = w->candidate->nodes[item->node].elements;
        if (item->class != LS_REPLAY_OPEN || !w->steps[item->node].is_covered || !w->steps[item->node].is_near)
            continue;
        item->class = LS_REPLAY_COVERED;
        out->operations[LS_REPLAY_OPEN]--;
        out->operations[LS_REPLAY_COVERED]++;
        out->elements[LS_REPLAY_OPEN] -= elements;
        out->elements[LS_REPLAY_COVERED] += elements;
    }
}

static void replay_all(ls_replayer *w, ls_replay *out) {
    const ls_pass_pair *pairs = w->m->tokens.pairs;
    ls_progress_begin(LS_STAGE_REPLAYING, w->candidate->node_count);
    for (size_t i = 0; i < w->m->tokens.pair_count; i++)
        if (i == 0 || pairs[i].candidate != pairs[i - 1].candidate)
            replay_pass(w, i, out);
    classify_again(w, out);
    ls_progress_end(LS_STAGE_REPLAYING);
}

/* What was found before any value was substituted, and is not at fault, is right, and so is what it covers. */
static lockstep_status note_right(ls_replayer *w, const ls_replay *r, lockstep_error *error) {
    w->is_right = calloc(w->candidate->node_count + 1, sizeof *w->is_right);
    for (size_t i = 0; i < r->count && w->is_right != NULL; i++)
        w->is_right[r->items[i].node] = !r->items[i].is_origin && (r->items[i].class == LS_REPLAY_FOUND || r->items[i].class == LS_REPLAY_COVERED);
    memset(w->partners.is_seen, 0, w->partners.trace->node_count * sizeof *w->partners.is_seen);
    return w->is_right != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

/* Forgets everything but what was learned. */
static void begin_again(ls_replayer *w, ls_replay *out) {
    for (size_t i = 0; i < w->candidate->node_count; i++) {
        ls_array_release(&w->steps[i].value);
        w->steps[i] = (ls_step){.partner = LS_NONE, .likeness = LS_NONE};
    }
    for (size_t i = 0; i < w->cache_count; i++)
        w->caches[i].released = 0;
    ls_map_done(&w->lessons);
    w->trials_left = LS_REPLAYER_TRIALS * w->candidate->node_count;
    free(out->trials.items);
    *out = (ls_replay){.matching = out->matching, .items = out->items, .arena = out->arena, .trials = {.node = LS_NONE}};
}

static int by_node(const void *a, const void *b) {
    const size_t x = ((const ls_replayed *)a)->node, y = ((const ls_replayed *)b)->node;
    return x < y ? -1 : x > y;
}

lockstep_status ls_replay_run(const ls_matching *m, const ls_models *models, const ls_replay_options *options, ls_replay *out, lockstep_error *error) {
    ls_replayer w = {.m = m, .candidate = m->in->candidate.trace, .models = models, .exact = options->exact, .explain = options->explain, .trials = &out->trials, .first_tried = LS_NONE,
                     .sampled = LS_NONE, .perturbed = {.weight = LS_NONE}};
    *out = (ls_replay){.matching = m, .items = calloc(w.candidate->node_count + 1, sizeof *out->items), .trials = {.node = LS_NONE}};
    w.arena = &out->arena;
    lockstep_status status = out->items != NULL ? ls_replayer_init(&w, error) : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (status == LOCKSTEP_OK)
        replay_all(&w, out);
    const bool again = status == LOCKSTEP_OK && out->origins + out->operations[LS_REPLAY_OPEN] > 0;
    if (again && w.partners.is_set)
        status = note_right(&w, out, error);
    if (again && status == LOCKSTEP_OK) { /* what a later layer has taught serves the first one */
        begin_again(&w, out);
        replay_all(&w, out);
    }
    out->reference_error = w.types.reference;
    out->reference_type = w.types.reference_type;
    if (status == LOCKSTEP_OK && out->count > 0)
        qsort(out->items, out->count, sizeof *out->items, by_node); /* passes of several contexts may overlap */
    ls_replayer_done(&w);
    if (status != LOCKSTEP_OK)
        ls_replay_done(out);
    return status;
}

void ls_replay_done(ls_replay *r) {
    free(r->items);
    free(r->trials.items);
    ls_arena_done(&r->arena);
    *r = (ls_replay){0};
}

const char *ls_replay_class_name(ls_replay_class class) {
    static const char *const names[LS_REPLAY_CLASS_COUNT] = {"found", "covered", "unsupported", "open", "beyond"};
    return names[class];
}
