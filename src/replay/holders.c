/* What lies behind the nodes of the candidate's graph: whose values an operand has, and which operations belong to a result. */
#include <stdio.h>

#include "base/grow.h"
#include "replay/replayer.h"

/* The node of another graph that has computed an input, or the cache that another graph has written to. PyTorch's caches are
 * tensors that an earlier pass has computed. */
static size_t producer_of(const ls_trace *t, const ls_node *n) {
    if ((n->role != LOCKSTEP_ROLE_INPUT && !(t->is_torch && n->role == LOCKSTEP_ROLE_STATE)) || n->source_count != 1)
        return LS_NONE;
    const ls_node *source = &t->nodes[n->sources[0]];
    const size_t producer = source->role == LOCKSTEP_ROLE_WRITE ? source->view_of : n->sources[0];
    const bool computed = source->role == LOCKSTEP_ROLE_COMPUTED || source->role == LOCKSTEP_ROLE_WRITE;
    return computed && source->pass != LS_NONE && source->pass < n->pass && producer != LS_NONE && t->nodes[producer].elements == n->elements ? producer : LS_NONE;
}

/* What is a part of what an earlier pass has computed: a cache of PyTorch's with the last positions of a window, say, or an input with some
 * rows of a picture. */
static bool is_kept(const ls_trace *t, const ls_node *n) {
    const bool may_be = n->role == LOCKSTEP_ROLE_INPUT || (t->is_torch && n->role == LOCKSTEP_ROLE_STATE);
    return may_be && n->view_of != LS_NONE && t->nodes[n->view_of].role == LOCKSTEP_ROLE_COMPUTED;
}

/* The node of which this one is another name, another shape or a part, or that has computed it elsewhere; LS_NONE if there is none. */
size_t ls_replayer_behind(const ls_trace *t, size_t node) {
    const ls_node *n = &t->nodes[node];
    if (n->alias_of != LS_NONE)
        return n->alias_of;
    if (n->view_of != LS_NONE && (n->role == LOCKSTEP_ROLE_VIEW || n->role == LOCKSTEP_ROLE_WRITE || n->kind->role == LS_OP_ROLE_VIEW || is_kept(t, n)))
        return n->view_of;
    return n->kind->role == LS_OP_ROLE_VIEW && n->source_count > 0 ? n->sources[0] : producer_of(t, n);
}

/* What a node lies in. A view of views, too deep, lies in one of these, whose values are not known. */
static size_t base_of(const ls_trace *t, size_t node) {
    enum { DEEPEST = 64 };
    size_t next = ls_replayer_behind(t, node);
    for (int depth = 0; next != LS_NONE && depth < DEEPEST; depth++) {
        node = next;
        next = ls_replayer_behind(t, node);
    }
    return node;
}

size_t ls_replayer_base(const ls_replayer *w, size_t node) { return base_of(w->candidate, node); }

size_t ls_replayer_weight(const ls_replayer *w, const ls_node *n, size_t slot) {
    if (slot >= n->operand_count || n->operands[slot] == LS_NONE)
        return LS_NONE;
    const size_t base = base_of(w->candidate, n->operands[slot]);
    return w->candidate->nodes[base].role == LOCKSTEP_ROLE_WEIGHT ? base : LS_NONE;
}

/* The last write to a node's cache before `now`; LS_NONE. */
size_t ls_replayer_last_write(const ls_replayer *w, size_t state, size_t now) {
    const ls_cache_writes *c = w->cache_of[state] != LS_NONE ? &w->caches[w->cache_of[state]] : NULL;
    size_t low = 0, high = c != NULL ? c->count : 0;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (c->nodes[middle] < now)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? c->nodes[low - 1] : LS_NONE;
}

/* The node whose values an operand has, when it is read by the node `now`: a weight, an input, an operation, or the write
 * that left a cache as it is. LS_NONE for a cache to which nothing was written. */
size_t ls_replayer_holder(const ls_replayer *w, size_t operand, size_t now) {
    const size_t base = base_of(w->candidate, operand);
    return w->candidate->nodes[base].role == LOCKSTEP_ROLE_STATE ? ls_replayer_last_write(w, base, now) : base;
}

