/* Computing a node of the candidate from what its operands stand for. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/random_place.h"
#include "eval/places.h"
#include "eval/sampling.h"
#include "eval/some_rows.h"
#include "match/aligned_pair.h"
#include "replay/replayer.h"
#include "tensor/dtype.h"
#include "tensor/rounding.h"

#define DECODED_MAX ((uint64_t)1 << 25) /* elements of decoded weights that are kept */
#define NOTHING_WRITTEN "parts of a cache that were never written in the trace"

/* ------------------------------------------------------------------ what lies behind a node */

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
static size_t behind(const ls_trace *t, size_t node) {
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
    size_t next = behind(t, node);
    for (int depth = 0; next != LS_NONE && depth < DEEPEST; depth++) {
        node = next;
        next = behind(t, node);
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
static size_t last_write(const ls_replayer *w, size_t state, size_t now) {
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
static size_t holder_of(const ls_replayer *w, size_t operand, size_t now) {
    const size_t base = base_of(w->candidate, operand);
    return w->candidate->nodes[base].role == LOCKSTEP_ROLE_STATE ? last_write(w, base, now) : base;
}

/* The holders from which a node is computed. A write has its cache before it, besides its operands. */
static size_t holders_of(const ls_replayer *w, size_t node, size_t out[LS_EVAL_OPERANDS + 1]) {
    const ls_node *n = &w->candidate->nodes[node];
    size_t count = 0;
    for (size_t i = 0; i < n->operand_count && i < LS_EVAL_OPERANDS; i++) {
        const size_t holder = n->operands[i] != LS_NONE ? holder_of(w, n->operands[i], node) : LS_NONE;
        if (holder != LS_NONE && holder < node)
            out[count++] = holder;
    }
    const size_t before = n->role == LOCKSTEP_ROLE_WRITE ? last_write(w, node, node) : LS_NONE;
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
    const size_t found = holders_of(w, node, holders);
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
        const size_t at = stack[--top], found = holders_of(w, at, holders);
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

/* ------------------------------------------------------------------ trying values */

static void touch(ls_replayer *w, size_t node) {
    if (ls_grow((void **)&w->touched, w->touched_count, &w->touched_capacity, sizeof *w->touched))
        w->touched[w->touched_count++] = node;
}

void ls_replayer_try(ls_replayer *w, size_t node, const ls_array *value) {
    double *copy = malloc((value->elements + 1) * sizeof *copy);
    if (copy == NULL)
        return;
    memcpy(copy, value->values, value->elements * sizeof *copy);
    ls_array_release(&w->tried[node]);
    w->tried[node] = *value;
    w->tried[node].values = copy;
    w->depends[node] = 2;
    touch(w, node);
    if (w->first_tried == LS_NONE || node < w->first_tried)
        w->first_tried = node;
}

void ls_replayer_unfix(ls_replayer *w, size_t node) {
    ls_array_release(&w->tried[node]);
    w->depends[node] = 2;
    touch(w, node);
    if (w->first_tried == LS_NONE || node < w->first_tried)
        w->first_tried = node;
}

bool ls_replayer_refresh(ls_replayer *w, size_t node, const char **out_reason) {
    return w->tried[node].values != NULL || ls_replayer_compute(w, node, false, &w->tried[node], NULL, out_reason);
}

void ls_replayer_untry(ls_replayer *w) {
    for (size_t i = 0; i < w->touched_count; i++) {
        ls_array_release(&w->tried[w->touched[i]]);
        w->depends[w->touched[i]] = 0;
    }
    w->touched_count = 0;
    w->first_tried = LS_NONE;
}

/* Whether a node's value changes with what is tried. */
static bool depends(ls_replayer *w, size_t node, int depth) {
    enum { DEEPEST = 24 };
    size_t holders[LS_EVAL_OPERANDS + 1];
    const ls_node *n = &w->candidate->nodes[node];
    if (w->first_tried == LS_NONE || node < w->first_tried || depth > DEEPEST || n->role == LOCKSTEP_ROLE_WEIGHT || n->role == LOCKSTEP_ROLE_INPUT)
        return false;
    if (w->depends[node] != 0)
        return w->depends[node] == 2;
    bool any = false;
    if (w->steps[node].partner == LS_NONE) {
        const size_t count = holders_of(w, node, holders);
        for (size_t i = 0; i < count && !any; i++)
            any = depends(w, holders[i], depth + 1);
    }
    w->depends[node] = any ? 2 : 1;
    touch(w, node);
    return any;
}

bool ls_replayer_depends(ls_replayer *w, size_t node) { return depends(w, node, 0); }

/* ------------------------------------------------------------------ values */

static bool copy_of(const ls_node *n, const double *values, ls_array *out, const char **out_reason) {
    double *copy = ls_values_new(n, out_reason);
    if (copy == NULL)
        return false;
    memcpy(copy, values, n->elements * sizeof *copy);
    ls_values_give(n, copy, out);
    return true;
}

bool ls_replayer_weight_values(ls_replayer *w, size_t node, ls_array *out, const char **out_reason) {
    const ls_node *n = &w->candidate->nodes[node];
    ls_array *kept = &w->decoded[node];
    if (kept->values != NULL)
        return copy_of(n, kept->values, out, out_reason);
    if (!(ls_node_has_values(n) ? ls_leaf_stored(w->candidate, node, kept, out_reason) : ls_leaf_weight(w->models, node, kept, out_reason)))
        return false;
    if (w->decoded_elements + n->elements > DECODED_MAX) {
        *out = *kept;
        *kept = (ls_array){0};
        return true;
    }
    w->decoded_elements += n->elements;
    return copy_of(n, kept->values, out, out_reason);
}

static bool is_perturbed(const ls_replayer *w) { return w->perturbed.draw > 0 || w->perturbed.weight != LS_NONE; }

/* A weight as an experiment has it: moved within its rounding, or with a factor. */
static void perturb(ls_replayer *w, size_t weight, ls_array *values) {
    ls_rounding r = {0};
    const ls_perturbation how = w->perturbed;
    const double factor = how.weight == weight ? how.factor : 1;
    for (uint64_t i = 0; factor != 1 && i < values->elements; i++)
        values->values[i] *= factor;
    if (how.draw == 0)
        return;
    w->perturbed = (ls_perturbation){.weight = LS_NONE};
    const uint64_t first = ls_random_place(how.draw + weight * 1024, UINT64_MAX);
    for (uint64_t i = 0, known = ls_rounding_of_weight(w, weight, &r); known && i < values->elements; i++)
        values->values[i] += sqrt(3 * r.weight[i / r.group]) * (2 * (double)ls_random_place(first + i, 1 << 20) / (1 << 20) - 1);
    ls_rounding_release(&r);
    w->perturbed = how;
}

static bool read_weight(ls_replayer *w, size_t node, ls_array *out, const char **out_reason) {
    const bool ok = ls_replayer_weight_values(w, node, out, out_reason);
    if (ok && is_perturbed(w))
        perturb(w, node, out);
    return ok;
}

/* An input is the reference's, as everything is, where that has it, too. Without pairs, it is what was recorded. */
static bool read_input(ls_replayer *w, size_t node, ls_array *out, const char **out_reason) {
    const size_t at = w->m != NULL ? w->m->pair_of[node] : 0;
    const ls_pair *pair = at != 0 ? &w->m->pairs->items[at - 1] : NULL;
    ls_aligned_pair aligned;
    if (pair == NULL || pair->method != LS_METHOD_INPUT || ls_aligned_pair_open(w->m, pair, LS_REORDER_NONE, LS_LAYOUT_LEARN, &aligned, NULL) != LOCKSTEP_OK)
        return ls_leaf_stored(w->candidate, node, out, out_reason);
    const ls_node *n = &w->candidate->nodes[node];
    double *values = ls_view_elements(&aligned.layout.reference) == n->elements ? ls_values_new(n, out_reason) : NULL;
    if (values != NULL) {
        ls_view_read_f64(&aligned.layout.reference, 0, n->elements, values);
        ls_values_give(n, values, out);
    }
    ls_aligned_pair_close(&aligned);
    return values != NULL || ls_leaf_stored(w->candidate, node, out, out_reason);
}

/* The values of what an operand lies in: borrowed, or owned through `out_own`. */
static const double *values_of(ls_replayer *w, size_t holder, bool moved, ls_array *out_own, const char **out_reason) {
    const ls_node *n = &w->candidate->nodes[holder];
    const ls_step *s = &w->steps[holder];
    if (n->role == LOCKSTEP_ROLE_WEIGHT)
        return read_weight(w, holder, out_own, out_reason) ? out_own->values : NULL;
    if (n->role == LOCKSTEP_ROLE_INPUT)
        return read_input(w, holder, out_own, out_reason) ? out_own->values : NULL;
    if (n->kind->id == LS_OP_UNWRITTEN)
        return ls_leaf_unwritten(n, out_own, out_reason) ? out_own->values : NULL;
    if (depends(w, holder, 0)) {
        if (w->tried[holder].values == NULL && !ls_replayer_compute(w, holder, moved, &w->tried[holder], NULL, out_reason))
            return NULL;
        return w->tried[holder].values;
    }
    if (moved && s->moved.values != NULL && s->partner == LS_NONE)
        return s->moved.values;
    if (s->value.values == NULL)
        *out_reason = s->reason != NULL ? s->reason : "an operand that is not known";
    return s->value.values;
}

/* The shape of a holder: of a write, its cache's. */
static const ls_node *node_of_base(const ls_replayer *w, size_t operand) { return &w->candidate->nodes[base_of(w->candidate, operand)]; }

/* Follows views from an operand to what it lies in, and back. */
static bool read_through(ls_replayer *w, size_t operand, size_t base, const double *values, ls_array *out, const char **out_reason) {
    const ls_node *n = &w->candidate->nodes[operand];
    const size_t next = operand != base ? behind(w->candidate, operand) : LS_NONE;
    ls_array inner = {0};
    if (next == LS_NONE)
        return copy_of(n, values, out, out_reason);
    if (next != base && !read_through(w, next, base, values, &inner, out_reason))
        return false;
    const double *from = next != base ? inner.values : values;
    bool ok;
    if (n->alias_of == LS_NONE && n->view_of != LS_NONE) {
        double *own = ls_values_new(n, out_reason);
        ok = own != NULL && ls_place_read(n, &w->candidate->nodes[next], from, own, out_reason);
        if (ok)
            ls_values_give(n, own, out);
        else
            free(own);
    } else {
        ok = w->candidate->nodes[next].elements == n->elements ? copy_of(n, from, out, out_reason) : ls_no_values(out_reason, "a view whose place was not recorded");
    }
    ls_array_release(&inner);
    return ok;
}

/* An operand's rows along an axis, or all of it. */
static bool read_rows(ls_replayer *w, size_t operand, size_t now, bool moved, const ls_rows *rows, int axis, ls_array *out, const char **out_reason) {
    const size_t base = base_of(w->candidate, operand), holder = holder_of(w, operand, now);
    ls_array own = {0};
    *out = (ls_array){0};
    if (holder == LS_NONE)
        return ls_no_values(out_reason, NOTHING_WRITTEN);
    const double *values = values_of(w, holder, moved, &own, out_reason);
    bool ok = values != NULL;
    if (ok && operand == base && own.values == NULL)
        return ls_rows_copy(rows, axis, &w->candidate->nodes[operand], values, out, out_reason);
    if (ok && operand == base) {
        ls_values_give(&w->candidate->nodes[operand], own.values, out);
        own.values = NULL;
    } else {
        ok = ok && read_through(w, operand, base, values, out, out_reason);
    }
    ls_array_release(&own);
    if (ok)
        ls_rows_keep(rows, axis, out);
    return ok;
}

bool ls_replayer_operand(ls_replayer *w, size_t operand, size_t now, bool moved, ls_array *out, const char **out_reason) {
    return read_rows(w, operand, now, moved, &(ls_rows){0}, -1, out, out_reason);
}

/* What is written. Cells that were never written before are not known, but times 0 they are (ls_place_write). */
static bool read_written(ls_replayer *w, size_t node, bool moved, ls_array *out, const char **out_reason) {
    const ls_node *n = &w->candidate->nodes[node], *operand = &w->candidate->nodes[n->operands[0]];
    if (holder_of(w, n->operands[0], node) != LS_NONE)
        return ls_replayer_operand(w, n->operands[0], node, moved, out, out_reason);
    return ls_leaf_unwritten(operand, out, out_reason);
}

/* A pass without a partner, as a warm-up, is not computed: what it wrote is as unknown as what was never written. */
static bool was_left_out(const ls_replayer *w, size_t write) {
    const ls_token_alignment *tokens = w->m != NULL ? &w->m->tokens : NULL; /* NULL: all are computed */
    const size_t pass = w->candidate->nodes[write].pass, at = tokens != NULL ? ls_token_alignment_from(tokens, pass) : 0;
    return tokens != NULL && (at >= tokens->pair_count || tokens->pairs[at].candidate != pass);
}

/* A cache's contents after a write. */
static bool compute_write(ls_replayer *w, size_t node, bool moved, ls_array *out, const char **out_reason) {
    const ls_node *n = &w->candidate->nodes[node], *state = node_of_base(w, node);
    const size_t last = last_write(w, node, node), before = last != LS_NONE && !was_left_out(w, last) ? last : LS_NONE;
    ls_array values = {0}, index = {0}, own = {0};
    const bool by_rows = n->kind->id == LS_OP_SET_ROWS;
    double *contents = ls_values_new(state, out_reason);
    const double *old = before != LS_NONE ? values_of(w, before, moved, &own, out_reason) : NULL;
    bool ok = contents != NULL && (before == LS_NONE || old != NULL);
    for (uint64_t i = 0; i < state->elements && ok; i++)
        contents[i] = old != NULL ? old[i] : NAN;
    ok = ok && ((n->operand_count > (by_rows ? 1u : 0u) && n->operands[0] != LS_NONE && (!by_rows || n->operands[1] != LS_NONE)) ||
                ls_no_values(out_reason, "a write without operands"));
    ok = ok && read_written(w, node, moved, &values, out_reason) && (!by_rows || ls_replayer_operand(w, n->operands[1], node, moved, &index, out_reason));
    ok = ok && (ls_place_write(n, state, &values, by_rows ? &index : NULL, contents) || ls_no_values(out_reason, "a write to a cache that is not understood"));
    ls_array_release(&values);
    ls_array_release(&index);
    ls_array_release(&own);
    if (ok)
        ls_values_give(state, contents, out);
    else
        free(contents);
    return ok;
}

bool ls_replayer_is_dear(const ls_replayer *w, size_t node) { return !w->exact && ls_rows_share(w->candidate, node) < 1; }

/* Of the chosen rows of a result, all of it; the rest is NaN. */
static bool spread(const ls_rows *rows, const ls_node *n, double **values, const char **out_reason) {
    double *all = ls_values_new(n, out_reason);
    if (all != NULL) {
        ls_rows_spread(rows, n, *values, all);
        free(*values);
        *values = all;
    }
    return all != NULL;
}

/* The node with its last two axes in the other order. */
static ls_node crosswise_node(const ls_node *n) {
    ls_node turned = *n;
    if (n->rank > 1) {
        turned.shape[n->rank - 1] = n->shape[n->rank - 2];
        turned.shape[n->rank - 2] = n->shape[n->rank - 1];
    }
    return turned;
}

/* An operand, and a result, of such a node. */
static bool turn(ls_array *operand, const ls_node *across) {
    if (operand->values == NULL || operand->elements != across->elements || operand->rank != across->rank)
        return false;
    memcpy(operand->shape, across->shape, sizeof operand->shape);
    return ls_swap_axes(operand->values, operand->elements, across->shape[across->rank - 1], across->shape[across->rank - 2], 1);
}

static bool turn_back(double *values, const ls_node *across) { return ls_swap_axes(values, across->elements, across->shape[across->rank - 2], across->shape[across->rank - 1], 1); }

static bool compute_operation(ls_replayer *w, size_t node, bool moved, ls_array *out, double **out_scale, const char **out_reason) {
    const ls_node *n = &w->candidate->nodes[node];
    ls_array operands[LS_EVAL_OPERANDS] = {0};
    const struct ls_alteration *altered = w->altered != NULL && w->altered->at == node ? w->altered : NULL;
    const bool is_crosswise = altered != NULL && altered->is_crosswise, is_sampled = w->sampled == node && ls_replayer_is_dear(w, node) && !is_crosswise;
    ls_rows rows = {0};
    if (is_sampled)
        ls_rows_choose(w->candidate, node, &rows);
    const ls_node some = ls_rows_node(&rows, altered != NULL ? &altered->node : n);
    ls_evaluation e = {.node = &some, .every = is_sampled ? ls_eval_every(w->candidate, n) : 1, .is_rough = !w->exact};
    bool ok = ls_eval_covers(n) ? n->operand_count <= LS_EVAL_OPERANDS || ls_eval_refuse(&e, "more operands than any operation has")
                                : ls_eval_refuse(&e, "an operation that is not covered");
    for (size_t i = 0; i < n->operand_count && ok; i++)
        if (n->operands[i] != LS_NONE) {
            const int axis = ls_rows_axis_of(w->candidate, n, i, &rows);
            ok = (!is_perturbed(w) && ls_leaf_borrow(w->models, n, i, &operands[i])) || read_rows(w, n->operands[i], node, moved, &rows, altered != NULL ? -1 : axis, &operands[i], &e.reason);
            e.operands[i] = &operands[i];
            if (ok && altered != NULL) { /* it may be one of a whole mask */
                ls_alteration_apply(altered, i, &operands[i]);
                ls_rows_keep(&rows, axis, &operands[i]);
            }
        }
    if (altered != NULL && altered->swaps) {
        e.operands[0] = &operands[1];
        e.operands[1] = &operands[0];
    }
    const ls_node across = crosswise_node(&some);
    ok = ok && (!is_crosswise || turn(&operands[0], &across));
    e.node = is_crosswise ? &across : &some;
    double *values = ok ? ls_values_new(&some, &e.reason) : NULL, *scale = values != NULL ? ls_values_new(&some, &e.reason) : NULL;
    e.out = values;
    e.scale = scale;
    ok = ok && values != NULL && scale != NULL && ls_eval(&e) && (!is_crosswise || (turn_back(values, &across) && turn_back(scale, &across))) &&
         (rows.places == NULL || (spread(&rows, n, &values, &e.reason) && (out_scale == NULL || spread(&rows, n, &scale, &e.reason))));
    ls_rows_done(&rows);
    for (int i = 0; i < LS_EVAL_OPERANDS; i++)
        ls_array_release(&operands[i]);
    if (ok)
        ls_values_give(n, values, out);
    else
        free(values);
    if (ok && out_scale != NULL)
        *out_scale = scale;
    else
        free(scale);
    *out_reason = e.reason;
    return ok;
}

void ls_replayer_mask_out(ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    ls_array mask, *value = &w->steps[node].value;
    const char *reason;
    if (n->kind->id != LS_OP_SOFT_MAX || n->operand_count < 2 || n->operands[1] == LS_NONE || value->values == NULL || !ls_replayer_operand(w, n->operands[1], node, false, &mask, &reason))
        return;
    ls_eval_mask_out(n, &mask, value->values);
    ls_array_release(&mask);
}

static bool has_rounding(const ls_replayer *w, const ls_node *n) {
    const size_t weight = ls_replayer_weight(w, n, 0);
    lockstep_dtype dtype;
    return weight != LS_NONE && ls_dtype_find(w->candidate->nodes[weight].dtype, &dtype) && ls_rounding_is_lossy(dtype);
}

/* Changes a result by as much as the rounding of the node's own weight may have: `draw` chooses at random. */
static void add_rounding(ls_replayer *w, size_t node, uint64_t draw, ls_array *values) {
    const ls_node *n = &w->candidate->nodes[node];
    const uint64_t columns = n->rank > 0 ? n->shape[n->rank - 1] : 1;
    const uint64_t first = draw << 40;
    bool *known = NULL;
    ls_rounding r = {0};
    const bool any = n->elements > 0 && has_rounding(w, n) && ls_rows_known(values, columns, &known) > 0 && ls_replayer_rounding(w, node, known, &r);
    for (uint64_t row = 0, kept = 0; any && row < values->elements / columns; row++) {
        for (uint64_t i = 0; i < columns && known[row]; i++)
            values->values[row * columns + i] += sqrt(3 * r.variance[kept * columns + i]) * (2 * (double)ls_random_place(first + row * columns + i, 1 << 20) / (1 << 20) - 1);
        kept += known[row];
    }
    ls_rounding_release(&r);
    free(known);
}

/* The table of which a node reads some rows: it may be large, so what is read is changed instead; LS_NONE. */
static size_t looked_up(const ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    return n->kind->id == LS_OP_GET_ROWS ? ls_replayer_weight(w, n, 0) : LS_NONE;
}

bool ls_replayer_compute(ls_replayer *w, size_t node, bool moved, ls_array *out, double **out_scale, const char **out_reason) {
    *out = (ls_array){0};
    if (w->candidate->nodes[node].role == LOCKSTEP_ROLE_WRITE)
        return compute_write(w, node, moved, out, out_reason);
    const ls_perturbation how = w->perturbed;
    const size_t table = looked_up(w, node);
    w->perturbed = table != LS_NONE ? (ls_perturbation){.weight = LS_NONE} : how;
    const bool ok = compute_operation(w, node, moved, out, out_scale, out_reason);
    w->perturbed = how;
    for (uint64_t i = 0; ok && table != LS_NONE && how.weight == table && i < out->elements; i++)
        out->values[i] *= how.factor;
    if (ok && (moved || (table != LS_NONE && how.draw > 0)))
        add_rounding(w, node, how.draw, out);
    return ok;
}

/* Whether a node has the rounding of a weight in it: of its own, or of an open one's that it was computed from. A value that is
 * tried has none. `looks`: how many more nodes are looked at; then it is taken to be rounded. */
static bool is_rounded(ls_replayer *w, size_t node, int *looks) {
    size_t inputs[32];
    const ls_step *s = &w->steps[node];
    if (!depends(w, node, 0))
        return s->partner == LS_NONE && s->moved.values != NULL;
    if (w->tried[node].values != NULL || --*looks < 0)
        return *looks < 0;
    bool any = has_rounding(w, &w->candidate->nodes[node]);
    const size_t count = any ? 0 : ls_replayer_inputs(w, node, inputs, 32);
    for (size_t i = 0; i < count && !any; i++)
        any = is_rounded(w, inputs[i], looks);
    return any;
}

bool ls_replayer_compute_moved(ls_replayer *w, size_t node, const ls_array *computed, ls_array *out) {
    enum { LOOKS = 256 };
    size_t inputs[32];
    int looks = LOOKS;
    const char *reason;
    const ls_node *n = &w->candidate->nodes[node];
    const bool rounded = has_rounding(w, n);
    bool inherited = false;
    const size_t count = ls_replayer_inputs(w, node, inputs, 32);
    for (size_t i = 0; i < count && !inherited; i++)
        inherited = is_rounded(w, inputs[i], &looks);
    *out = (ls_array){0};
    if (inherited || (rounded && computed == NULL))
        return ls_replayer_compute(w, node, true, out, NULL, &reason);
    if (!rounded || !copy_of(n, computed->values, out, &reason))
        return false;
    add_rounding(w, node, 0, out);
    return true;
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
