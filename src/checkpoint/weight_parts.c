/* Fused weights, whose parts are tensors of their own on the other side, under names that no rule covers. A cutting is tried by
 * content: every part must be found, one after another, until nothing is left. */
#include <string.h>

#include "checkpoint/weight_steps.h"

enum { PARTS_MAX = 8, TRIES_MAX = 100000 };

typedef struct cutting {
    ls_weights *w;
    int side; /* of the fused tensor */
    size_t fused;
    int axis;
    unsigned changes; /* done to the fused tensor */
    uint64_t extent;  /* of the axis, once changed and divided into groups */
    uint64_t groups, step;
    ls_weight_pair pairs[PARTS_MAX];
    size_t count;
    size_t *tries;
} cutting;

static bool may_be_partner(const ls_weights *w, int side, size_t i) { return !w->paired[side][i] && w->labels[side].items[i].scheme == NULL; }

static const ls_tensor *part_of(const cutting *c, size_t i) { return &c->w->sides[1 - c->side]->archive->tensors[i]; }

static bool is_taken(const cutting *c, size_t i) {
    for (size_t k = 0; k < c->count; k++)
        if (c->pairs[k].part[1 - c->side].tensor == i)
            return true;
    return !may_be_partner(c->w, 1 - c->side, i);
}

/* The part that begins at `at`, if it is all of this tensor; grouped ones may be transposed (the keys of latent attention). */
static bool is_part(cutting *c, uint64_t at, size_t tensor, ls_weight_pair *out) {
    const ls_tensor *fused = &c->w->sides[c->side]->archive->tensors[c->fused], *t = part_of(c, tensor);
    const uint64_t unit = fused->elements / c->extent, count = unit > 0 ? t->elements / unit : 0, length = c->step > 1 ? c->extent / c->step : c->extent - at;
    if (count == 0 || t->elements % unit != 0 || count > length || count == c->extent || (c->step > 1 && count != length))
        return false;
    const bool in_groups = c->groups > 0;
    if (in_groups && (t->rank != 3 || t->shape[0] != c->groups))
        return false;
    *out = (ls_weight_pair){.method = LS_METHOD_CONTENT, .changes = c->changes, .original = c->side};
    out->part[c->side] = (ls_weight_part){.tensor = c->fused, .axis = c->axis, .first = at, .count = count, .step = c->step, .groups = c->groups};
    out->part[1 - c->side] = (ls_weight_part){.tensor = tensor, .axis = -1};
    ++*c->tries;
    if (ls_weight_parts_agree(c->w, out))
        return true;
    out->changes = LS_CHANGE_TRANSPOSE;
    out->original = 1 - c->side;
    return in_groups && ls_weight_parts_agree(c->w, out);
}

static bool find_part(cutting *c, uint64_t at) {
    const lockstep_archive *parts = c->w->sides[1 - c->side]->archive;
    for (size_t i = 0; i < parts->tensor_count && *c->tries < TRIES_MAX; i++)
        if (!is_taken(c, i) && is_part(c, at, i, &c->pairs[c->count])) {
            c->count++;
            return true;
        }
    return false;
}

/* Fused weights have the gate before the up projection, and queries before keys before values: a different order is not a partner. */
static int order_of(const char *name) {
    static const char *const roles[] = {"gate", "up", "query", "key", "value"};
    const char *role = ls_weight_role(name);
    for (int i = 0; role != NULL && i < (int)(sizeof roles / sizeof *roles); i++)
        if (strcmp(role, roles[i]) == 0)
            return i;
    return -1;
}

static bool is_in_order(const cutting *c) {
    int last = -1;
    for (size_t i = 0; i < c->count; i++) {
        int order = order_of(part_of(c, c->pairs[i].part[1 - c->side].tensor)->name);
        if (order >= 0 && order < last)
            return false;
        last = order >= 0 ? order : last;
    }
    return true;
}

static bool cut(cutting *c) {
    uint64_t at = 0;
    for (c->count = 0; at < (c->step > 1 ? c->step : c->extent); at += c->step > 1 ? 1 : c->pairs[c->count - 1].part[c->side].count)
        if (c->count == PARTS_MAX || !find_part(c, at))
            return false;
    return c->count >= 2 && is_in_order(c);
}

