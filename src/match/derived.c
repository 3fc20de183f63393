#include "match/derived.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "match/aligned_pair.h"

enum { LAYOUT_LOOKS = 1 << 14, SIBLING_LOOKS = 16 }; /* what these cost, in comparisons of two sketches */
enum { COMPARED_MAX = 200 << 20, TRIED_BEFORE = 48, TRIALS = 4096, SOURCES_MAX = 64 };
#define CERTAIN 0.02 /* below it, no other order of axes is tried */

typedef struct deriving {
    ls_choosing *k;
    const ls_derivation *d;
    const ls_values *values; /* of the reference */
    size_t first, end;       /* nodes of its pass */
    size_t pass, looks, trials_left;
    bool infers;             /* where nothing is equal */
    bool is_stale;           /* the choice's ranks are */
    ls_value_findings *findings;
} deriving;

/* ------------------------------------------------------------------ the candidate's values */

/* Puts the elements of one view where those of another lie, which are in the same order. `base`: what both lie in. */
static void scatter(const ls_view *from, const ls_view *to, const ls_view *base, double *out) {
    enum { CHUNK = 256 };
    const int64_t first = (to->data - base->data) / (int64_t)ls_dtype(base->dtype)->block_bytes;
    const uint64_t elements = ls_view_elements(to);
    uint64_t at[LOCKSTEP_MAX_RANK] = {0};
    double values[CHUNK];
    int64_t place = first;
    for (uint64_t i = 0; i < elements; i++) {
        if (i % CHUNK == 0)
            ls_view_read_f64(from, i, elements - i < CHUNK ? (size_t)(elements - i) : CHUNK, values);
        out[place] = values[i % CHUNK];
        for (int axis = to->rank - 1; axis >= 0; axis--) {
            place += to->strides[axis];
            if (++at[axis] < to->shape[axis])
                break;
            place -= (int64_t)to->shape[axis] * to->strides[axis];
            at[axis] = 0;
        }
    }
}

/* The layout in which a candidate is a node of the reference, whose values are `like`. */
static bool find_layout(const deriving *w, size_t node, const ls_view *like, size_t candidate, const ls_view *held, ls_reorder reorder, ls_layout *out) {
    const ls_pair pair = {.reference = node, .candidate = candidate, .reference_value = node, .candidate_value = candidate, .pass_pair = w->k->pass_pair};
    const ls_layout_request q = ls_aligned_pair_request(w->k->m, &pair, reorder, like, held);
    lockstep_error why;
    return ls_layout_find(&q, &w->k->m->votes, LS_LAYOUT_LEARN, out, &why) == LOCKSTEP_OK;
}

/* A candidate's values in the layout of a node whose values are similar to `like`; NULL where they are not all there. To be freed. */
static double *values_like(const deriving *w, size_t node, const ls_view *like, size_t candidate, ls_reorder reorder) {
    const uint64_t elements = w->values->trace->nodes[node].elements;
    ls_hold hold;
    ls_layout layout;
    double *values = NULL;
    if (ls_trace_hold(w->k->m->in->candidate.trace, candidate, &hold, NULL) != LOCKSTEP_OK)
        return NULL;
    if (ls_view_is_contiguous(like) && find_layout(w, node, like, candidate, &hold.view, reorder, &layout)) {
        const bool whole = layout.gathered[0] == NULL && ls_view_elements(&layout.reference) == elements && ls_view_elements(&layout.candidate) == elements;
        values = whole ? malloc((elements + 1) * sizeof *values) : NULL;
        if (values != NULL)
            scatter(&layout.candidate, &layout.reference, like, values);
        ls_layout_done(&layout);
    }
    ls_hold_release(&hold);
    return values;
}

/* The same, similar to the reference's own. */
static double *values_for(const deriving *w, size_t node, size_t candidate, ls_reorder reorder) {
    ls_hold hold;
    if (ls_trace_hold(w->values->trace, node, &hold, NULL) != LOCKSTEP_OK)
        return NULL;
    double *values = values_like(w, node, &hold.view, candidate, reorder);
    ls_hold_release(&hold);
    return values;
}

static void settle_with(const deriving *w, size_t node, double *values) {
    if (values == NULL)
        return;
    w->d->settle(w->d->context, node, values);
    w->k->is_settled[node] = true;
}

