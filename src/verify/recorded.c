#include "verify/recorded.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "format/archive.h"
#include "tensor/dtype.h"

enum { VALUES_MAX = 1 << 27 };                     /* elements of one operand */
#define CACHES_MAX ((uint64_t)1 << 28)             /* elements of all caches */

typedef struct ls_cache {
    uint64_t elements;
    float *values; /* NaN where nothing was written */
} ls_cache;

void ls_recorded_done(ls_recorded *r) {
    for (size_t i = 0; i < r->count; i++)
        free(r->items[i].values);
    free(r->items);
    ls_map_done(&r->caches);
    *r = (ls_recorded){0};
}

static bool no_values(const char **out_reason, const char *reason) {
    *out_reason = reason;
    return false;
}

static double *new_values(const ls_node *n, const char **out_reason) {
    double *values = n->elements <= VALUES_MAX ? malloc((n->elements + 1) * sizeof *values) : NULL;
    if (values == NULL)
        *out_reason = n->elements <= VALUES_MAX ? "out of memory" : "an operand of more than 2^27 elements";
    return values;
}

static void give(const ls_node *n, double *values, ls_array *out) {
    *out = (ls_array){.rank = n->rank, .elements = n->elements, .values = values};
    memcpy(out->shape, n->shape, sizeof out->shape);
}

