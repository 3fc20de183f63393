#include "verify/recorded.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "eval/places.h"

#define CACHES_MAX ((uint64_t)1 << 27) /* elements of all caches */

typedef struct ls_cache {
    uint64_t elements;
    double *values; /* NaN where nothing was written */
} ls_cache;

void ls_recorded_done(ls_recorded *r) {
    for (size_t i = 0; i < r->count; i++)
        free(r->items[i].values);
    free(r->items);
    ls_map_done(&r->caches);
    *r = (ls_recorded){0};
}

/* ------------------------------------------------------------------ caches */

static bool key_of(const ls_trace *t, const ls_node *n, char *key, size_t capacity, size_t *out_length) {
    const ls_pass *pass = n->pass != LS_NONE ? &t->passes[n->pass] : NULL;
    const int length = snprintf(key, capacity, "%u/%u/%s", pass != NULL ? pass->process : 0, pass != NULL ? pass->context : 0, n->name);
    *out_length = (size_t)length;
    return length > 0 && (size_t)length < capacity;
}

/* The contents of a cache, all unknown at first; NULL if there is no room. */
static ls_cache *cache_of(ls_recorded *r, size_t node) {
    const ls_node *n = &r->trace->nodes[node];
    char key[400];
    size_t length;
    uint64_t *slot = key_of(r->trace, n, key, sizeof key, &length) ? ls_map_at(&r->caches, key, length) : NULL;
    if (slot == NULL)
        return NULL;
    if (*slot != 0)
        return r->items[*slot - 1].elements == n->elements ? &r->items[*slot - 1] : NULL;
    if (n->elements > CACHES_MAX - r->held || !ls_grow((void **)&r->items, r->count, &r->capacity, sizeof *r->items))
        return NULL;
    ls_cache *cache = &r->items[r->count];
    *cache = (ls_cache){n->elements, malloc((n->elements + 1) * sizeof *cache->values)};
    for (uint64_t i = 0; cache->values != NULL && i < n->elements; i++)
        cache->values[i] = NAN;
    if (cache->values == NULL)
        return NULL;
    r->held += n->elements;
    *slot = ++r->count;
    return cache;
}

/* One to which nothing was written holds what nobody knows. */
static bool read_cache(const ls_recorded *r, size_t node, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[node];
    char key[400];
    size_t length;
    const bool named = key_of(r->trace, n, key, sizeof key, &length);
    const uint64_t *slot = named ? ls_map_find(&r->caches, key, length) : NULL;
    const ls_cache *cache = slot != NULL && *slot != 0 ? &r->items[*slot - 1] : NULL;
    if (!named || n->elements > CACHES_MAX || (cache != NULL && cache->elements != n->elements))
        return ls_no_values(out_reason, "a cache that is too large, or changes its size");
    if (cache == NULL)
        return ls_leaf_unwritten(n, out, out_reason);
    double *values = ls_values_new(n, out_reason);
    if (values == NULL)
        return false;
    memcpy(values, cache->values, n->elements * sizeof *values);
    ls_values_give(n, values, out);
    return true;
}

/* ------------------------------------------------------------------ reading */

static bool read_any(const ls_recorded *r, size_t node, int depth, ls_array *out, const char **out_reason);

/* depth: of views of views */
static bool read_at(const ls_recorded *r, size_t node, int depth, ls_array *out, const char **out_reason) {
    enum { DEEPEST = 64 };
    if (depth < DEEPEST ? read_any(r, node, depth, out, out_reason) : ls_no_values(out_reason, "a view of views, too deep"))
        return true;
    *out = (ls_array){0};
    return false;
}

static bool read_place(const ls_recorded *r, size_t node, int depth, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[node];
    ls_array whole;
    if (!read_at(r, n->view_of, depth + 1, &whole, out_reason))
        return false;
    double *values = ls_values_new(n, out_reason);
    const bool ok = values != NULL && ls_place_read(n, &r->trace->nodes[n->view_of], whole.values, values, out_reason);
    ls_array_release(&whole);
    if (ok)
        ls_values_give(n, values, out);
    else
        free(values);
    return ok;
}

