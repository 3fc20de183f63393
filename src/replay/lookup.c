/* Finding a computed tensor among the reference's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/pool.h"
#include "compare/metrics.h"
#include "match/aligned_pair.h"
#include "replay/distances.h"
#include "replay/replayer.h"
#include "replay/row_order.h"
#include "tensor/dtype.h"
#include "tensor/rounding.h"

enum { OFTEN = 2 }; /* then others of a kind have no layout of their own: scores of swapped queries and keys are transposed */
enum { DEPTH = 9, REACH = 512, ROOTS = 256 };
#define TOLERANCE 2e-4      /* of what is found, in f32 */
#define OF_ROUNDING 2       /* times what the weights' rounding moves */
#define OF_ROUNDING_IN_SET 1.5 /* where nothing but its values tells a tensor from the next layer's */
#define TOLERANCE_MAX 0.5
#define UNRELATED 0.9 /* relative L2 of tensors that have nothing in common: it is 1 at least */
#define F32_ERROR 1e-6      /* of one operation; the largest in clean runs is 3e-7 */

/* ------------------------------------------------------------------ kinds, tolerances */

/* The operations that read a node, through views. */
static uint64_t readers_of(const ls_replayer *w, size_t node) {
    size_t stack[32], top = 0;
    uint64_t bits = 0;
    stack[top++] = node;
    for (int seen = 0; top > 0 && seen < 32; seen++) {
        const size_t at = stack[--top];
        for (size_t k = w->first_consumer[at]; k < w->first_consumer[at + 1]; k++) {
            const ls_node *n = &w->candidate->nodes[w->consumers[k]];
            if (n->pass != w->candidate->nodes[node].pass)
                continue;
            if (n->role == LOCKSTEP_ROLE_VIEW && top < 32)
                stack[top++] = w->consumers[k];
            else
                bits |= 1ull << n->kind->id % 64;
        }
    }
    return bits;
}

uint64_t ls_replayer_kind(const ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    if (w->steps[node].kind != 0)
        return w->steps[node].kind;
    uint64_t key[12] = {n->kind->id, n->rank > 0 ? n->shape[n->rank - 1] : 1, readers_of(w, node)};
    for (size_t i = 0; i < n->operand_count && i < 8; i++) {
        const size_t weight = ls_replayer_weight(w, n, i);
        key[3 + i] = weight != LS_NONE ? w->candidate->nodes[weight].elements : 0;
    }
    return w->steps[node].kind = XXH3_64bits(key, sizeof key);
}

uint64_t ls_replayer_kind_of_partner(const ls_replayer *w, size_t partner) {
    const ls_node *n = &w->partners.trace->nodes[partner];
    uint64_t weights = 0;
    if (w->partners.is_set) /* a shape is all there is */
        return XXH3_64bits(n->shape, (size_t)n->rank * sizeof *n->shape) | 1024;
    for (size_t i = 0; i < n->source_count; i++)
        if (w->partners.trace->nodes[n->sources[i]].role == LOCKSTEP_ROLE_WEIGHT)
            weights += w->partners.trace->nodes[n->sources[i]].elements * 0x9e3779b97f4a7c15ull;
    return ((uint64_t)n->kind->id ^ weights) + 1000;
}

static double highest_position(const ls_replayer *w) {
    const int32_t last = w->m->geometry[w->pass_pair].candidate_last;
    return last > 0 ? (double)last : 0;
}

double ls_replayer_floor(const ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    const size_t a = n->kind->role == LS_OP_ROLE_PRODUCT && n->operand_count > 0 ? n->operands[0] : LS_NONE;
    const double terms = a != LS_NONE && w->candidate->nodes[a].rank > 0 ? (double)w->candidate->nodes[a].shape[w->candidate->nodes[a].rank - 1] : 1;
    double floor = F32_ERROR * fmax(1, sqrt(terms) / 32);
    if (n->kind->traits & LS_OP_ANGULAR)
        floor += 1.2e-7 * highest_position(w); /* angles are rounded to f32 */
    return floor;
}

double ls_replayer_moved_squares(const ls_array *computed, const ls_array *moved) {
    return moved->values != NULL ? ls_distance_of(computed->values, moved->values, computed->elements).difference : 0;
}

double ls_replayer_tolerance(const ls_replayer *w, size_t node, const ls_array *computed, const ls_array *moved) {
    const double base = fmax(fmax(TOLERANCE, 5 * fmax(w->type_error, ls_replayer_own_type_error(w, node))), 20 * ls_replayer_floor(w, node));
    if (moved == NULL || moved->values == NULL)
        return base;
    const double norm = ls_norm_of(computed);
    return fmin(TOLERANCE_MAX, base + (norm > 0 ? (w->partners.is_set ? OF_ROUNDING_IN_SET : OF_ROUNDING) * sqrt(ls_replayer_moved_squares(computed, moved)) / norm : 0));
}

