#include "match/structure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRONTIER = 6, ROUNDS = 64 };

/* The nearest ancestors with a partner, as nodes of the reference, ascending. */
typedef struct frontier {
    size_t nodes[FRONTIER];
    size_t count; /* FRONTIER + 1: more than that */
} frontier;

/* A tensor without a partner. */
typedef struct orphan {
    frontier from;
    uint64_t elements;
    size_t node, piece;
} orphan;

typedef struct orphans {
    orphan *items;
    size_t count;
} orphans;

static void insert(frontier *f, size_t node) {
    size_t at = 0;
    while (at < f->count && at < FRONTIER && f->nodes[at] < node)
        at++;
    if (f->count > FRONTIER || (at < f->count && f->nodes[at] == node))
        return;
    if (f->count == FRONTIER) {
        f->count = FRONTIER + 1;
        return;
    }
    memmove(&f->nodes[at + 1], &f->nodes[at], (f->count - at) * sizeof *f->nodes);
    f->nodes[at] = node;
    f->count++;
}

static void join(frontier *into, const frontier *other) {
    for (size_t i = 0; i < other->count && i < FRONTIER; i++)
        insert(into, other->nodes[i]);
    into->count = other->count > FRONTIER ? FRONTIER + 1 : into->count;
}

/* `of`: per node, the reference's node that its pair stands for, or LS_NONE. */
static frontier *find_frontiers(const ls_values *v, const size_t *of) {
    const ls_trace *t = v->trace;
    frontier *all = calloc(t->node_count + 1, sizeof *all);
    for (size_t i = 0; i < t->node_count && all != NULL; i++)
        for (size_t k = 0; k < t->nodes[i].source_count; k++) {
            const size_t source = t->nodes[i].sources[k], value = v->value_of[source];
            if (value == v->value_of[i])
                join(&all[i], &all[source]);
            else if (of[value] != LS_NONE)
                insert(&all[i], of[value]);
            else
                join(&all[i], &all[value]);
        }
    return all;
}

static int by_frontier(const void *a, const void *b) {
    const orphan *x = a, *y = b;
    if (x->elements != y->elements)
        return x->elements < y->elements ? -1 : 1;
    if (x->from.count != y->from.count)
        return x->from.count < y->from.count ? -1 : 1;
    for (size_t i = 0; i < x->from.count; i++)
        if (x->from.nodes[i] != y->from.nodes[i])
            return x->from.nodes[i] < y->from.nodes[i] ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

static bool are_alike(const orphan *a, const orphan *b) {
    return a->elements == b->elements && a->from.count == b->from.count && memcmp(a->from.nodes, b->from.nodes, a->from.count * sizeof *a->from.nodes) == 0;
}

static bool list_orphans(const ls_pieces *pieces, const size_t *of, const frontier *all, orphans *out) {
    out->count = 0;
    out->items = malloc((pieces->count + 1) * sizeof *out->items);
    for (size_t i = 0; i < pieces->count && out->items != NULL; i++) {
        const ls_piece *p = &pieces->items[i];
        const frontier *from = &all[p->node];
        if (p->last_of < 0 && of[p->node] == LS_NONE && !p->sketch.is_plain && from->count > 0 && from->count <= FRONTIER)
            out->items[out->count++] = (orphan){*from, p->sketch.elements, p->node, i};
    }
    if (out->count > 0)
        qsort(out->items, out->count, sizeof *out->items, by_frontier);
    return out->items != NULL;
}

static size_t end_of_group(const orphans *o, size_t from) {
    size_t end = from + 1;
    while (end < o->count && are_alike(&o->items[from], &o->items[end]))
        end++;
    return end;
}

/* What is computed from them shows that they are not the same, but only have the same place: rows in another order, say. */
static bool is_refuted(const ls_choosing *k, const ls_likeness *like, size_t candidate) {
    const ls_piece *r = ls_choosing_reference(k, like->reference), *c = ls_choosing_candidate(k, candidate);
    return ls_choosing_is_sheltered(k, r, c, fmin(ls_sketch_distance(&r->sketch, &c->sketch), 1)); /* as of those that have nothing in common */
}

/* Equally many are paired in their order. A lone one on one side is what the last on the other side is: that side takes several steps. */
static lockstep_status pair_group(ls_choosing *k, const orphan *r, size_t r_count, const orphan *c, size_t c_count, bool *out_any, lockstep_error *error) {
    const size_t count = r_count == c_count ? r_count : r_count == 1 || c_count == 1 ? 1 : 0;
    for (size_t i = 0; i < count; i++) {
        const ls_likeness like = {.reference = r[r_count - count + i].piece, .error = 1};
        if (is_refuted(k, &like, c[c_count - count + i].piece))
            continue;
        LS_TRY(ls_choosing_pair(k, &like, c[c_count - count + i].piece, LS_METHOD_INFERRED, error));
        *out_any = true;
    }
    return LOCKSTEP_OK;
}

static lockstep_status pair_groups(ls_choosing *k, const orphans *r, const orphans *c, bool *out_any, lockstep_error *error) {
    for (size_t i = 0, j = 0; i < r->count && j < c->count;) {
        const size_t r_end = end_of_group(r, i), c_end = end_of_group(c, j);
        if (are_alike(&r->items[i], &c->items[j])) {
            LS_TRY(pair_group(k, &r->items[i], r_end - i, &c->items[j], c_end - j, out_any, error));
            i = r_end;
            j = c_end;
        } else if (by_frontier(&r->items[i], &c->items[j]) < 0) {
            i = r_end;
        } else {
            j = c_end;
        }
    }
    return LOCKSTEP_OK;
}

/* Itself, where it has a partner. */
static size_t *own_or_none(const ls_choosing *k) {
    const size_t count = k->m->in->reference.trace->node_count;
    size_t *own = malloc((count + 1) * sizeof *own);
    for (size_t i = 0; own != NULL && i < count; i++)
        own[i] = k->of_reference[i] != LS_NONE ? i : LS_NONE;
    return own;
}

static lockstep_status pair_round(ls_choosing *k, bool *out_any, lockstep_error *error) {
    ls_choosing_trace(k);
    size_t *own = own_or_none(k);
    frontier *of_reference = own != NULL ? find_frontiers(&k->m->in->reference.values, own) : NULL, *of_candidate = find_frontiers(&k->m->in->candidate.values, k->of_candidate);
    orphans r = {0}, c = {0};
    lockstep_status status = LOCKSTEP_OK;
    if (of_reference == NULL || of_candidate == NULL || !list_orphans(&k->found.reference, k->of_reference, of_reference, &r) || !list_orphans(&k->found.candidate, k->of_candidate, of_candidate, &c))
        status = ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    else
        status = pair_groups(k, &r, &c, out_any, error);
    free(own);
    free(of_reference);
    free(of_candidate);
    free(r.items);
    free(c.items);
    return status;
}

lockstep_status ls_structure_pair(ls_choosing *k, lockstep_error *error) {
    bool any = k->m->in->reference.trace->is_graph && k->m->in->candidate.trace->is_graph;
    for (int round = 0; round < ROUNDS && any; round++) {
        any = false;
        LS_TRY(pair_round(k, &any, error));
    }
    return LOCKSTEP_OK;
}