static bool read_as(const ls_recorded *r, size_t node, size_t source, int depth, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[node];
    if (!read_at(r, source, depth + 1, out, out_reason))
        return false;
    if (out->elements == n->elements) {
        ls_values_give(n, out->values, out);
        return true;
    }
    ls_array_release(out);
    return ls_no_values(out_reason, "a view whose place was not recorded");
}

static bool copy(const ls_node *n, const ls_array *from, ls_array *out, const char **out_reason) {
    double *values = ls_values_new(n, out_reason);
    if (values == NULL)
        return false;
    memcpy(values, from->values, n->elements * sizeof *values);
    ls_values_give(n, values, out);
    return true;
}

static bool has_stored(const ls_recorded *r, const ls_node *n) {
    return ls_node_has_values(n) && (r->computed == NULL || n->role == LOCKSTEP_ROLE_INPUT || n->role == LOCKSTEP_ROLE_WEIGHT);
}

/* An input that another graph has computed, or a cache of PyTorch's. */
static size_t producer_of(const ls_recorded *r, const ls_node *n) {
    const bool is_given = n->role == LOCKSTEP_ROLE_INPUT || (r->trace->is_torch && n->role == LOCKSTEP_ROLE_STATE);
    if (r->computed == NULL || !is_given || n->source_count != 1)
        return LS_NONE;
    const ls_node *source = &r->trace->nodes[n->sources[0]];
    const size_t producer = source->role == LOCKSTEP_ROLE_WRITE ? source->view_of : n->sources[0];
    return producer != LS_NONE && r->trace->nodes[producer].elements == n->elements ? producer : LS_NONE;
}

static bool read_any(const ls_recorded *r, size_t node, int depth, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[node];
    if (node == r->replaced)
        return copy(n, r->replacement, out, out_reason);
    if (r->computed != NULL && r->computed[node].values != NULL)
        return copy(n, &r->computed[node], out, out_reason);
    if (producer_of(r, n) != LS_NONE)
        return read_as(r, node, producer_of(r, n), depth, out, out_reason);
    const bool moves = n->kind->role == LS_OP_ROLE_VIEW && n->source_count > 0;
    if (n->alias_of != LS_NONE && (!has_stored(r, n) || ls_recorded_is_view_of(r->trace, node, r->replaced)))
        return read_as(r, node, n->alias_of, depth, out, out_reason);
    if (has_stored(r, n))
        return ls_leaf_stored(r->trace, node, out, out_reason);
    if (n->kind->id == LS_OP_UNWRITTEN)
        return ls_leaf_unwritten(n, out, out_reason);
    if (n->role == LOCKSTEP_ROLE_WEIGHT)
        return ls_leaf_weight(r->models, node, out, out_reason);
    if (n->role == LOCKSTEP_ROLE_STATE && r->trace->is_torch && n->view_of != LS_NONE)
        return read_place(r, node, depth, out, out_reason);
    if (n->role == LOCKSTEP_ROLE_STATE)
        return read_cache(r, node, out, out_reason);
    if (n->view_of != LS_NONE && (n->role == LOCKSTEP_ROLE_VIEW || n->role == LOCKSTEP_ROLE_WRITE || moves))
        return read_place(r, node, depth, out, out_reason);
    if (moves && n->kind->id == LS_OP_RESHAPE)
        return read_as(r, node, n->sources[0], depth, out, out_reason);
    return ls_no_values(out_reason, moves ? "a view whose place was not recorded" : n->lost != NULL ? "values that were lost" : "values that were not recorded");
}

bool ls_recorded_read(const ls_recorded *r, size_t node, ls_array *out, const char **out_reason) { return read_at(r, node, 0, out, out_reason); }

bool ls_recorded_read_rows(const ls_recorded *r, size_t node, const ls_rows *rows, int axis, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[node];
    const bool is_own = has_stored(r, n) && n->alias_of == LS_NONE && node != r->replaced && (r->computed == NULL || r->computed[node].values == NULL) && producer_of(r, n) == LS_NONE;
    if (rows->places != NULL && axis >= 0 && is_own)
        return ls_rows_stored(r->trace, node, rows, axis, out, out_reason) || (*out = (ls_array){0}, false);
    if (!ls_recorded_read(r, node, out, out_reason))
        return false;
    ls_rows_keep(rows, axis, out);
    return true;
}