/* ------------------------------------------------------------------ one tensor */

enum { CHUNK = 1024, BLOCK = 1 << 15 };

/* Whether the reference's number stands for what was computed. */
static bool replaces(double reference, double computed) { return ls_is_number(reference) && !(isfinite(computed) && computed <= LS_MASK_BELOW); }

/* Writes the reference's numbers over what was computed. The view is one of `values`. */
static void scatter(const ls_view *reference, const ls_view *candidate, const double *computed, double *values) {
    double r[CHUNK];
    uint64_t index[LOCKSTEP_MAX_RANK] = {0};
    const uint64_t elements = ls_view_elements(reference);
    int64_t at = (const double *)(const void *)candidate->data - computed;
    for (uint64_t from = 0; from < elements; from += CHUNK) {
        const size_t n = elements - from < CHUNK ? (size_t)(elements - from) : CHUNK;
        ls_view_read_f64(reference, from, n, r);
        for (size_t i = 0; i < n; i++) {
            if (replaces(r[i], values[at]))
                values[at] = r[i];
            for (int axis = candidate->rank - 1; axis >= 0; axis--) {
                at += candidate->strides[axis];
                if (++index[axis] < candidate->shape[axis])
                    break;
                at -= candidate->strides[axis] * (int64_t)candidate->shape[axis];
                index[axis] = 0;
            }
        }
    }
}

typedef struct overlay {
    const ls_view *reference;
    const double *computed;
    double *out;
} overlay;

static void overlay_block(void *context, uint64_t block, int worker) {
    const overlay *o = context;
    const uint64_t first = block * BLOCK, elements = ls_view_elements(o->reference), count = elements - first < BLOCK ? elements - first : BLOCK;
    (void)worker;
    ls_view_read_f64(o->reference, first, count, o->out + first);
    for (uint64_t i = first; i < first + count; i++)
        o->out[i] = replaces(o->out[i], o->computed[i]) ? o->out[i] : o->computed[i];
}

/* The reference's numbers in the node's layout, and what was computed where there are none. */
static double *merge(const ls_node *n, const ls_layout *layout, const ls_array *computed) {
    const char *reason;
    double *values = ls_values_new(n, &reason);
    const bool whole = layout->candidate.data == (const uint8_t *)computed->values && ls_view_is_contiguous(&layout->candidate) && ls_view_elements(&layout->candidate) == n->elements;
    if (values != NULL && whole) {
        ls_pool_run((n->elements + BLOCK - 1) / BLOCK, overlay_block, &(overlay){&layout->reference, computed->values, values});
    } else if (values != NULL) {
        memcpy(values, computed->values, n->elements * sizeof *values);
        if (layout->gathered[1] == NULL)
            scatter(&layout->reference, &layout->candidate, computed->values, values);
    }
    return values;
}

static ls_view view_of(const ls_node *n, const double *values) {
    ls_view v = {.data = (const uint8_t *)values, .dtype = LOCKSTEP_F64, .rank = n->rank};
    memcpy(v.shape, n->shape, sizeof v.shape);
    ls_view_set_contiguous(&v);
    return v;
}

/* The numbers of elements that a tensor without a graph may have and be a node's, the likeliest first: as many; without a cache's
 * padding; those of all rows where the node has selected some; those of the last row. */
size_t ls_replayer_sizes(const ls_replayer *w, size_t node, uint64_t out[LS_SIZES]) {
    const ls_node *n = &w->candidate->nodes[node];
    const ls_side *c = &w->m->in->candidate;
    const uint64_t padded = c->windows[node].padded, rows = n->pass != LS_NONE ? w->candidate->passes[n->pass].rows : 0;
    const uint64_t selected = ls_row_selection_of(&c->selections, node).selected_count;
    size_t count = 0;
    out[count++] = n->elements;
    if (padded > 0)
        out[count++] = n->elements / padded * c->windows[node].count;
    if (selected > 0 && selected < rows && n->elements % selected == 0)
        out[count++] = n->elements / selected * rows;
    if (selected == 0 && rows > 1 && n->elements % rows == 0)
        out[count++] = n->elements / rows;
    return count;
}

static bool is_of_size(const ls_replayer *w, size_t node, uint64_t elements) {
    uint64_t sizes[LS_SIZES];
    bool any = false;
    for (size_t i = ls_replayer_sizes(w, node, sizes); i > 0 && !any; i--)
        any = sizes[i - 1] == elements;
    return any;
}