/* From here on, the node has its partner's values. */
static void settle(const deriving *w, size_t node, ls_reorder reorder) { settle_with(w, node, values_for(w, node, w->k->of_reference[node], reorder)); }

/* ------------------------------------------------------------------ looking up */

/* The tensor that is equal to what was computed. */
typedef struct sighting {
    size_t candidate; /* piece; LS_NONE */
    double error, second;
    ls_reorder reorder;
} sighting;

static double error_under_layout(const deriving *w, size_t node, const ls_view *computed, const ls_piece *c, ls_reorder reorder) {
    ls_hold hold;
    ls_layout layout;
    double error = INFINITY;
    if (ls_trace_hold(w->k->m->in->candidate.trace, c->node, &hold, NULL) != LOCKSTEP_OK)
        return INFINITY;
    if (find_layout(w, node, computed, c->node, &hold.view, reorder, &layout)) {
        error = ls_layout_error(&layout);
        ls_layout_done(&layout);
    }
    ls_hold_release(&hold);
    return error;
}

static void offer(const deriving *w, sighting *s, size_t candidate, double error, ls_reorder reorder) {
    const bool copy = s->candidate != LS_NONE && ls_sketches_are_copies(&ls_choosing_candidate(w->k, s->candidate)->sketch, &ls_choosing_candidate(w->k, candidate)->sketch);
    if (error < s->error)
        *s = (sighting){candidate, error, copy ? s->second : s->error, reorder};
    else if (error < s->second && !copy)
        s->second = error;
}

/* Under other orders of axes. */
static void look_under_layouts(deriving *w, size_t node, const ls_view *computed, const ls_sketch *sketch, sighting *s) {
    static const ls_reorder reorders[] = {LS_REORDER_NONE, LS_REORDER_ROPE_PAIRS};
    for (size_t c = 0; c < w->k->found.candidate.count; c++) {
        const ls_piece *p = ls_choosing_candidate(w->k, c);
        if (w->looks++ >= COMPARED_MAX || w->k->of_candidate[p->node] != LS_NONE || p->last_of >= 0 || !ls_sketch_is_like(sketch, &p->sketch, 1))
            continue;
        w->looks += LAYOUT_LOOKS;
        for (size_t o = 0; o < sizeof reorders / sizeof reorders[0] && s->error > CERTAIN; o++)
            offer(w, s, c, error_under_layout(w, node, computed, p, reorders[o]), reorders[o]);
    }
}

/* Of the last row of what was computed: engines drop the others in front of the head. False where there is none. */
static bool take_last_row(const deriving *w, const ls_view *computed, ls_sketch *out) {
    const uint64_t rows = w->values->trace->passes[w->pass].rows;
    ls_view row = *computed;
    int axis = 0;
    while (axis < row.rank && row.shape[axis] != rows)
        axis++;
    if (rows < 2 || axis == row.rank)
        return false;
    ls_sketch_narrow(&row, axis);
    return ls_sketch_take(&row, false, out) && !out->is_plain;
}

static bool look_up(deriving *w, size_t node, const ls_view *computed, sighting *out) {
    ls_sketch sketch, row;
    sighting s = {.candidate = LS_NONE, .error = INFINITY, .second = INFINITY};
    if (!ls_sketch_take(computed, false, &sketch) || sketch.is_plain)
        return false;
    const bool has_row = take_last_row(w, computed, &row);
    for (size_t c = 0; c < w->k->found.candidate.count && w->looks < COMPARED_MAX; c++, w->looks++) {
        const ls_piece *p = ls_choosing_candidate(w->k, c);
        if (w->k->of_candidate[p->node] == LS_NONE && p->last_of < 0)
            offer(w, &s, c, ls_sketch_distance(has_row && p->sketch.elements == row.elements ? &row : &sketch, &p->sketch), LS_REORDER_NONE);
    }
    if (s.error > CERTAIN)
        look_under_layouts(w, node, computed, &sketch, &s);
    *out = s;
    return s.error <= w->k->limit && ls_choosing_is_clear(s.error, s.second, LS_CLEARLY);
}

/* ------------------------------------------------------------------ pairing */

static size_t piece_of(const ls_pieces *p, size_t node) {
    size_t from = 0, to = p->count;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (p->items[middle].node < node)
            from = middle + 1;
        else
            to = middle;
    }
    return from < p->count && p->items[from].node == node ? from : LS_NONE;
}