/* The holders from which a node is computed. A write has its cache before it, besides its operands. */
size_t ls_replayer_holders(const ls_replayer *w, size_t node, size_t out[LS_EVAL_OPERANDS + 1]) {
    const ls_node *n = &w->candidate->nodes[node];
    size_t count = 0;
    for (size_t i = 0; i < n->operand_count && i < LS_EVAL_OPERANDS; i++) {
        const size_t holder = n->operands[i] != LS_NONE ? ls_replayer_holder(w, n->operands[i], node) : LS_NONE;
        if (holder != LS_NONE && holder < node)
            out[count++] = holder;
    }
    const size_t before = n->role == LOCKSTEP_ROLE_WRITE ? ls_replayer_last_write(w, node, node) : LS_NONE;
    if (before != LS_NONE)
        out[count++] = before;
    return count;
}

typedef struct extent {
    int64_t from, to; /* bytes of what a node lies in */
} extent;

static extent extent_of(const ls_node *n) {
    const int64_t size = 1; /* at least: the first byte of the last element */
    extent e = {(int64_t)n->offset, (int64_t)n->offset};
    if (n->offset > INT64_MAX || __builtin_add_overflow(e.to, size, &e.to))
        return (extent){0, 0};
    for (int axis = 0; axis < n->rank && n->strides != NULL; axis++) {
        int64_t span;
        if (n->shape[axis] == 0 || __builtin_mul_overflow((int64_t)(n->shape[axis] - 1), n->strides[axis], &span))
            return (extent){0, 0};
        if (__builtin_add_overflow(span < 0 ? e.from : e.to, span, span < 0 ? &e.from : &e.to))
            return (extent){0, 0};
    }
    return e;
}

/* The part of a cache that an operand is. */
static extent part_of_cache(const ls_trace *t, size_t operand) {
    while (t->nodes[operand].view_of == LS_NONE && t->nodes[operand].role == LOCKSTEP_ROLE_VIEW && t->nodes[operand].source_count > 0)
        operand = t->nodes[operand].sources[0];
    return t->nodes[operand].view_of != LS_NONE ? extent_of(&t->nodes[operand]) : (extent){0, INT64_MAX};
}

size_t ls_replayer_earlier_writes(const ls_replayer *w, size_t node, size_t *out, size_t capacity) {
    const ls_trace *t = w->candidate;
    const ls_node *n = &t->nodes[node];
    size_t count = 0;
    for (size_t i = 0; i < n->operand_count; i++) {
        const size_t base = n->operands[i] != LS_NONE ? base_of(t, n->operands[i]) : LS_NONE;
        if (base == LS_NONE || t->nodes[base].role != LOCKSTEP_ROLE_STATE || w->cache_of[base] == LS_NONE)
            continue;
        const ls_cache_writes *c = &w->caches[w->cache_of[base]];
        const extent read = part_of_cache(t, n->operands[i]);
        for (size_t k = 0; k < c->count && c->nodes[k] < node && count < capacity; k++) {
            const extent wrote = extent_of(&t->nodes[c->nodes[k]]);
            if (w->is_silent[t->nodes[c->nodes[k]].pass] && wrote.from < read.to && read.from < wrote.to)
                out[count++] = c->nodes[k];
        }
    }
    return count;
}

size_t ls_replayer_handed_on(const ls_replayer *w, size_t node, size_t *out, size_t capacity) {
    size_t holders[LS_EVAL_OPERANDS + 1], count = 0;
    const size_t found = ls_replayer_holders(w, node, holders);
    for (size_t i = 0; i < found && count < capacity; i++)
        if (w->is_handed_on[holders[i]] && w->candidate->nodes[holders[i]].pass != w->candidate->nodes[node].pass)
            out[count++] = holders[i];
    return count;
}

size_t ls_replayer_inputs(const ls_replayer *w, size_t node, size_t *out, size_t capacity) {
    enum { STACK = 64, LOOKS = 32 }; /* looks: at writes to one cache within a pass */
    size_t stack[STACK], top = 0, count = 0, holders[LS_EVAL_OPERANDS + 1];
    stack[top++] = node;
    for (int looks = 0; top > 0 && looks < LOOKS; looks++) {
        const size_t at = stack[--top], found = ls_replayer_holders(w, at, holders);
        for (size_t i = 0; i < found; i++) {
            const ls_node *h = &w->candidate->nodes[holders[i]];
            if (h->pass != w->candidate->nodes[node].pass || h->role == LOCKSTEP_ROLE_WEIGHT || h->role == LOCKSTEP_ROLE_INPUT)
                continue;
            if (h->role == LOCKSTEP_ROLE_WRITE) {
                if (top < STACK)
                    stack[top++] = holders[i];
                continue;
            }
            bool known = false;
            for (size_t k = 0; k < count && !known; k++)
                known = out[k] == holders[i];
            if (!known && count < capacity)
                out[count++] = holders[i];
        }
    }
    return count;
}