/* May the two have the same number of elements, once rows are selected and padding is cut? */
static bool may_fit(const ls_replayer *w, size_t node, size_t partner) {
    const ls_node *n = &w->candidate->nodes[node], *p = &w->partners.trace->nodes[partner];
    const ls_pass_pair *pp = &w->m->tokens.pairs[w->pass_pair];
    const ls_side *r = &w->m->in->reference, *c = &w->m->in->candidate;
    if (w->places[partner] != LS_NONE && w->places[partner] != node)
        return false;
    if (n->elements == p->elements)
        return true;
    if (pp->reference_items > 0) /* one picture of several */
        return n->elements % pp->candidate_items == 0 && p->elements % pp->reference_items == 0 && n->elements / pp->candidate_items == p->elements / pp->reference_items;
    if (w->partners.is_set)
        return is_of_size(w, node, p->elements);
    const bool some_rows = pp->rows != NULL && !pp->whole;
    if (c->windows[node].padded > 0) /* what it sees, or most of that; one new row is not it, and neither is a cache that has begun anew at its first cell */
        return ((some_rows && highest_position(w) < (double)c->windows[node].padded) || p->elements < n->elements) && 2 * p->elements > n->elements / c->windows[node].padded * c->windows[node].count;
    return some_rows || r->selections.of_node[partner] != 0 || c->selections.of_node[node] != 0;
}

/* A mean square that the first elements of a tensor are taken to have at least: its own, but for what its parts may differ by. */
static double least_square(ls_replayer *w, size_t partner) {
    const double parts = 16, norm = ls_partners_norm(&w->partners, partner);
    return norm > 0 ? norm * norm / (double)w->partners.trace->nodes[partner].elements / parts : 0;
}

/* Lays a tensor of the reference out as the node. */
static bool align(ls_replayer *w, size_t node, const ls_array *computed, size_t partner, ls_reorder reorder, ls_layout_choice choice, double tolerance, ls_sighting *out) {
    const ls_node *n = &w->candidate->nodes[node];
    const ls_pair pair = {.reference = partner, .candidate = node, .reference_value = partner, .candidate_value = node, .pass_pair = w->pass_pair};
    const ls_view candidate = view_of(n, computed->values);
    const ls_view *reference = ls_partners_values(&w->partners, partner);
    ls_layout layout;
    if (reference == NULL)
        return false;
    ls_layout_request q = ls_aligned_pair_request(w->m, &pair, reorder, reference, &candidate);
    q.kind = ls_replayer_kind(w, node);
    if (ls_layout_find(&q, &w->votes, choice, &layout, NULL) != LOCKSTEP_OK)
        return false;
    *out = (ls_sighting){.partner = partner, .error = ls_error_between(&layout.reference, &layout.candidate, tolerance, least_square(w, partner)), .vote = layout.vote,
                         .has_vote = layout.has_vote, .has_pairs = reorder == LS_REORDER_ROPE_PAIRS};
    double *values = out->error < tolerance ? merge(n, &layout, computed) : NULL;
    if (values != NULL) {
        ls_values_give(n, values, &out->value);
        out->layout = ls_arena_copy(w->arena, layout.text, strlen(layout.text));
    }
    ls_layout_done(&layout);
    return values != NULL;
}

/* ------------------------------------------------------------------ rows of experts */

/* A node has a row for each expert of each token. Implementations gather the rows of each expert, in an order of their own: what is
 * computed from rows in any order is consistent, and proves nothing. */
static bool is_gathered(const ls_replayer *w, size_t node, size_t partner) {
    const ls_node *n = &w->candidate->nodes[node], *p = &w->partners.trace->nodes[partner];
    if (w->steps[node].experts == 0 || n->rank == 0 || p->rank == 0)
        return false;
    return n->dialect == LS_DIALECT_ATEN || p->shape[p->rank - 1] != n->shape[n->rank - 1] || (p->rank == 2 && p->shape[0] > 1);
}

/* The node that chooses the experts, by whose choice the reference orders the rows. */
static size_t chooser_of(const ls_replayer *w, size_t node) {
    const ls_node *product = &w->candidate->nodes[w->steps[node].experts - 1];
    return product->operand_count > 2 ? product->operands[2] : LS_NONE;
}

bool ls_replayer_knows_order(const ls_replayer *w, size_t node) {
    const size_t chooser = w->steps[node].experts != 0 ? chooser_of(w, node) : LS_NONE;
    return w->steps[node].experts == 0 || (chooser != LS_NONE && w->orders[chooser] != NULL);
}

/* The order of the reference's rows: known from another node of the same experts, or found by what the rows hold, and then it is
 * known if they agree. */