static lockstep_status take(deriving *w, size_t node, const ls_view *computed, const sighting *s, lockstep_error *error) {
    const size_t piece = piece_of(&w->k->found.reference, node);
    const double error_of_pair = ls_sketch_distance(&ls_choosing_reference(w->k, piece)->sketch, &ls_choosing_candidate(w->k, s->candidate)->sketch);
    const ls_likeness like = {.reference = piece, .error = error_of_pair, .reorder = s->reorder};
    LS_TRY(ls_choosing_pair(w->k, &like, s->candidate, LS_METHOD_CONTENT, error));
    settle_with(w, node, values_like(w, node, computed, w->k->of_reference[node], s->reorder));
    return LOCKSTEP_OK;
}

/* What could have a partner, and has none. */
static bool is_wanted(const deriving *w, size_t node) { return w->k->of_reference[node] == LS_NONE && piece_of(&w->k->found.reference, node) != LS_NONE; }

static bool is_walked(const deriving *w, size_t node) {
    const ls_node *n = &w->values->trace->nodes[node];
    return n->pass == w->pass && n->elements > 0 && ls_values_is_own(w->values, node);
}

static ls_reorder reorder_of(const deriving *w, size_t candidate) {
    const size_t pair = w->k->m->pair_of[candidate];
    return pair != 0 ? w->k->m->pairs->items[pair - 1].reorder : LS_REORDER_NONE;
}

/* One step of a walk; `out_found`: nothing is left to do for the node. */
static lockstep_status step(deriving *w, size_t node, bool *out_found, lockstep_error *error) {
    ls_view computed;
    sighting seen;
    *out_found = true;
    if (w->values->trace->nodes[node].role == LOCKSTEP_ROLE_WRITE && w->values->trace->nodes[node].pass == w->pass)
        w->d->compute(w->d->context, node, &computed); /* to a cache */
    if (!is_walked(w, node))
        return LOCKSTEP_OK;
    if (w->k->of_reference[node] != LS_NONE) {
        if (!w->k->is_settled[node])
            settle(w, node, reorder_of(w, w->k->of_reference[node]));
        return LOCKSTEP_OK;
    }
    *out_found = w->d->compute(w->d->context, node, &computed) && is_wanted(w, node) && look_up(w, node, &computed, &seen);
    return *out_found ? take(w, node, &computed, &seen, error) : LOCKSTEP_OK;
}

static deriving deriving_of(ls_choosing *k, const ls_derivation *d, ls_value_findings *findings) {
    const size_t pass = k->m->tokens.pairs[k->pass_pair].reference;
    const ls_trace *t = k->m->in->reference.trace;
    return (deriving){.k = k, .d = d, .values = &k->m->in->reference.values, .first = t->passes[pass].first_node, .end = t->passes[pass].end_node, .pass = pass, .findings = findings};
}