static bool read_view(const ls_view *view, const ls_node *n, ls_array *out, const char **out_reason) {
    double *values = new_values(n, out_reason);
    if (values == NULL)
        return false;
    ls_view_read_f64(view, 0, n->elements, values);
    give(n, values, out);
    return true;
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

static bool read_cache(ls_recorded *r, size_t node, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[node];
    const ls_cache *cache = cache_of(r, node);
    double *values = cache != NULL ? new_values(n, out_reason) : NULL;
    if (cache == NULL)
        return no_values(out_reason, "a cache that is too large, or changes its size");
    for (uint64_t i = 0; values != NULL && i < n->elements; i++)
        values[i] = (double)cache->values[i];
    if (values != NULL)
        give(n, values, out);
    return values != NULL;
}

/* ------------------------------------------------------------------ views */

/* Bytes of an element; 0 for a type whose elements have no addresses. */
static uint64_t element_bytes(const ls_node *n) {
    lockstep_dtype dtype;
    return ls_dtype_find(n->dtype, &dtype) && dtype != LOCKSTEP_OPAQUE && ls_dtype(dtype)->block_elements == 1 ? ls_dtype(dtype)->block_bytes : 0;
}

/* The index in the memory of `base` of each of a view's elements, one after another; false outside of it. */
typedef struct walk {
    const ls_node *view;
    uint64_t size, limit, at[LOCKSTEP_MAX_RANK];
    int64_t strides[LOCKSTEP_MAX_RANK], offset; /* in elements */
} walk;

static bool begin_walk(const ls_node *view, const ls_node *base, walk *out) {
    const uint64_t size = element_bytes(base);
    *out = (walk){.view = view, .size = size, .limit = base->elements, .offset = size > 0 ? (int64_t)(view->offset / size) : 0};
    bool whole = size > 0 && view->offset % size == 0;
    int64_t step = 1;
    for (int i = view->rank - 1; i >= 0 && whole; i--) {
        whole = view->strides == NULL || view->strides[i] % (int64_t)size == 0;
        out->strides[i] = view->strides != NULL ? view->strides[i] / (int64_t)size : step;
        step *= (int64_t)view->shape[i];
    }
    return whole;
}

static bool next_index(walk *w, uint64_t *out) {
    __int128 index = w->offset;
    for (int i = 0; i < w->view->rank; i++)
        index += (__int128)w->strides[i] * (__int128)w->at[i];
    for (int i = w->view->rank - 1; i >= 0; i--) {
        if (++w->at[i] < w->view->shape[i])
            break;
        w->at[i] = 0;
    }
    *out = (uint64_t)index;
    return index >= 0 && index < (__int128)w->limit;
}

static bool read_place(ls_recorded *r, size_t node, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[node], *base = &r->trace->nodes[n->view_of];
    ls_array whole;
    walk w;
    uint64_t index;
    if (!begin_walk(n, base, &w))
        return no_values(out_reason, "a view of elements that have no addresses");
    if (!ls_recorded_read(r, n->view_of, &whole, out_reason))
        return false;
    double *values = new_values(n, out_reason);
    bool within = values != NULL;
    for (uint64_t i = 0; within && i < n->elements; i++)
        if ((within = next_index(&w, &index)))
            values[i] = whole.values[index];
    ls_array_release(&whole);
    if (within) {
        give(n, values, out);
        return true;
    }
    free(values);
    return values == NULL ? false : no_values(out_reason, "a view beyond the tensor that it is of");
}

/* ------------------------------------------------------------------ reading */

static bool read_stored(const ls_recorded *r, size_t node, ls_array *out, const char **out_reason) {
    ls_hold hold;
    lockstep_error error;
    if (ls_trace_hold(r->trace, node, &hold, &error) != LOCKSTEP_OK)
        return no_values(out_reason, "values that can't be read");
    const bool ok = ls_view_elements(&hold.view) == r->trace->nodes[node].elements && read_view(&hold.view, &r->trace->nodes[node], out, out_reason);
    ls_hold_release(&hold);
    return ok;
}

static bool read_weight(const ls_recorded *r, size_t node, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[node];
    ls_view view;
    for (size_t i = 0; i < r->model_count; i++) {
        const size_t at = ls_archive_find(r->models[i], n->name);
        if (at == SIZE_MAX || ls_archive_view(r->models[i], at, &view, NULL) != LOCKSTEP_OK)
            continue;
        if (ls_view_elements(&view) != n->elements)
            return no_values(out_reason, "a weight of another shape than in the model file");
        return read_view(&view, n, out, out_reason);
    }
    return no_values(out_reason, r->model_count == 0 ? "weights that were not recorded: --model names their file" : "weights that no model file has");
}

static bool read_as(ls_recorded *r, size_t node, size_t source, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[node];
    if (!ls_recorded_read(r, source, out, out_reason))
        return false;
    if (out->elements == n->elements) {
        give(n, out->values, out);
        return true;
    }
    ls_array_release(out);
    return no_values(out_reason, "a view whose place was not recorded");
}

static bool copy_replacement(const ls_recorded *r, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[r->replaced];
    double *values = new_values(n, out_reason);
    if (values == NULL)
        return false;
    memcpy(values, r->replacement->values, n->elements * sizeof *values);
    give(n, values, out);
    return true;
}

static bool read_any(ls_recorded *r, size_t node, ls_array *out, const char **out_reason) {
    const ls_node *n = &r->trace->nodes[node];
    if (node == r->replaced)
        return copy_replacement(r, out, out_reason);
    const bool moves = n->kind->role == LS_OP_ROLE_VIEW && n->source_count > 0;
    if (n->alias_of != LS_NONE && (!ls_node_has_values(n) || ls_recorded_is_view_of(r->trace, node, r->replaced)))
        return read_as(r, node, n->alias_of, out, out_reason);
    if (ls_node_has_values(n))
        return read_stored(r, node, out, out_reason);
    if (n->role == LOCKSTEP_ROLE_WEIGHT)
        return read_weight(r, node, out, out_reason);
    if (n->role == LOCKSTEP_ROLE_STATE)
        return read_cache(r, node, out, out_reason);
    if (n->view_of != LS_NONE && (n->role == LOCKSTEP_ROLE_VIEW || n->role == LOCKSTEP_ROLE_WRITE || moves))
        return read_place(r, node, out, out_reason);
    if (moves && n->kind->id == LS_OP_RESHAPE)
        return read_as(r, node, n->sources[0], out, out_reason);
    return no_values(out_reason, moves ? "a view whose place was not recorded" : n->lost != NULL ? "values that were lost" : "values that were not recorded");
}

bool ls_recorded_read(ls_recorded *r, size_t node, ls_array *out, const char **out_reason) {
    enum { DEEPEST = 64 };
    if (r->depth >= DEEPEST)
        return *out = (ls_array){0}, no_values(out_reason, "a view of views, too deep");
    r->depth++;
    const bool ok = read_any(r, node, out, out_reason);
    r->depth--;
    if (!ok)
        *out = (ls_array){0};
    return ok;
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

size_t ls_recorded_cache(ls_recorded *r, size_t node) {
    while (node != LS_NONE && r->trace->nodes[node].role != LOCKSTEP_ROLE_STATE)
        node = behind(&r->trace->nodes[node]);
    const ls_cache *cache = node != LS_NONE ? cache_of(r, node) : NULL;
    return cache != NULL ? (size_t)(cache - r->items) : SIZE_MAX;
}

float *ls_recorded_save(const ls_recorded *r, size_t cache) {
    const uint64_t bytes = r->items[cache].elements * sizeof(float);
    float *saved = malloc(bytes + 1);
    return saved != NULL ? memcpy(saved, r->items[cache].values, bytes) : NULL;
}

void ls_recorded_restore(ls_recorded *r, size_t cache, float *saved) {
    free(r->items[cache].values);
    r->items[cache].values = saved;
}

/* ------------------------------------------------------------------ writing */

static bool write_all(ls_cache *cache, walk *w, const ls_array *values) {
    uint64_t index;
    for (uint64_t i = 0; i < values->elements; i++) {
        if (!next_index(w, &index))
            return false;
        cache->values[index] = (float)values->values[i];
    }
    return true;
}

/* Rows [count, n] go to the rows of the destination that the index names. */
static bool write_rows(ls_cache *cache, const walk *w, const ls_array *values, const ls_array *index) {
    const ls_node *view = w->view;
    const uint64_t n = values->rank > 0 ? values->shape[values->rank - 1] : 0;
    if (view->rank < 1 || n == 0 || index->elements * n != values->elements || view->shape[view->rank - 1] != n || (view->rank > 2 && view->elements != view->shape[view->rank - 2] * n))
        return false;
    for (uint64_t i = 0; i < values->elements; i++) {
        const double row = index->values[i / n], rows = view->rank > 1 ? (double)view->shape[view->rank - 2] : 1;
        if (!(row >= 0 && row < rows))
            return false;
        const int64_t at = w->offset + (view->rank > 1 ? w->strides[view->rank - 2] * (int64_t)row : 0) + w->strides[view->rank - 1] * (int64_t)(i % n);
        if (at < 0 || (uint64_t)at >= w->limit)
            return false;
        cache->values[at] = (float)values->values[i];
    }
    return true;
}

static bool carry_out(ls_recorded *r, const ls_node *n, ls_cache *cache, walk *w) {
    ls_array values = {0}, index = {0};
    const char *reason;
    const size_t *operands = n->operands;
    const bool by_rows = n->kind->id == LS_OP_SET_ROWS;
    bool ok = n->operand_count > (by_rows ? 1u : 0u) && operands[0] != LS_NONE && ls_recorded_read(r, operands[0], &values, &reason) &&
              (!by_rows || (operands[1] != LS_NONE && ls_recorded_read(r, operands[1], &index, &reason)));
    ok = ok && (by_rows ? write_rows(cache, w, &values, &index)
                        : n->kind->role == LS_OP_ROLE_COPY && values.elements == n->elements && write_all(cache, w, &values));
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
    walk w;
    if (state == LS_NONE)
        return;
    ls_cache *cache = cache_of(r, state);
    if (cache == NULL)
        return; /* its readers say so */
    if (begin_walk(n, &r->trace->nodes[state], &w) && carry_out(r, n, cache, &w))
        return;
    for (uint64_t i = 0; i < cache->elements; i++)
        cache->values[i] = NAN;
}