static bool align_gathered(ls_replayer *w, size_t node, const ls_array *computed, size_t partner, double tolerance, ls_sighting *out) {
    const ls_node *n = &w->candidate->nodes[node], *p = &w->partners.trace->nodes[partner];
    const bool fits = is_gathered(w, node, partner) && p->rank == 2 && p->shape[1] == n->shape[n->rank - 1] && p->elements >= n->elements; /* of the last layer, some rows may be left out */
    const ls_view *view = fits ? ls_partners_values(&w->partners, partner) : NULL;
    const size_t chooser = view != NULL ? chooser_of(w, node) : LS_NONE;
    if (chooser == LS_NONE)
        return false;
    const uint64_t columns = p->shape[1], rows = n->elements / columns, *known = w->orders[chooser];
    if (known != NULL && (known[0] != p->shape[0] || known[1] != rows))
        return false;
    uint64_t *found = known == NULL && isfinite(tolerance) ? ls_row_order_find(computed->values, view, rows, columns) : NULL;
    double *values = known != NULL || found != NULL ? ls_row_order_apply(known != NULL ? known + 2 : found, view, rows, columns) : NULL;
    const ls_view ordered = view_of(n, values), own = view_of(n, computed->values);
    const double error = values != NULL ? ls_error_between(&ordered, &own, tolerance, least_square(w, partner)) : INFINITY;
    uint64_t *kept = error < tolerance && found != NULL ? ls_arena_alloc(w->arena, (rows + 2) * sizeof *kept) : NULL;
    if (kept != NULL) {
        kept[0] = p->shape[0];
        kept[1] = rows;
        memcpy(kept + 2, found, rows * sizeof *kept);
        w->orders[chooser] = kept;
    }
    free(found);
    if (!(values != NULL && error < tolerance && w->orders[chooser] != NULL)) {
        free(values);
        return false;
    }
    *out = (ls_sighting){.partner = partner, .error = error, .order = w->orders[chooser] + 2, .layout = LS_ROWS_BY_EXPERT};
    ls_values_give(n, values, &out->value);
    return true;
}

/* The heads of a linear attention that share a key, as the converter orders them. */
static bool align_regrouped(ls_replayer *w, size_t node, const ls_array *computed, size_t partner, double tolerance, ls_sighting *out) {
    const ls_node *n = &w->candidate->nodes[node], *p = &w->partners.trace->nodes[partner];
    const uint64_t tokens = n->pass != LS_NONE ? w->candidate->passes[n->pass].rows : 0;
    const uint64_t *order = w->groups.values > 0 ? ls_head_order(&w->scratch, &w->groups, n->elements, tokens, p) : NULL;
    const ls_view *view = order != NULL ? ls_partners_values(&w->partners, partner) : NULL;
    double *values = view != NULL ? ls_row_order_apply(order, view, n->elements, 1) : NULL;
    const ls_view ordered = view_of(n, values), own = view_of(n, computed->values);
    const double error = values != NULL ? ls_error_between(&ordered, &own, tolerance, least_square(w, partner)) : INFINITY;
    uint64_t *kept = error < tolerance ? ls_arena_alloc(w->arena, n->elements * sizeof *kept) : NULL;
    if (kept == NULL) {
        free(values);
        return false;
    }
    memcpy(kept, order, n->elements * sizeof *kept);
    *out = (ls_sighting){.partner = partner, .error = error, .order = kept, .orders_elements = true, .layout = LS_HEADS_REGROUPED};
    ls_values_give(n, values, &out->value);
    return true;
}

/* Whether it is rotated later, before it is multiplied with anything but weights of norms. `looks`: how many more nodes are looked at. */
static bool is_rotated_later(const ls_replayer *w, size_t node, int *looks) {
    bool any = false;
    for (size_t k = w->first_consumer[node]; k < w->first_consumer[node + 1] && !any && --*looks >= 0; k++) {
        const ls_node *n = &w->candidate->nodes[w->consumers[k]];
        const bool ends = n->kind->role == LS_OP_ROLE_PRODUCT || n->kind->role == LS_OP_ROLE_ATTENTION || n->pass != w->candidate->nodes[node].pass;
        any = n->kind->id == LS_OP_ROPE || (!ends && is_rotated_later(w, w->consumers[k], looks));
    }
    return any;
}

/* Whether it is what was rotated, or a copy of that. */
static bool is_rotated(const ls_replayer *w, size_t node, int *looks) {
    enum { INPUTS = 8 };
    size_t inputs[INPUTS];
    const ls_node *n = &w->candidate->nodes[node];
    bool any = n->kind->id == LS_OP_ROPE;
    const bool passes_on = ls_op_only_moves(n->kind) || n->kind->role == LS_OP_ROLE_FACTOR;
    for (size_t i = !any && passes_on && --*looks >= 0 ? ls_replayer_inputs(w, node, inputs, INPUTS) : 0; i > 0 && !any; i--)
        any = is_rotated(w, inputs[i - 1], looks);
    return any;
}