/* The node of which this one is another name, another shape or a part; LS_NONE if it is none. */
static size_t behind(const ls_node *n) {
    const bool reshapes = n->kind->id == LS_OP_RESHAPE && n->source_count > 0 && n->role == LOCKSTEP_ROLE_VIEW;
    if (n->alias_of != LS_NONE)
        return n->alias_of;
    return (n->role == LOCKSTEP_ROLE_VIEW || n->role == LOCKSTEP_ROLE_WRITE) && n->view_of != LS_NONE ? n->view_of : reshapes ? n->sources[0] : LS_NONE;
}

bool ls_recorded_is_view_of(const ls_trace *t, size_t node, size_t other) {
    while (node != other && node != LS_NONE)
        node = behind(&t->nodes[node]);
    return node == other && node != LS_NONE;
}

/* The state of which a node is a view; LS_NONE. */
static size_t cache_behind(const ls_recorded *r, size_t node) {
    while (node != LS_NONE && r->trace->nodes[node].role != LOCKSTEP_ROLE_STATE)
        node = behind(&r->trace->nodes[node]);
    return node;
}

bool ls_recorded_is_of_cache(const ls_recorded *r, size_t node) { return cache_behind(r, node) != LS_NONE; }

size_t ls_recorded_cache(ls_recorded *r, size_t node) {
    const size_t state = cache_behind(r, node);
    const ls_cache *cache = state != LS_NONE ? cache_of(r, state) : NULL;
    return cache != NULL ? (size_t)(cache - r->items) : SIZE_MAX;
}

double *ls_recorded_save(const ls_recorded *r, size_t cache) {
    const uint64_t bytes = r->items[cache].elements * sizeof(double);
    double *saved = malloc(bytes + 1);
    return saved != NULL ? memcpy(saved, r->items[cache].values, bytes) : NULL;
}

void ls_recorded_restore(ls_recorded *r, size_t cache, double *saved) {
    free(r->items[cache].values);
    r->items[cache].values = saved;
}

/* ------------------------------------------------------------------ writing */

static bool carry_out(ls_recorded *r, const ls_node *n, const ls_node *state, ls_cache *cache) {
    ls_array values = {0}, index = {0};
    const char *reason;
    const size_t *operands = n->operands;
    const bool by_rows = n->kind->id == LS_OP_SET_ROWS;
    const bool ok = n->operand_count > (by_rows ? 1u : 0u) && operands[0] != LS_NONE && ls_recorded_read(r, operands[0], &values, &reason) &&
                    (!by_rows || (operands[1] != LS_NONE && ls_recorded_read(r, operands[1], &index, &reason))) &&
                    ls_place_write(n, state, &values, by_rows ? &index : NULL, cache->values);
    ls_array_release(&values);
    ls_array_release(&index);
    return ok;
}

/* The state in whose memory a write lies, or LS_NONE. */
static size_t state_of(const ls_trace *t, const ls_node *n) {
    if (n->view_of != LS_NONE)
        return t->nodes[n->view_of].role == LOCKSTEP_ROLE_STATE ? n->view_of : LS_NONE;
    for (size_t i = 0; i < n->source_count; i++) /* of older traces: a write to the whole of it */
        if (t->nodes[n->sources[i]].role == LOCKSTEP_ROLE_STATE)
            return t->nodes[n->sources[i]].elements == n->elements ? n->sources[i] : LS_NONE;
    return LS_NONE;
}

void ls_recorded_write(ls_recorded *r, size_t node) {
    const ls_node *n = &r->trace->nodes[node];
    const size_t state = state_of(r->trace, n);
    if (state == LS_NONE)
        return;
    ls_cache *cache = cache_of(r, state);
    if (cache == NULL)
        return; /* its readers say so */
    if (carry_out(r, n, &r->trace->nodes[state], cache))
        return;
    for (uint64_t i = 0; i < cache->elements; i++)
        cache->values[i] = NAN;
}
