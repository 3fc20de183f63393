#include "diff/outputs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/map.h"
#include "diff/judgement.h"
#include "match/aligned_pair.h"

/* ------------------------------------------------------------------ tails */

/* Picks elements and changes none. */
static bool picks(const ls_node *n) { return n->role == LOCKSTEP_ROLE_VIEW || n->alias_of != LS_NONE || ls_op_only_moves(n->kind); }

static const ls_values *values_of(const ls_diff *d, bool of_reference) { return of_reference ? &d->in.reference.values : &d->in.candidate.values; }

static bool is_compared(const ls_diff *d, bool of_reference, size_t value) {
    if (of_reference)
        return d->matching.reference_used[value];
    return d->matching.pair_of[value] != 0 && d->pairs.items[d->matching.pair_of[value] - 1].mark.verdict < LS_VERDICT_SHAPE;
}

/* The values between the last compared ones and an output, in order. */
typedef struct tail {
    size_t *nodes, count, capacity;
    uint64_t *base; /* per node: elements of the largest compared value that it is computed from; 0: none */
    bool weighted; /* a weight takes part, or the sources are not known */
    bool failed;   /* out of memory */
} tail;

static void tail_done(tail *t) {
    free(t->nodes);
    free(t->base);
}

static int rising(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

static const size_t *find_in(const tail *t, size_t node) { return bsearch(&node, t->nodes, t->count, sizeof node, rising); }

static uint64_t base_of(const ls_diff *d, bool of_reference, const tail *t, size_t node) {
    const ls_values *v = values_of(d, of_reference);
    const ls_node *n = &v->trace->nodes[node];
    uint64_t base = 0;
    for (size_t k = 0; k < n->source_count; k++) {
        size_t source = v->value_of[n->sources[k]];
        const size_t *known = find_in(t, source);
        uint64_t own = known != NULL ? t->base[known - t->nodes] : is_compared(d, of_reference, source) ? v->trace->nodes[source].elements : 0;
        base = own > base ? own : base;
    }
    return picks(n) && n->elements < base ? n->elements : base; /* operations on the picked rows have to be compared */
}

/* A node that changes a compared result without making it smaller has to be compared itself. */
static bool must_be_compared(const ls_trace *trace, const tail *t, size_t i) {
    const ls_node *n = &trace->nodes[t->nodes[i]];
    return t->base[i] > 0 && n->elements >= t->base[i] && !picks(n);
}

static void append_node(tail *t, ls_map *seen, size_t node) {
    uint64_t *slot = ls_map_at(seen, (const char *)&node, sizeof node);
    t->failed = t->failed || slot == NULL || !ls_grow((void **)&t->nodes, t->count, &t->capacity, sizeof *t->nodes);
    if (!t->failed && (*slot)++ == 0)
        t->nodes[t->count++] = node;
}

static tail find_tail(const ls_diff *d, bool of_reference, size_t output) {
    const ls_values *v = values_of(d, of_reference);
    const ls_trace *trace = v->trace;
    tail t = {0};
    ls_map seen = {0};
    append_node(&t, &seen, v->value_of[output]);
    for (size_t next = 0; next < t.count && !t.failed; next++) {
        const ls_node *n = &trace->nodes[t.nodes[next]];
        t.weighted = t.weighted || n->source_count == 0;
        for (size_t k = 0; k < n->source_count; k++) {
            size_t source = v->value_of[n->sources[k]];
            const ls_node *s = &trace->nodes[source];
            t.weighted = t.weighted || s->role == LOCKSTEP_ROLE_WEIGHT;
            bool given = s->role == LOCKSTEP_ROLE_INPUT || s->role == LOCKSTEP_ROLE_WEIGHT || s->pass != n->pass || is_compared(d, of_reference, source);
            bool constant = s->source_count == 0 && s->elements <= 1; /* a constant of the program */
            if (!given && !constant)
                append_node(&t, &seen, source);
        }
    }
    ls_map_done(&seen);
    if (t.count > 0)
        qsort(t.nodes, t.count, sizeof *t.nodes, rising);
    t.base = calloc(t.count + 1, sizeof *t.base);
    t.failed = t.failed || t.base == NULL;
    for (size_t i = 0; i < t.count && !t.failed; i++)
        t.base[i] = base_of(d, of_reference, &t, t.nodes[i]);
    return t;
}

ls_tail ls_outputs_tail(const ls_diff *d, bool of_reference, size_t output) {
    const ls_values *v = values_of(d, of_reference);
    if (is_compared(d, of_reference, v->value_of[output]))
        return LS_TAIL_NONE;
    tail t = find_tail(d, of_reference, output);
    bool more = t.weighted || t.failed, picking = true;
    for (size_t i = 0; i < t.count; i++) {
        const ls_node *n = &v->trace->nodes[t.nodes[i]];
        more = more || must_be_compared(v->trace, &t, i);
        picking = picking && (picks(n) || n->kind->role == LS_OP_ROLE_ORDER);
    }
    tail_done(&t);
    return more ? LS_TAIL_MORE : picking ? LS_TAIL_PICKING : LS_TAIL_POOLING;
}

/* ------------------------------------------------------------------ pairs */

/* Is each row of the reference the candidate's row divided by its length? */
static bool is_brought_to_length_one(ls_diff *d, const ls_pair *pair) {
    enum { COLUMNS_MAX = 1 << 20 };
    ls_aligned_pair aligned;
    lockstep_error why;
    if (pair->mark.verdict != LS_VERDICT_DIVERGED || ls_aligned_pair_open(&d->matching, pair, LS_REORDER_NONE, LS_LAYOUT_VOTED, &aligned, &why) != LOCKSTEP_OK)
        return false;
    const ls_view *r = &aligned.layout.reference, *c = &aligned.layout.candidate;
    uint64_t columns = c->rank > 0 ? c->shape[c->rank - 1] : 1, elements = ls_view_elements(c);
    double *values = columns > 1 && columns <= COLUMNS_MAX ? malloc(2 * columns * sizeof *values) : NULL;
    bool holds = values != NULL;
    for (uint64_t at = 0; holds && at < elements; at += columns) {
        double length2 = 0, left2 = 0;
        ls_view_read_f64(r, at, columns, values);
        ls_view_read_f64(c, at, columns, values + columns);
        for (uint64_t i = 0; i < columns; i++)
            length2 += values[columns + i] * values[columns + i];
        for (uint64_t i = 0; i < columns; i++) {
            double d_i = values[columns + i] / sqrt(length2) - values[i];
            left2 += d_i * d_i;
        }
        holds = length2 > 0 && sqrt(left2) <= pair->mark.tolerance; /* a correct row has length 1 */
    }
    free(values);
    ls_aligned_pair_close(&aligned);
    return holds;
}

static lockstep_status add(ls_diff *d, const ls_pair *pair, lockstep_error *error) {
    if (!ls_grow((void **)&d->pairs.items, d->pairs.count, &d->pairs.capacity, sizeof *d->pairs.items))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    d->pairs.items[d->pairs.count++] = *pair;
    d->output_count++;
    d->matching.reference_used[pair->reference_value] = true;
    if (!pair->is_extra)
        d->matching.pair_of[pair->candidate_value] = d->pairs.count;
    LS_TRY(ls_diff_compare(d, d->pairs.count - 1, error));
    ls_pair *added = &d->pairs.items[d->pairs.count - 1], *own = &d->pairs.items[d->matching.pair_of[pair->candidate_value] - 1];
    if (added->is_extra && ls_pair_fails(added) && is_brought_to_length_one(d, added)) {
        d->result.unit_length = d->in.reference.trace->nodes[pair->reference].name; /* only that is left out: the shared result is compared */
        d->pairs.count--;
        d->output_count--;
        return LOCKSTEP_OK;
    }
    if (added->is_extra && own->method == LS_METHOD_PRESET && ls_pair_fails(own) && !ls_pair_fails(added)) {
        added->is_extra = false; /* the preset describes another model's tail */
        *own = *added;
        d->pairs.count--;
    }
    return LOCKSTEP_OK;
}

static bool fits(ls_diff *d, const ls_pair *pair) {
    ls_aligned_pair aligned;
    lockstep_error why;
    bool kept = ls_node_has_values(&d->in.reference.trace->nodes[pair->reference_value]) && ls_node_has_values(&d->in.candidate.trace->nodes[pair->candidate_value]);
    if (!kept || ls_aligned_pair_open(&d->matching, pair, LS_REORDER_NONE, LS_LAYOUT_VOTED, &aligned, &why) != LOCKSTEP_OK)
        return false;
    ls_aligned_pair_close(&aligned);
    return true;
}

/* Pairs one side's output with the last value of the other side's tail that can be the same. */
static lockstep_status pair_tail(ls_diff *d, size_t pass_pair, size_t reference, size_t candidate, bool of_reference, lockstep_error *error) {
    const ls_trace *trace = values_of(d, of_reference)->trace;
    tail t = find_tail(d, of_reference, of_reference ? reference : candidate);
    lockstep_status status = t.failed ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory") : LOCKSTEP_OK;
    for (size_t i = t.count; status == LOCKSTEP_OK && i-- > 0 && !t.weighted;) {
        ls_pair pair = {.method = LS_METHOD_OUTPUT, .pass_pair = pass_pair, .reference = reference, .candidate = candidate};
        *(of_reference ? &pair.reference : &pair.candidate) = t.nodes[i];
        pair.reference_value = d->in.reference.values.value_of[pair.reference];
        pair.candidate_value = d->in.candidate.values.value_of[pair.candidate];
        pair.is_extra = d->matching.pair_of[pair.candidate_value] != 0;
        if (!must_be_compared(trace, &t, i) || !fits(d, &pair))
            continue;
        status = add(d, &pair, error);
        break;
    }
    tail_done(&t);
    return status;
}

static lockstep_status pair_the_ends(ls_diff *d, size_t pass_pair, size_t reference, size_t candidate, lockstep_error *error) {
    ls_pair pair = {.method = LS_METHOD_OUTPUT, .pass_pair = pass_pair, .reference = reference, .candidate = candidate, .reference_value = reference, .candidate_value = candidate};
    return fits(d, &pair) ? add(d, &pair, error) : LOCKSTEP_OK;
}

static lockstep_status pair_outputs_of(ls_diff *d, size_t pass_pair, lockstep_error *error) {
    const ls_pass_pair *pp = &d->matching.tokens.pairs[pass_pair];
    size_t r = d->matching.reference_outputs[pp->reference], c = d->matching.facts[pp->candidate].output - 1; /* 0 - 1 is LS_NONE */
    if (r == LS_NONE || c == LS_NONE || (d->matching.pair_of[c] != 0 && d->pairs.items[d->matching.pair_of[c] - 1].pass_pair != pass_pair))
        return LOCKSTEP_OK;
    if (d->pairs.count == d->output_count) /* nothing else is paired, but the final outputs can still be compared */
        return pair_the_ends(d, pass_pair, r, c, error);
    if (!d->matching.reference_used[r])
        return pair_tail(d, pass_pair, r, c, true, error);
    return d->matching.pair_of[c] == 0 ? pair_tail(d, pass_pair, r, c, false, error) : LOCKSTEP_OK;
}

lockstep_status ls_outputs_pair(ls_diff *d, lockstep_error *error) {
    bool asked = d->options.tensors != NULL || d->options.layers != NULL;
    bool filtered = asked || d->in.reference.trace->only != NULL || d->in.candidate.trace->only != NULL; /* the last recorded tensor is not the output */
    for (; d->outputs_seen < d->matching.tokens.pair_count; d->outputs_seen++) {
        const ls_pass_pair *pp = &d->matching.tokens.pairs[d->outputs_seen];
        if (d->in.candidate.trace->memory != NULL && !d->in.candidate.trace->passes[pp->candidate].ended)
            return LOCKSTEP_OK;
        bool silent = pp->rows == NULL && !d->matching.tokens.in_order;
        if (d->in.reference.trace->is_graph && d->in.candidate.trace->is_graph && !filtered && !silent)
            LS_TRY(pair_outputs_of(d, d->outputs_seen, error));
    }
    return LOCKSTEP_OK;
}