static bool is_rotary(const ls_replayer *w, size_t node) {
    int later = LS_REPLAYER_VIEWS, before = LS_REPLAYER_VIEWS;
    return is_rotated(w, node, &before) || is_rotated_later(w, node, &later);
}

/* The first axis whose elements rotary embeddings pair differently. Of a set, every tensor is looked at for every operation: then only where
 * the elements are rotated, so that another order is not taken for one of the two. Where nothing is rotated, a converter may have ordered queries
 * and keys for it all the same, as it does for the family: this is tried where they are not found as they are, since one of them alone proves
 * nothing. */
static bool may_have_pairs(const ls_replayer *w, size_t node, bool is_tried) {
    const ls_node *n = &w->candidate->nodes[node];
    if (w->partners.is_set && !is_rotary(w, node))
        return false;
    const uint64_t head = w->m->facts[w->m->tokens.pairs[w->pass_pair].candidate].head_size;
    const bool rotates = w->rotation == LS_ROTATES_PAIRS || (is_tried && w->rotation == LS_ROTATES_NOTHING && !w->candidate->is_torch);
    return rotates && head > 1 && n->rank > 0 && n->shape[n->rank - 1] % head == 0;
}

void ls_sightings_release(ls_sightings *s) {
    for (size_t i = 0; i < s->count; i++)
        ls_array_release(&s->items[i].value);
    s->count = 0;
}

/* Keeps the list sorted by error, then by the partner's place. */
static void insert(ls_sightings *s, ls_sighting *own) {
    size_t at = s->count;
    while (at > 0 && (own->error < s->items[at - 1].error || (own->error == s->items[at - 1].error && own->partner < s->items[at - 1].partner)))
        at--;
    if (at == LS_SIGHTINGS) {
        ls_array_release(&own->value);
        return;
    }
    if (s->count == LS_SIGHTINGS)
        ls_array_release(&s->items[--s->count].value);
    memmove(&s->items[at + 1], &s->items[at], (s->count - at) * sizeof *s->items);
    s->items[at] = *own;
    s->count++;
}

/* ------------------------------------------------------------------ what is learned */

/* What is learned of a kind, besides the kinds of its partners. */
enum { ANY_PARTNER = 0, AS_HALVES = 1, AS_PAIRS = 2 };

static uint64_t times_learned(const ls_replayer *w, uint64_t kind, uint64_t what) {
    const uint64_t key[2] = {kind, what}, *times = ls_map_find(&w->learned, (const char *)key, sizeof key);
    return times != NULL ? *times : 0;
}

/* Whether rotary halves may be pairs, or not, in a node of this kind: where many others agree, as in those. */
static bool is_usual(const ls_replayer *w, uint64_t kind, bool pairs) {
    enum { MANY = 6, RARELY = 3 };
    const uint64_t own = times_learned(w, kind, pairs ? AS_PAIRS : AS_HALVES), other = times_learned(w, kind, pairs ? AS_HALVES : AS_PAIRS);
    return other < MANY || RARELY * own >= other;
}

/* ------------------------------------------------------------------ all within reach */

static size_t pass_of_partner(const ls_replayer *w) { return w->m->tokens.pairs[w->pass_pair].reference; }

/* Of a set, all that may be the node. `norm`: of what was computed, within which share; infinite: of any. */
static size_t reach_in_set(const ls_replayer *w, size_t node, double norm, double within, ls_reach out[REACH]) {
    uint64_t sizes[LS_SIZES];
    size_t count = 0;
    const size_t n = ls_replayer_sizes(w, node, sizes);
    for (size_t i = 0; i < n && count < REACH; i++)
        count += ls_partners_of_size(&w->partners, sizes[i], norm, i == 0 ? within : INFINITY, out + count, REACH - count);
    return count;
}

/* Values within reach, nearest first; for what may change nothing, what the operands stand for, too. */
static size_t reach(ls_replayer *w, const ls_node *n, const size_t *roots, size_t root_count, ls_reach out[REACH]) {
    const bool copies = n->kind->role == LS_OP_ROLE_COPY || n->kind->role == LS_OP_ROLE_SELECTION;
    size_t count = 0;
    for (size_t i = 0; i < root_count && copies && count < REACH; i++)
        if (w->partners.is_value[roots[i]])
            out[count++] = (ls_reach){roots[i], 0};
    return count + ls_partners_below(&w->partners, pass_of_partner(w), ls_replayer_is_silent(w), roots, root_count, DEPTH, out + count, REACH - count);
}