/* The ways in which fused weights are laid out. */
static bool cut_somehow(cutting *c) {
    const ls_tensor *t = &c->w->sides[c->side]->archive->tensors[c->fused];
    const int axes = t->rank < 2 ? t->rank : 2;
    for (int axis = 0; axis < axes; axis++)
        for (uint64_t step = 0; step <= 2; step += 2) { /* one after another, or two that take turns */
            c->axis = axis, c->step = step, c->extent = t->shape[axis], c->changes = 0, c->groups = 0;
            if ((step == 0 || c->extent % step == 0) && c->extent > 1 && cut(c))
                return true;
            c->changes = LS_CHANGE_TRANSPOSE, c->extent = t->rank == 3 ? t->shape[2] : 0;
            if (axis == 1 && c->extent > 1 && c->extent != t->shape[1] && (step == 0 || c->extent % step == 0) && cut(c))
                return true;
        }
    for (int k = 0; k < 2 && t->rank == 2; k++) { /* in each head */
        c->axis = 1, c->step = 0, c->changes = 0, c->groups = c->w->heads[k];
        c->extent = c->groups > 1 && t->shape[0] % c->groups == 0 ? t->shape[0] / c->groups : 0;
        if (c->extent > 1 && cut(c))
            return true;
    }
    return false;
}

static lockstep_status add_pairs(ls_weights *w, ls_weight_pair *pairs, size_t count, lockstep_error *error) {
    for (size_t i = 0; i < count; i++) {
        LS_TRY(ls_weights_compare(w, &pairs[i], error));
        if (ls_weights_add_pair(w, &pairs[i]) == NULL)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    return LOCKSTEP_OK;
}

/* --- queries, keys and values of each group of heads, which the other side has apart */

typedef struct regrouping {
    ls_weights *w;
    int side; /* of the tensor in groups */
    size_t tensors[LS_SIDES];
    uint64_t groups, queries; /* query heads in each group */
} regrouping;

static bool regroup(const regrouping *r, ls_weight_pair pairs[3]) {
    const uint64_t rows = r->w->sides[r->side]->archive->tensors[r->tensors[r->side]].shape[0];
    const uint64_t heads = r->groups * (r->queries + 2), size = heads > 0 && rows % heads == 0 ? rows / heads : 0, sizes[] = {r->queries * size, size, size};
    uint64_t at = 0;
    int agree = 0;
    for (int i = 0; i < 3; at += sizes[i++]) {
        pairs[i] = (ls_weight_pair){.method = LS_METHOD_CONTENT};
        pairs[i].part[r->side] = (ls_weight_part){.tensor = r->tensors[r->side], .axis = 1, .first = at, .count = sizes[i], .groups = r->groups};
        pairs[i].part[1 - r->side] = (ls_weight_part){.tensor = r->tensors[1 - r->side], .first = at * r->groups, .count = sizes[i] * r->groups};
        agree += size > 0 && ls_weight_parts_agree(r->w, &pairs[i]);
    }
    return agree >= 2;
}

static bool same_shape(const ls_tensor *a, const ls_tensor *b) { return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0; }

static lockstep_status pair_regrouped(ls_weights *w, int side, size_t i, size_t *tries, lockstep_error *error) {
    const ls_tensor *t = &w->sides[side]->archive->tensors[i];
    const lockstep_archive *others = w->sides[1 - side]->archive;
    for (size_t other = 0; other < others->tensor_count && t->rank > 0; other++) {
        if (!may_be_partner(w, 1 - side, other) || !same_shape(t, &others->tensors[other]))
            continue;
        for (int k = 0; k < 2 && *tries < TRIES_MAX; k++) { /* a key and a value for each head, or for several */
            ls_weight_pair pairs[3];
            regrouping r = {.w = w, .side = side, .groups = w->heads[k], .queries = w->heads[k] > 0 ? w->heads[0] / w->heads[k] : 0};
            r.tensors[side] = i, r.tensors[1 - side] = other;
            ++*tries;
            if (r.groups > 1 && r.queries > 0 && regroup(&r, pairs))
                return add_pairs(w, pairs, 3, error);
        }
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_weights_pair_parts(ls_weights *w, lockstep_error *error) {
    size_t tries = 0;
    for (int side = 0; side < LS_SIDES; side++)
        for (size_t i = 0; i < w->sides[side]->archive->tensor_count; i++) {
            cutting c = {.w = w, .side = side, .fused = i, .tries = &tries};
            if (may_be_partner(w, side, i) && cut_somehow(&c))
                LS_TRY(add_pairs(w, c.pairs, c.count, error));
            if (may_be_partner(w, side, i) && !w->sides[side]->gguf)
                LS_TRY(pair_regrouped(w, side, i, &tries, error));
        }
    w->search_cut |= tries >= TRIES_MAX;
    return LOCKSTEP_OK;
}
