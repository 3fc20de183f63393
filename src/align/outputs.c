#include "align/outputs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "align/sight.h"
#include "base/grow.h"

/* ------------------------------------------------------------------ tails */

/* Operations that pick elements, and change none. */
static bool picks(const ls_node *n) {
    static const char *const names[] = {"GET_ROWS", "VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE", "CONT", "slice", "select", "index",
                                        "index_select", "gather", "narrow", "view", "reshape", "transpose", "permute", "unsqueeze",
                                        "squeeze", "expand", "split", "chunk", "unbind", "clone", "contiguous", "_to_copy", "detach"};
    if (n->role == LS_ROLE_VIEW || n->alias_of != LS_NONE)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(n->op, names[i]) == 0)
            return true;
    return false;
}

/* The values that lead from compared ones to an output, rising. */
typedef struct tail {
    size_t *nodes, count;
    bool *pooled;  /* has fewer elements than what it was reduced from */
    bool weighted; /* a weight takes part, or the way is not known */
} tail;

static void tail_done(tail *t) {
    free(t->nodes);
    free(t->pooled);
}

static int rising(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

static const size_t *find_in(const tail *t, size_t node) { return bsearch(&node, t->nodes, t->count, sizeof node, rising); }

static bool is_reduced(const ls_values *v, const tail *t, size_t node) {
    const ls_node *n = &v->trace->nodes[node];
    for (size_t k = 0; k < n->source_count; k++) {
        size_t source = v->value_of[n->sources[k]];
        const size_t *known = find_in(t, source);
        if (known != NULL && t->pooled[known - t->nodes])
            return true;
        if (!picks(n) && v->trace->nodes[source].role == LS_ROLE_COMPUTED && v->trace->nodes[source].elements > n->elements)
            return true;
    }
    return false;
}

/* False when out of memory. */
static bool find_tail(const ls_values *v, const bool *compared, size_t output, tail *out) {
    const ls_trace *trace = v->trace;
    bool *seen = calloc(trace->node_count + 1, sizeof *seen);
    tail t = {.nodes = malloc((trace->node_count + 1) * sizeof *t.nodes)};
    if (seen != NULL && t.nodes != NULL)
        t.nodes[t.count++] = v->value_of[output];
    for (size_t next = 0; next < t.count; next++) {
        const ls_node *n = &trace->nodes[t.nodes[next]];
        t.weighted = t.weighted || n->source_count == 0;
        for (size_t k = 0; k < n->source_count; k++) {
            size_t source = v->value_of[n->sources[k]];
            const ls_node *s = &trace->nodes[source];
            t.weighted = t.weighted || s->role == LS_ROLE_WEIGHT;
            bool given = compared[source] || s->role == LS_ROLE_INPUT || s->role == LS_ROLE_WEIGHT || s->pass != n->pass;
            bool constant = s->source_count == 0 && s->elements <= 1; /* a number that was written into the program */
            if (!given && !constant && !seen[source]) {
                seen[source] = true;
                t.nodes[t.count++] = source;
            }
        }
    }
    free(seen);
    if (t.nodes != NULL)
        qsort(t.nodes, t.count, sizeof *t.nodes, rising);
    t.pooled = calloc(t.count + 1, sizeof *t.pooled);
    if (seen == NULL || t.nodes == NULL || t.pooled == NULL) {
        tail_done(&t);
        return false;
    }
    for (size_t i = 0; i < t.count; i++)
        t.pooled[i] = is_reduced(v, &t, t.nodes[i]);
    *out = t;
    return true;
}

ls_tail ls_outputs_tail(const ls_values *values, const bool *compared, size_t output) {
    tail t;
    if (compared[values->value_of[output]])
        return LS_TAIL_NONE;
    if (!find_tail(values, compared, output, &t))
        return LS_TAIL_MORE;
    bool more = t.weighted;
    for (size_t i = 0; i < t.count && !more; i++)
        more = !t.pooled[i] && !picks(&values->trace->nodes[t.nodes[i]]);
    tail_done(&t);
    return more ? LS_TAIL_MORE : LS_TAIL_POOLING;
}

/* ------------------------------------------------------------------ pairs */

static bool *candidate_compared(const ls_diff *d) {
    bool *compared = calloc(d->candidate->node_count + 1, sizeof *compared);
    for (size_t i = 0; compared != NULL && i < d->candidate->node_count; i++)
        compared[i] = d->pair_of[i] != 0;
    return compared;
}

static lockstep_status add(ls_diff *d, const ls_pair *pair, lockstep_error *error) {
    if (!ls_grow((void **)&d->pairs, d->pair_count, &d->pair_capacity, sizeof *d->pairs))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    d->pairs[d->pair_count++] = *pair;
    d->reference_used[pair->reference_value] = true;
    if (!pair->extra)
        d->pair_of[pair->candidate_value] = d->pair_count;
    LS_TRY(ls_diff_compare(d, d->pair_count - 1, LS_LAYOUT_VOTED, error));
    ls_pair *added = &d->pairs[d->pair_count - 1], *own = &d->pairs[d->pair_of[pair->candidate_value] - 1];
    if (added->extra && own->how == LS_HOW_PRESET && ls_pair_fails(own) && !ls_pair_fails(added)) {
        added->extra = false; /* the preset knows another model's tail */
        *own = *added;
        d->pair_count--;
    }
    return LOCKSTEP_OK;
}

static bool fits(ls_diff *d, const ls_pair *pair) {
    ls_sight sight;
    lockstep_error why;
    bool kept = ls_node_has_values(&d->reference->nodes[pair->reference_value]) && ls_node_has_values(&d->candidate->nodes[pair->candidate_value]);
    if (!kept || ls_sight_open(d, pair, LS_REORDER_NONE, LS_LAYOUT_VOTED, &sight, &why) != LOCKSTEP_OK)
        return false;
    ls_sight_close(&sight);
    return true;
}

/* Pairs the last value of one side's tail that can be the other side's output with it. */
static lockstep_status pair_tail(ls_diff *d, size_t passes, size_t reference, size_t candidate, const bool *compared_candidate,
                                 bool of_reference, lockstep_error *error) {
    tail t;
    const ls_values *values = of_reference ? &d->reference_values : &d->candidate_values;
    if (!find_tail(values, of_reference ? d->reference_used : compared_candidate, of_reference ? reference : candidate, &t))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    lockstep_status status = LOCKSTEP_OK;
    for (size_t i = t.count; i-- > 0 && !t.weighted;) {
        ls_pair pair = {.how = LS_HOW_OUTPUT, .passes = passes, .reference = reference, .candidate = candidate};
        *(of_reference ? &pair.reference : &pair.candidate) = t.nodes[i];
        pair.reference_value = d->reference_values.value_of[pair.reference];
        pair.candidate_value = d->candidate_values.value_of[pair.candidate];
        pair.extra = d->pair_of[pair.candidate_value] != 0;
        if (t.pooled[i] || picks(&values->trace->nodes[t.nodes[i]]) || !fits(d, &pair))
            continue;
        status = add(d, &pair, error);
        break;
    }
    tail_done(&t);
    return status;
}

lockstep_status ls_outputs_pair(ls_diff *d, lockstep_error *error) {
    if (!d->reference->is_graph || !d->candidate->is_graph || d->options.tensors != NULL || d->options.layers != NULL)
        return LOCKSTEP_OK;
    size_t *of_reference = ls_values_outputs(&d->reference_values, true), *of_candidate = ls_values_outputs(&d->candidate_values, true);
    bool *compared = candidate_compared(d);
    lockstep_status status = of_reference != NULL && of_candidate != NULL && compared != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (size_t i = 0; status == LOCKSTEP_OK && i < d->rows.pair_count; i++) {
        const ls_pass_pair *pp = &d->rows.pairs[i];
        size_t r = of_reference[pp->reference], c = of_candidate[pp->candidate];
        bool silent = pp->rows == NULL && d->rows.status != LS_INPUTS_UNKNOWN;
        if (silent || r == LS_NONE || c == LS_NONE || (d->pair_of[c] != 0 && d->pairs[d->pair_of[c] - 1].passes != i))
            continue;
        if (!d->reference_used[r])
            status = pair_tail(d, i, r, c, compared, true, error);
        else if (d->pair_of[c] == 0)
            status = pair_tail(d, i, r, c, compared, false, error);
    }
    free(of_reference);
    free(of_candidate);
    free(compared);
    return status;
}