void ls_replayer_look_up(ls_replayer *w, size_t node, const ls_array *computed, const size_t *roots, size_t root_count, double tolerance, ls_sightings *out) {
    const ls_node *n = &w->candidate->nodes[node];
    const double norm = ls_norm_of(computed);
    const uint64_t kind = ls_replayer_kind(w, node);
    const bool may_pair = may_have_pairs(w, node, false), halves = !may_pair || is_usual(w, kind, false), pairs = may_pair && is_usual(w, kind, true);
    ls_reach near[REACH];
    out->count = 0;
    const bool whole = w->sampled != node; /* otherwise the norm is that of some rows */
    const size_t count = !(norm > 0) ? 0 : w->partners.is_set ? reach_in_set(w, node, norm, whole ? 1.5 * tolerance : INFINITY, near) : reach(w, n, roots, root_count, near);
    for (size_t i = 0; i < count; i++) {
        const size_t partner = near[i].node;
        ls_sighting own;
        if (!may_fit(w, node, partner))
            continue;
        if (whole && n->elements == w->partners.trace->nodes[partner].elements) {
            const double other = ls_partners_norm(&w->partners, partner);
            if (!(fabs(norm - other) <= 1.5 * tolerance * fmax(norm, other)))
                continue;
        }
        const ls_layout_choice choice = times_learned(w, kind, ls_replayer_kind_of_partner(w, partner)) >= OFTEN ? LS_LAYOUT_VOTED : LS_LAYOUT_LEARN;
        if ((halves && align(w, node, computed, partner, LS_REORDER_NONE, choice, tolerance, &own)) ||
            (pairs && align(w, node, computed, partner, LS_REORDER_ROPE_PAIRS, choice, tolerance, &own)) ||
            align_gathered(w, node, computed, partner, tolerance, &own) || align_regrouped(w, node, computed, partner, tolerance, &own)) {
            own.depth = near[i].depth;
            insert(out, &own);
        }
    }
}

static void add_possible(ls_replayer *w, size_t node, const ls_array *computed, const ls_reach *near, ls_sightings *out) {
    const uint64_t kind = ls_replayer_kind(w, node);
    ls_sighting own;
    if (is_gathered(w, node, near->node)) {
        if (align_gathered(w, node, computed, near->node, INFINITY, &own)) {
            own.depth = near->depth;
            out->items[out->count++] = own;
        }
        return;
    }
    for (int pairs = 0; pairs < (may_have_pairs(w, node, true) ? 2 : 1) && out->count < LS_SIGHTINGS; pairs++)
        if (is_usual(w, kind, pairs == 1) && align(w, node, computed, near->node, pairs ? LS_REORDER_ROPE_PAIRS : LS_REORDER_NONE, LS_LAYOUT_VOTED, INFINITY, &own)) {
            own.depth = near->depth;
            out->items[out->count++] = own;
        }
    if (out->count < LS_SIGHTINGS && align_regrouped(w, node, computed, near->node, INFINITY, &own)) {
        own.depth = near->depth;
        out->items[out->count++] = own;
    }
}

/* What the operands stand for, and what they were computed from: an operand may have been found as another tensor than the
 * reference uses here. */
static size_t roots_above(ls_replayer *w, size_t node, size_t out[ROOTS]) {
    enum { INPUTS = 24 };
    size_t inputs[INPUTS], *given, count = 0;
    const size_t n = ls_replayer_inputs(w, node, inputs, INPUTS);
    for (size_t k = 0; k <= n; k++) {
        const size_t known = ls_replayer_roots(w, k == 0 ? node : inputs[k - 1], &given);
        for (size_t i = 0; i < known && count < ROOTS; i++)
            out[count++] = given[i];
    }
    return count;
}

/* The node's value, or zeros in its shape where it is not known: `none` owns them. NULL if out of memory. */
static const ls_array *value_or_zeros(const ls_replayer *w, size_t node, ls_array *none) {
    const ls_node *n = &w->candidate->nodes[node];
    const char *reason;
    *none = (ls_array){0};
    if (w->steps[node].value.values != NULL)
        return &w->steps[node].value;
    double *zeros = ls_values_new(n, &reason);
    if (zeros == NULL)
        return NULL;
    memset(zeros, 0, n->elements * sizeof *zeros);
    ls_values_give(n, zeros, none);
    return none;
}

bool ls_replayer_has_weight(const ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    for (size_t i = 0; i < n->operand_count; i++)
        if (ls_replayer_weight(w, n, i) != LS_NONE)
            return true;
    return false;
}

/* Whether a weight plays a part in a node or in what is open in front of it, or it has another one's values. */
static bool may_have_weight(const ls_replayer *w, size_t node) {
    enum { REGION = 64 };
    size_t region[REGION];
    bool any = ls_replayer_has_weight(w, node) || ls_op_only_moves(w->candidate->nodes[node].kind);
    const size_t count = any ? 0 : ls_replayer_region(w, node, region, REGION);
    for (size_t i = 0; i < count && !any; i++)
        any = ls_replayer_has_weight(w, region[i]);
    return any || count == REGION;
}