/* A step on the way from a node to its readers. */
static bool leads_on(const ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    return n->role == LOCKSTEP_ROLE_VIEW || n->role == LOCKSTEP_ROLE_WRITE || (w->steps[node].is_open && w->steps[node].is_covered);
}

size_t ls_replayer_readers(const ls_replayer *w, size_t node, size_t *out, size_t capacity) {
    enum { STACK = 64, LOOKS = 256 };
    size_t stack[STACK], top = 0, count = 0;
    stack[top++] = node;
    for (int looks = 0; top > 0 && looks < LOOKS; looks++) {
        const size_t at = stack[--top];
        for (size_t k = w->first_consumer[at]; k < w->first_consumer[at + 1]; k++) {
            const size_t c = w->consumers[k];
            bool known = w->candidate->nodes[c].pass != w->candidate->nodes[node].pass;
            for (size_t i = 0; i < count && !known; i++)
                known = out[i] == c;
            if (known)
                continue;
            if (w->steps[c].partner != LS_NONE && count < capacity)
                out[count++] = c;
            else if (leads_on(w, c) && top < STACK)
                stack[top++] = c;
        }
    }
    return count;
}

/* Indexes have no partners of their own, but are computed from what may be open. */
size_t ls_replayer_region(const ls_replayer *w, size_t node, size_t *out, size_t capacity) {
    enum { INPUTS = 24, QUEUE = LS_REPLAYER_REGION + 1 };
    size_t inputs[INPUTS], queue[QUEUE], to = 1, total = 0;
    queue[0] = node;
    for (size_t from = 0; from < to; from++) {
        const size_t count = ls_replayer_inputs(w, queue[from], inputs, INPUTS);
        for (size_t i = 0; i < count && to < QUEUE; i++) {
            const bool open = w->steps[inputs[i]].is_open;
            bool known = !open && !ls_node_is_integer(&w->candidate->nodes[inputs[i]]);
            for (size_t k = 0; k < to && !known; k++)
                known = queue[k] == inputs[i];
            if (known)
                continue;
            queue[to++] = inputs[i];
            if (open && total < capacity)
                out[total++] = inputs[i];
        }
    }
    return total;
}

/* ------------------------------------------------------------------ preparing */

static bool number_cache(ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    const size_t base = base_of(w->candidate, node);
    const ls_node *state = &w->candidate->nodes[base];
    const ls_pass *pass = state->pass != LS_NONE ? &w->candidate->passes[state->pass] : NULL;
    char key[400];
    const int length = snprintf(key, sizeof key, "%u/%u/%s", pass != NULL ? pass->process : 0, pass != NULL ? pass->context : 0, state->name);
    if (state->role != LOCKSTEP_ROLE_STATE || length < 0 || (size_t)length >= sizeof key)
        return true;
    uint64_t *slot = ls_map_at(&w->cache_numbers, key, (size_t)length);
    if (slot == NULL || (*slot == 0 && !ls_grow((void **)&w->caches, w->cache_count, &w->cache_capacity, sizeof *w->caches)))
        return false;
    if (*slot == 0) {
        w->caches[w->cache_count] = (ls_cache_writes){0};
        *slot = ++w->cache_count;
    }
    ls_cache_writes *c = &w->caches[*slot - 1];
    w->cache_of[node] = w->cache_of[base] = *slot - 1;
    if (n->role != LOCKSTEP_ROLE_WRITE)
        return true;
    const bool grown = ls_grow((void **)&c->nodes, c->count, &c->capacity, sizeof *c->nodes);
    if (grown)
        c->nodes[c->count++] = node;
    return grown;
}

lockstep_status ls_replayer_prepare(ls_replayer *w, lockstep_error *error) {
    const ls_trace *t = w->candidate;
    bool ok = true;
    for (size_t i = 0; i < t->node_count; i++)
        w->cache_of[i] = LS_NONE;
    for (size_t i = 0; i < t->node_count; i++)
        if (producer_of(t, &t->nodes[i]) != LS_NONE || is_kept(t, &t->nodes[i]))
            w->is_handed_on[base_of(t, i)] = true;
    for (size_t i = 0; i < t->node_count && ok; i++)
        if (t->nodes[i].role == LOCKSTEP_ROLE_WRITE || t->nodes[i].role == LOCKSTEP_ROLE_STATE)
            ok = number_cache(w, i);
    return ok ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}