lockstep_status ls_derived_pair_equal(ls_choosing *k, const ls_derivation *d, lockstep_error *error) {
    deriving w = deriving_of(k, d, NULL);
    bool found;
    for (size_t node = w.first; node < w.end; node++)
        LS_TRY(step(&w, node, &found, error));
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ other weights */

static bool note(deriving *w, const ls_exchange *exchange) {
    ls_value_findings *e = w->findings;
    const bool room = ls_grow((void **)&e->items, e->count, &e->capacity, sizeof *e->items);
    if (room)
        e->items[e->count++] = *exchange;
    return room;
}

static lockstep_status no_memory(lockstep_error *error) { return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory"); }

/* The node's weight, if it has one. */
static size_t weight_of(const deriving *w, size_t node) {
    const ls_node *nodes = w->values->trace->nodes, *n = &nodes[node];
    for (size_t i = 0; i < n->source_count; i++)
        if (nodes[w->values->value_of[n->sources[i]]].role == LOCKSTEP_ROLE_WEIGHT)
            return w->values->value_of[n->sources[i]];
    return LS_NONE;
}

static bool reads(const deriving *w, const ls_node *n, size_t value) {
    bool any = false;
    for (size_t i = 0; i < n->source_count && !any; i++)
        any = w->values->value_of[n->sources[i]] == value;
    return any;
}

/* The same operation on the same operands, but with another weight. */
static bool are_siblings(const deriving *w, size_t a, size_t b) {
    const ls_node *nodes = w->values->trace->nodes, *x = &nodes[a], *y = &nodes[b];
    bool same = a != b && x->source_count <= SOURCES_MAX && is_walked(w, b) && x->kind == y->kind && x->elements == y->elements && x->source_count == y->source_count && weight_of(w, a) != weight_of(w, b);
    for (size_t i = 0; i < x->source_count && same; i++) {
        const size_t source = w->values->value_of[x->sources[i]];
        same = nodes[source].role == LOCKSTEP_ROLE_WEIGHT || reads(w, y, source);
    }
    return same;
}

/* What a weight gives is the result of its own operation, if that has the same operands. */
static bool is_of_sibling(const deriving *w, size_t node, size_t weight) {
    bool any = false;
    for (size_t s = w->first; s < w->end && !any; s++)
        any = weight_of(w, s) == weight && are_siblings(w, node, s);
    return any;
}

/* Computed with another weight of the same shape, is it there? */
static lockstep_status try_weights(deriving *w, size_t node, bool *out_found, lockstep_error *error) {
    ls_view computed;
    sighting seen;
    for (size_t i = 0; weight_of(w, node) != LS_NONE && w->trials_left > 0; i++) {
        bool any = false;
        const size_t weight = w->d->vary(w->d->context, node, i, &computed, &any);
        if (weight == LS_NONE)
            break;
        w->trials_left--;
        *out_found = any && !is_of_sibling(w, node, weight) && look_up(w, node, &computed, &seen);
        if (!*out_found)
            continue;
        if (!note(w, &(ls_exchange){weight_of(w, node), weight, node, true}))
            return no_memory(error);
        return take(w, node, &computed, &seen, error);
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ results that were exchanged */

/* Two nodes of the reference exchange their partners. */
static void exchange(const deriving *w, size_t a, size_t b) {
    ls_choosing *k = w->k;
    const size_t of_a = k->of_reference[a], of_b = k->of_reference[b], first = k->m->pair_of[of_a], second = k->m->pair_of[of_b];
    if (first == 0 || second == 0)
        return;
    ls_pair *x = &k->m->pairs->items[first - 1], *y = &k->m->pairs->items[second - 1], kept = *x;
    x->candidate = y->candidate;
    x->candidate_value = y->candidate_value;
    y->candidate = kept.candidate;
    y->candidate_value = kept.candidate_value;
    k->m->pair_of[of_a] = second;
    k->m->pair_of[of_b] = first;
    k->of_reference[a] = of_b;
    k->of_reference[b] = of_a;
    k->of_candidate[of_a] = b;
    k->of_candidate[of_b] = a;
    settle(w, a, x->reorder);
    settle(w, b, y->reorder);
}

/* Computes a node, and before it those of its operands that have no partner. */
static bool compute_anew(const deriving *w, size_t node, ls_view *out) {
    const ls_node *n = &w->values->trace->nodes[node];
    for (size_t i = 0; i < n->source_count; i++) {
        const size_t operand = w->values->value_of[n->sources[i]];
        if (is_walked(w, operand) && w->k->of_reference[operand] == LS_NONE)
            w->d->compute(w->d->context, operand, out);
    }
    return w->d->compute(w->d->context, node, out);
}

/* Gives two nodes each other's candidate values. */
static bool cross(const deriving *w, size_t a, size_t b, double *out_kept[2]) {
    const size_t of_a = w->k->of_reference[a], of_b = w->k->of_reference[b];
    double *values[2] = {values_for(w, a, of_b, reorder_of(w, of_b)), values_for(w, b, of_a, reorder_of(w, of_a))};
    const bool ok = values[0] != NULL && values[1] != NULL && w->k->is_settled[a] && w->k->is_settled[b];
    for (int i = 0; i < 2; i++) {
        out_kept[i] = ok ? w->d->exchange(w->d->context, i == 0 ? a : b, values[i]) : NULL;
        if (!ok)
            free(values[i]);
    }
    return ok;
}

/* Is the node there if two siblings have each other's values? */
static lockstep_status try_sibling(deriving *w, size_t node, size_t operand, size_t sibling, bool *out_found, lockstep_error *error) {
    ls_view computed;
    sighting seen;
    double *kept[2];
    if (!cross(w, operand, sibling, kept))
        return LOCKSTEP_OK;
    *out_found = compute_anew(w, node, &computed) && look_up(w, node, &computed, &seen);
    if (!*out_found) {
        settle_with(w, operand, kept[0]);
        settle_with(w, sibling, kept[1]);
        compute_anew(w, node, &computed);
        return LOCKSTEP_OK;
    }
    free(kept[0]);
    free(kept[1]);
    LS_TRY(take(w, node, &computed, &seen, error));
    exchange(w, operand, sibling);
    return note(w, &(ls_exchange){operand, sibling, node, false}) ? LOCKSTEP_OK : no_memory(error);
}

static lockstep_status try_siblings_of(deriving *w, size_t node, size_t operand, bool *out_found, lockstep_error *error) {
    for (size_t s = w->first; s < w->end && !*out_found && w->trials_left > 0 && w->looks < COMPARED_MAX && w->k->of_reference[operand] != LS_NONE; s++, w->looks += SIBLING_LOOKS)
        if (w->k->of_reference[s] != LS_NONE && are_siblings(w, operand, s)) {
            w->trials_left--;
            LS_TRY(try_sibling(w, node, operand, s, out_found, error));
        }
    return LOCKSTEP_OK;
}

/* Operands, and those of operands without a partner. */
static lockstep_status try_siblings(deriving *w, size_t node, bool *out_found, lockstep_error *error) {
    const ls_node *nodes = w->values->trace->nodes;
    for (size_t i = 0; i < nodes[node].source_count && !*out_found; i++) {
        const size_t operand = w->values->value_of[nodes[node].sources[i]];
        if (!is_walked(w, operand))
            continue;
        LS_TRY(try_siblings_of(w, node, operand, out_found, error));
        for (size_t k = 0; k < nodes[operand].source_count && !*out_found && w->k->of_reference[operand] == LS_NONE; k++)
            if (is_walked(w, w->values->value_of[nodes[operand].sources[k]]))
                LS_TRY(try_siblings_of(w, node, w->values->value_of[nodes[operand].sources[k]], out_found, error));
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ behind a fault */

/* Recorded beside an operation whose operands are right: where the candidate has something else, it factors that operation differently. */
static bool is_aside_of_right(const deriving *w, size_t node) {
    const ls_node *n = &w->values->trace->nodes[node];
    bool right = n->is_aside;
    for (size_t i = 0; i < n->source_count && right; i++) {
        const size_t source = w->values->value_of[n->sources[i]], partner = w->k->of_reference[source];
        right = !is_walked(w, source) || (partner != LS_NONE && w->k->error[partner] <= w->k->limit);
    }
    return right;
}

/* Pairs the closest, if it is clear. */
static lockstep_status infer(deriving *w, size_t node, lockstep_error *error) {
    ls_choosing *k = w->k;
    const size_t piece = piece_of(&k->found.reference, node);
    if (w->is_stale)
        ls_choosing_rank_references(k);
    w->is_stale = false;
    const ls_rank own = k->ranks[piece];
    if (own.best == NULL || own.best->error > ls_choosing_limit(k, own.best, own.candidate, LS_BEHIND) || !ls_choosing_is_clear(own.best->error, own.second, LS_CLEARLY_BEHIND))
        return LOCKSTEP_OK;
    const ls_rank other = ls_choosing_rank_candidate(k, own.candidate);
    if (other.best != own.best || !ls_choosing_is_clear(other.best->error, other.second, LS_CLEARLY_BEHIND) ||
        ls_choosing_is_sheltered(k, ls_choosing_reference(k, piece), ls_choosing_candidate(k, own.candidate), own.best->error))
        return LOCKSTEP_OK;
    LS_TRY(ls_choosing_pair(k, own.best, own.candidate, LS_METHOD_INFERRED, error));
    settle(w, node, own.best->reorder);
    return LOCKSTEP_OK;
}

static lockstep_status step_behind(deriving *w, size_t node, lockstep_error *error) {
    const bool was_paired = w->k->of_reference[node] != LS_NONE;
    bool found;
    LS_TRY(step(w, node, &found, error));
    if (!found && is_walked(w, node) && is_wanted(w, node)) {
        LS_TRY(try_weights(w, node, &found, error));
        if (!found)
            LS_TRY(try_siblings(w, node, &found, error));
        if (!found && w->infers && !is_aside_of_right(w, node))
            LS_TRY(infer(w, node, error));
    }
    w->is_stale = w->is_stale || (!was_paired && w->k->of_reference[node] != LS_NONE);
    return LOCKSTEP_OK;
}

static ls_view view_of(const ls_node *n, const double *values) {
    ls_view view = {.data = (const uint8_t *)values, .dtype = LOCKSTEP_F64, .rank = n->rank};
    memcpy(view.shape, n->shape, sizeof view.shape);
    ls_view_set_contiguous(&view);
    return view;
}

/* How far what a node's reader computes is from what its partner has, if the node has these values, which are taken over. */
static double error_with(const deriving *w, size_t node, size_t reader, double *values, const ls_sketch *right) {
    ls_sketch own;
    ls_view view;
    double *kept = w->d->exchange(w->d->context, node, values);
    if (kept == NULL) {
        free(values);
        return INFINITY;
    }
    const double error = w->d->compute(w->d->context, reader, &view) && ls_sketch_take(&view, false, &own) ? ls_sketch_distance(right, &own) : INFINITY;
    free(w->d->exchange(w->d->context, node, kept));
    return error;
}

/* The candidate with which the reader computes what its partner has. */
static sighting best_for(const deriving *w, size_t node, size_t reader, const ls_sketch *right) {
    sighting best = {.candidate = LS_NONE, .error = INFINITY, .second = INFINITY};
    for (size_t c = 0, tried = 0; c < w->k->found.candidate.count && tried < TRIED_BEFORE; c++) {
        const ls_piece *p = ls_choosing_candidate(w->k, c);
        const bool fits = w->k->of_candidate[p->node] == LS_NONE && p->last_of < 0 && p->sketch.elements == w->values->trace->nodes[node].elements;
        double *values = fits ? values_for(w, node, p->node, LS_REORDER_NONE) : NULL;
        if (values == NULL)
            continue;
        tried++;
        offer(w, &best, c, error_with(w, node, reader, values, right), LS_REORDER_NONE);
    }
    return best;
}

/* Pairs a node with the candidate that explains its reader. */
static lockstep_status take_for(deriving *w, size_t node, const sighting *best, lockstep_error *error) {
    double *values = values_for(w, node, ls_choosing_candidate(w->k, best->candidate)->node, LS_REORDER_NONE);
    const ls_view found = view_of(&w->values->trace->nodes[node], values);
    const lockstep_status status = values != NULL ? take(w, node, &found, best, error) : LOCKSTEP_OK;
    free(values);
    return status;
}

/* A tensor that nothing resembles: with the right one, what is computed from it is what its partner has. */
static lockstep_status solve(deriving *w, size_t node, size_t reader, lockstep_error *error) {
    const size_t partner = w->k->of_reference[reader];
    double *wanted = values_for(w, reader, partner, reorder_of(w, partner));
    ls_sketch right, own;
    ls_view view = view_of(&w->values->trace->nodes[reader], wanted);
    const bool any = wanted != NULL && ls_sketch_take(&view, false, &right) && !right.is_plain;
    sighting best = {.candidate = LS_NONE, .error = INFINITY, .second = INFINITY};
    if (any && w->d->compute(w->d->context, reader, &view) && ls_sketch_take(&view, false, &own) && ls_sketch_distance(&right, &own) > w->k->limit)
        best = best_for(w, node, reader, &right);
    settle_with(w, reader, wanted);
    return best.error <= w->k->limit && ls_choosing_is_clear(best.error, best.second, LS_CLEARLY) ? take_for(w, node, &best, error) : LOCKSTEP_OK;
}

/* Looks for what is still missing in front of what was found. */
static lockstep_status solve_all(deriving *w, lockstep_error *error) {
    for (size_t reader = w->first; reader < w->end; reader++) {
        const ls_node *n = &w->values->trace->nodes[reader];
        for (size_t i = 0; i < n->source_count && is_walked(w, reader) && w->k->of_reference[reader] != LS_NONE; i++) {
            const size_t operand = w->values->value_of[n->sources[i]];
            if (is_walked(w, operand) && is_wanted(w, operand))
                LS_TRY(solve(w, operand, reader, error));
        }
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_derived_pair_behind(ls_choosing *k, const ls_derivation *d, ls_value_findings *findings, lockstep_error *error) {
    deriving w = deriving_of(k, d, findings);
    w.trials_left = TRIALS;
    w.is_stale = true;
    for (int walk = 0; walk < 2; walk++) { /* what is proven comes before what is inferred */
        w.infers = walk == 1;
        for (size_t node = w.first; node < w.end; node++)
            LS_TRY(step_behind(&w, node, error));
    }
    return solve_all(&w, error);
}