static bool is_of_weight(const ls_replayer *w, size_t partner) {
    const ls_node *n = &w->partners.trace->nodes[partner];
    for (size_t i = 0; i < n->source_count; i++)
        if (w->partners.trace->nodes[n->sources[i]].role == LOCKSTEP_ROLE_WEIGHT)
            return true;
    return false;
}

typedef struct closeness {
    ls_reach reach;
    double error;
} closeness;

static int by_closeness(const void *a, const void *b) {
    const closeness *x = a, *y = b;
    if (x->error != y->error)
        return x->error < y->error ? -1 : 1;
    return x->reach.node < y->reach.node ? -1 : x->reach.node > y->reach.node;
}

double ls_replayer_unlikeness(ls_replayer *w, size_t node, const ls_array *value, size_t partner) {
    const ls_pair pair = {.reference = partner, .candidate = node, .reference_value = partner, .candidate_value = node, .pass_pair = w->pass_pair};
    const ls_view candidate = view_of(&w->candidate->nodes[node], value->values), *reference = ls_partners_values(&w->partners, partner);
    ls_layout layout;
    if (reference == NULL)
        return INFINITY;
    ls_layout_request q = ls_aligned_pair_request(w->m, &pair, LS_REORDER_NONE, reference, &candidate);
    q.kind = ls_replayer_kind(w, node);
    if (ls_layout_find(&q, &w->votes, LS_LAYOUT_VOTED, &layout, NULL) != LOCKSTEP_OK)
        return INFINITY;
    const double error = ls_layout_error(&layout);
    ls_layout_done(&layout);
    return isnan(error) ? INFINITY : error;
}

bool ls_replayer_is_lost(const ls_replayer *w, size_t partner) { return !w->partners.is_seen[partner] && w->taken[w->partners.alike[partner]] == LS_NONE; }

bool ls_replayer_is_like_a_lost_one(ls_replayer *w, size_t node) {
    const ls_array *value = &w->steps[node].value;
    ls_reach near[REACH];
    bool any = false;
    for (size_t i = value->values != NULL ? reach_in_set(w, node, 0, INFINITY, near) : 0; i > 0 && !any; i--)
        any = ls_replayer_is_lost(w, near[i - 1].node) && ls_replayer_unlikeness(w, node, value, near[i - 1].node) < UNRELATED;
    return any;
}

size_t ls_replayer_only_lost(const ls_replayer *w, size_t node) {
    ls_reach near[REACH];
    size_t only = LS_NONE, count = 0;
    for (size_t i = reach_in_set(w, node, 0, INFINITY, near); i > 0; i--)
        if (ls_replayer_is_lost(w, near[i - 1].node)) {
            only = near[i - 1].node;
            count++;
        }
    return count == 1 ? only : LS_NONE;
}

/* Of a set, those that stand for nothing yet, the most alike first. Where weights are rounded, too much agrees with what follows: only what
 * is like the node's own value is possible then. */
static size_t closest_in_set(ls_replayer *w, size_t node, const ls_array *value, ls_reach near[REACH]) {
    closeness list[REACH];
    size_t count = 0;
    const size_t all = reach_in_set(w, node, 0, INFINITY, near);
    for (size_t i = 0; i < all; i++) {
        const size_t taken = w->taken[w->partners.alike[near[i].node]];
        const closeness own = {near[i], taken == LS_NONE || taken == node ? ls_replayer_unlikeness(w, node, value, near[i].node) : INFINITY};
        if ((taken == LS_NONE || taken == node) && (w->steps[node].moved.values == NULL || own.error < UNRELATED))
            list[count++] = own;
    }
    qsort(list, count, sizeof *list, by_closeness);
    for (size_t i = 0; i < count; i++)
        near[i] = list[i].reach;
    return count;
}

