#include "match/resemblance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/pool.h"
#include "match/aligned_pair.h"

#define NEAR 1.0          /* an error beyond it says nothing: unrelated tensors are 1.4 apart */
#define CERTAIN 0.02      /* below it, no other order of axes is tried */
#define UNDER_LAYOUT 0.15 /* the largest error under a layout that was chosen to make it small */
#define UNDER_LAYOUT_BEHIND 0.8
#define LAYOUT_GAINS 0.7 /* the largest error under such a layout, of that without one */
#define SLACK_BEHIND 5
enum { LAYOUTS_TRIED = 32, COMPARED_MAX = 200 << 20 };

/* ------------------------------------------------------------------ pieces */

/* One side of a pair of passes. */
typedef struct collecting {
    const ls_matching *m;
    const ls_values *values;
    size_t pass;
    uint64_t rows; /* of the pass; 0 or 1: no last row is looked for */
    bool of_reference;
    ls_map *sizes; /* elements of the other side's tensors */
    ls_pieces *out;
} collecting;

static bool is_paired(const collecting *c, size_t node) { return c->of_reference ? c->m->reference_used[node] : c->m->pair_of[node] != 0 || !c->m->wanted[node]; }

static bool may_be_paired(const collecting *c, size_t node) {
    const ls_node *n = &c->values->trace->nodes[node];
    const bool in_pass = n->pass == c->pass || (n->pass == LS_NONE && !c->values->trace->is_graph);
    return in_pass && ls_values_is_own(c->values, node) && n->elements > 0 && ls_node_has_values(n) && !is_paired(c, node);
}

static bool add_piece(const collecting *c, size_t node, int last_of) {
    if (!ls_grow((void **)&c->out->items, c->out->count, &c->out->capacity, sizeof *c->out->items))
        return false;
    c->out->items[c->out->count++] = (ls_piece){.node = node, .last_of = last_of};
    return true;
}

/* The whole tensor, and its last row along each axis of the pass's rows, where the other side has a tensor of that size. */
static bool add_pieces(const collecting *c, size_t node) {
    const ls_node *n = &c->values->trace->nodes[node];
    bool ok = add_piece(c, node, -1);
    for (int axis = 0; axis < n->rank && ok && c->rows > 1; axis++) {
        const uint64_t elements = n->elements / c->rows;
        if (n->shape[axis] == c->rows && elements > 1 && ls_map_find(c->sizes, (const char *)&elements, sizeof elements) != NULL)
            ok = add_piece(c, node, axis);
    }
    return ok;
}

static bool note_sizes(const collecting *c) {
    bool ok = true;
    for (size_t i = 0; i < c->values->trace->node_count && ok; i++)
        ok = !may_be_paired(c, i) || ls_map_at(c->sizes, (const char *)&c->values->trace->nodes[i].elements, sizeof(uint64_t)) != NULL;
    return ok;
}

/* Draws one piece's sketch. */
static void sketch_piece(void *context, uint64_t i, int worker) {
    const collecting *c = context;
    ls_piece *p = &c->out->items[i];
    ls_hold hold;
    (void)worker;
    if (ls_trace_hold(c->values->trace, p->node, &hold, NULL) == LOCKSTEP_OK) {
        const bool fits = p->last_of < 0 || ls_dtype(hold.view.dtype)->block_elements == 1;
        if (p->last_of >= 0 && fits)
            ls_sketch_narrow(&hold.view, p->last_of);
        if (!fits || !ls_sketch_take(&hold.view, ls_node_is_integer(&c->values->trace->nodes[p->node]), &p->sketch))
            p->sketch.elements = 0;
        ls_hold_release(&hold);
    }
}

static void drop_empty(ls_pieces *p) {
    size_t kept = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].sketch.elements > 0)
            p->items[kept++] = p->items[i];
    p->count = kept;
}

static bool collect(collecting *c) {
    bool ok = true;
    for (size_t i = 0; i < c->values->trace->node_count && ok; i++)
        ok = !may_be_paired(c, i) || add_pieces(c, i);
    if (!ok)
        return false;
    ls_pool_run(c->out->count, sketch_piece, c);
    drop_empty(c->out);
    return true;
}

static bool collect_both(const ls_matching *m, size_t pass_pair, ls_resemblance *out) {
    const ls_pass_pair *pp = &m->tokens.pairs[pass_pair];
    const ls_trace *r = m->in->reference.trace, *c = m->in->candidate.trace;
    ls_map sizes[2] = {{0}, {0}};
    const uint64_t rows = r->passes[pp->reference].rows > 0 ? r->passes[pp->reference].rows : c->passes[pp->candidate].rows;
    collecting of_reference = {m, &m->in->reference.values, pp->reference, rows, true, &sizes[0], &out->reference};
    collecting of_candidate = {m, &m->in->candidate.values, pp->candidate, rows, false, &sizes[1], &out->candidate};
    bool ok = note_sizes(&of_reference) && note_sizes(&of_candidate);
    of_reference.sizes = &sizes[1];
    of_candidate.sizes = &sizes[0];
    ok = ok && collect(&of_reference) && collect(&of_candidate);
    ls_map_done(&sizes[0]);
    ls_map_done(&sizes[1]);
    return ok;
}

/* ------------------------------------------------------------------ likenesses */

static void keep(ls_likenesses *of, const ls_likeness *like) {
    size_t at = of->count < LS_LIKENESSES ? of->count++ : LS_LIKENESSES;
    for (; at > 0 && like->error < of->items[at - 1].error; at--)
        if (at < LS_LIKENESSES)
            of->items[at] = of->items[at - 1];
    if (at < LS_LIKENESSES)
        of->items[at] = *like;
}