void ls_replayer_possible(ls_replayer *w, size_t node, ls_sightings *out) {
    const ls_node *n = &w->candidate->nodes[node];
    const ls_step *s = &w->steps[node];
    const uint64_t kind = ls_replayer_kind(w, node);
    const bool learned = times_learned(w, kind, ANY_PARTNER) > 0, of_weights = may_have_weight(w, node);
    ls_array none;
    ls_reach near[REACH];
    out->count = 0;
    size_t roots[ROOTS];
    const ls_array *value = value_or_zeros(w, node, &none);
    if (value == NULL)
        return;
    const size_t count = w->partners.is_set ? closest_in_set(w, node, value, near) : reach(w, n, roots, roots_above(w, node, roots), near);
    for (int round = learned ? 0 : 1; round < 2 && out->count == 0; round++)
        for (size_t i = 0; i < count && out->count < LS_SIGHTINGS - 1; i++) {
            const size_t partner = near[i].node;
            const size_t taken = w->taken[w->partners.alike[partner]];
            const bool free_ = taken == LS_NONE || taken == node || (s->partner != LS_NONE && s->partner != partner);
            if (free_ && partner != s->partner && (of_weights || w->partners.is_set || !is_of_weight(w, partner)) && may_fit(w, node, partner) && (round == 1 || times_learned(w, kind, ls_replayer_kind_of_partner(w, partner)) > 0))
                add_possible(w, node, value, &near[i], out);
        }
    ls_array_release(&none);
}

/* What was found as rotary pairs may be meant to be as the reference has it, where that rotates pairs, too. */
static void add_as_halves(ls_replayer *w, size_t node, const ls_array *value, ls_sightings *out) {
    const ls_step *s = &w->steps[node];
    ls_sighting own;
    if (s->has_pairs && out->count < LS_SIGHTINGS && align(w, node, value, s->partner, LS_REORDER_NONE, LS_LAYOUT_VOTED, INFINITY, &own)) {
        own.depth = 0;
        out->items[out->count++] = own;
    }
}

void ls_replayer_above(ls_replayer *w, size_t node, size_t reader, ls_sightings *out) {
    enum { NEAREST = 8 };
    ls_reach near[REACH];
    const size_t own = w->steps[node].partner;
    size_t count = 0;
    ls_array none;
    const ls_array *value = value_or_zeros(w, node, &none);
    out->count = 0;
    if (value == NULL)
        return;
    if (ls_op_only_moves(w->candidate->nodes[reader].kind)) /* a copy's operand has the copy's values */
        near[count++] = (ls_reach){w->steps[reader].partner, 0};
    const size_t partner = w->steps[reader].partner, moved = count;
    count += ls_partners_above(&w->partners, partner, near + count, REACH - count);
    const uint64_t kind = ls_replayer_kind(w, node);
    for (int round = ls_replayer_has_usual_partner(w, node) ? 0 : 1; round < 2 && out->count == 0; round++)
        for (size_t i = 0; i < count && out->count < NEAREST; i++)
            if (near[i].node != own && (near[i].node != partner || i < moved) && may_fit(w, node, near[i].node) &&
                (round == 1 || times_learned(w, kind, ls_replayer_kind_of_partner(w, near[i].node)) > 0))
                add_possible(w, node, value, &near[i], out);
    add_as_halves(w, node, value, out);
    ls_array_release(&none);
}

/* Whether some elements are no numbers here, and are there: all of them were computed. */
static bool lacks_numbers(const ls_array *computed, const ls_array *value) {
    bool lacks = false;
    for (uint64_t i = 0; i < computed->elements && !lacks; i++)
        lacks = isnan(computed->values[i]) && ls_is_number(value->values[i]);
    return lacks;
}

double ls_replayer_differs(const ls_replayer *w, size_t node, const ls_array *computed) {
    const ls_distance d = ls_distance_of(w->steps[node].value.values, computed->values, computed->elements);
    if (d.numbers == 0 || d.apart > 0 || lacks_numbers(computed, &w->steps[node].value))
        return INFINITY;
    return d.difference > 0 ? sqrt(d.difference / d.norm) : 0;
}

void ls_replayer_lay_out(ls_replayer *w, size_t node, size_t partner, ls_sightings *out) {
    const ls_reach one = {partner, 1};
    out->count = 0;
    if (may_fit(w, node, partner))
        add_possible(w, node, &w->steps[node].value, &one, out);
}

bool ls_replayer_has_usual_partner(const ls_replayer *w, size_t node) { return times_learned(w, ls_replayer_kind(w, node), ANY_PARTNER) > 0; }

/* A node was found by its value: others of its kind have partners of the same kind. */
void ls_replayer_learn(ls_replayer *w, size_t node, const ls_sighting *sighting) {
    const uint64_t kind = ls_replayer_kind(w, node);
    if (w->teaches_nothing)
        return;
    const uint64_t keys[3][2] = {{kind, ANY_PARTNER}, {kind, sighting->has_pairs ? AS_PAIRS : AS_HALVES}, {kind, ls_replayer_kind_of_partner(w, sighting->partner)}};
    for (int i = 0; i < 3; i++) {
        uint64_t *slot = ls_map_at(&w->learned, (const char *)keys[i], sizeof keys[i]);
        if (slot != NULL)
            ++*slot;
    }
    if (sighting->has_vote)
        ls_layout_cast(&w->votes, &sighting->vote);
}