/* Only one of two tensors is cut to its last row. */
static bool may_correspond(const ls_piece *r, const ls_piece *c) { return r->sketch.elements == c->sketch.elements && (r->last_of < 0 || c->last_of < 0); }

typedef struct comparing {
    const ls_matching *m;
    size_t pass_pair;
    bool behind;
    ls_resemblance *out;
    size_t compared_each; /* reference pieces that each candidate piece is compared with at most */
} comparing;

static double spread_of(const ls_sketch *s) {
    double squares = 0;
    for (size_t k = 0; k < LS_SKETCH_PLACES; k++)
        squares += isnan(s->values[k]) ? 0 : (double)s->values[k] * s->values[k];
    return sqrt(squares / s->spread2);
}

/* The error under the layout that a comparison would choose; infinite where there is none. */
static double error_under_layout(const comparing *k, const ls_piece *r, const ls_piece *c, ls_reorder reorder) {
    ls_pair pair = {.reference = r->node, .candidate = c->node, .reference_value = r->node, .candidate_value = c->node, .pass_pair = k->pass_pair};
    ls_aligned_pair aligned;
    lockstep_error why;
    if (ls_aligned_pair_open(k->m, &pair, reorder, LS_LAYOUT_LEARN, &aligned, &why) != LOCKSTEP_OK)
        return INFINITY;
    const double error = ls_layout_error(&aligned.layout);
    ls_aligned_pair_close(&aligned);
    return error * (r->sketch.is_plain ? 1 : spread_of(&r->sketch));
}

/* The reference pieces that may be a candidate in another layout, those whose L2 is closest first. Returns how many. */
static size_t list_similar(const comparing *k, const ls_piece *c, size_t out[LAYOUTS_TRIED]) {
    double apart[LAYOUTS_TRIED];
    size_t count = 0;
    for (size_t i = 0; i < k->out->reference.count; i++) {
        const ls_piece *r = &k->out->reference.items[i];
        const double own = fabs(r->sketch.l2 - c->sketch.l2);
        if (!may_correspond(r, c) || (count == LAYOUTS_TRIED && !(own < apart[count - 1])) || !ls_sketch_is_like(&r->sketch, &c->sketch, k->behind ? SLACK_BEHIND : 1))
            continue;
        size_t at = count < LAYOUTS_TRIED ? count++ : LAYOUTS_TRIED - 1;
        for (; at > 0 && own < apart[at - 1]; at--) {
            apart[at] = apart[at - 1];
            out[at] = out[at - 1];
        }
        apart[at] = own;
        out[at] = i;
    }
    return count;
}

/* A layout that was looked for has to do far better than none. */
static void try_layouts(const comparing *k, size_t candidate) {
    static const ls_reorder reorders[] = {LS_REORDER_NONE, LS_REORDER_ROPE_PAIRS};
    const ls_piece *c = &k->out->candidate.items[candidate];
    const double as_it_lies = k->out->of[candidate].count > 0 ? k->out->of[candidate].items[0].error : INFINITY;
    const double most = fmin(k->behind ? UNDER_LAYOUT_BEHIND : UNDER_LAYOUT, as_it_lies * LAYOUT_GAINS);
    size_t similar[LAYOUTS_TRIED];
    const size_t count = list_similar(k, c, similar);
    for (size_t i = 0; i < count; i++)
        for (size_t o = 0; o < sizeof reorders / sizeof reorders[0]; o++) {
            const ls_piece *r = &k->out->reference.items[similar[i]];
            const ls_likeness like = {similar[i], error_under_layout(k, r, c, reorders[o]), true, reorders[o]};
            if (!(like.error < (r->sketch.is_plain ? 1e-6 : most)))
                continue;
            keep(&k->out->of[candidate], &like);
            break;
        }
}

static void compare_piece(void *context, uint64_t candidate, int worker) {
    const comparing *k = context;
    const ls_piece *c = &k->out->candidate.items[candidate];
    ls_likenesses *of = &k->out->of[candidate];
    (void)worker;
    for (size_t i = 0; i < k->out->reference.count && i < k->compared_each; i++) {
        const ls_piece *r = &k->out->reference.items[i];
        ls_likeness like = {.reference = i, .error = INFINITY};
        if (may_correspond(r, c))
            like.error = k->behind ? ls_sketch_unlikeness(&r->sketch, &c->sketch) : ls_sketch_distance(&r->sketch, &c->sketch);
        if (like.error < NEAR)
            keep(of, &like);
    }
    if (of->count == 0 || of->items[0].error > CERTAIN)
        try_layouts(k, candidate);
}

lockstep_status ls_resemblance_find(const ls_matching *m, size_t pass_pair, bool behind, ls_resemblance *out, lockstep_error *error) {
    *out = (ls_resemblance){0};
    bool ok = collect_both(m, pass_pair, out);
    out->of = ok ? calloc(out->candidate.count + 1, sizeof *out->of) : NULL;
    if (out->of == NULL) {
        ls_resemblance_done(out);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    comparing k = {m, pass_pair, behind, out, COMPARED_MAX / (out->candidate.count + 1)};
    ls_pool_run(out->candidate.count, compare_piece, &k);
    return LOCKSTEP_OK;
}

void ls_resemblance_done(ls_resemblance *r) {
    free(r->reference.items);
    free(r->candidate.items);
    free(r->of);
    *r = (ls_resemblance){0};
}
