#include "diff/divergence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diff/ascent.h"
#include "diff/excuses.h"
#include "diff/proof.h"

/* ------------------------------------------------------------------ exact inputs */

/* Rounding of one operation in f32: what is computed from identical inputs can't have more. */
#define ONE_OPERATION 1e-5

/* Where everything that a node was computed from is identical, its own operation alone accounts for the
 * difference, and the tolerance for whole models in f32 is far too wide. */
static void judge_exact_inputs(ls_walk *w, bool *exact) {
    bool strict = ls_diff_is_by_precision(w->diff);
    for (size_t i = 0; i < w->graph->node_count; i++) {
        const ls_node *n = &w->graph->nodes[i];
        bool above = !ls_node_is_given_float(n);
        for (size_t k = 0; k <= n->source_count && above; k++)
            above = ls_node_input(n, k) == LS_NONE || exact[ls_node_input(n, k)];
        size_t pair = ls_walk_own_pair(w, i);
        ls_mark *mark = pair != 0 ? &w->marks[pair - 1] : NULL;
        const ls_pair *p = pair != 0 ? &w->diff->pairs.items[pair - 1] : NULL;
        exact[i] = mark != NULL ? mark->verdict == LS_VERDICT_IDENTICAL : above;
        if (mark == NULL || !above || p->is_resynced)
            continue;
        mark->exact_inputs = n->source_count > 0;
        bool angular = (n->kind->traits & LS_OP_ANGULAR) != 0;
        if (strict && mark->exact_inputs && !angular && p->precision == LS_PRECISION_F32 && mark->verdict == LS_VERDICT_MATCH && p->metrics.rel_l2 > ONE_OPERATION) {
            mark->verdict = LS_VERDICT_DIVERGED;
            mark->tolerance = ONE_OPERATION;
        }
    }
}

/* ------------------------------------------------------------------ downstream */

/* An engine that records its tensors one by one has no edges. (The order of files may mean nothing.) */
static bool has_edges(const ls_trace *t) {
    for (size_t i = 0; i < t->node_count; i++)
        if (t->nodes[i].source_count > 0 || t->nodes[i].alias_of != LS_NONE)
            return true;
    return !t->is_graph;
}

/* Without edges, assume that each tensor depends on all earlier ones. */
static void mark_downstream_in_order(ls_walk *w) {
    bool tainted = false;
    for (size_t i = 0; i < w->graph->node_count; i++) {
        size_t pair = ls_walk_pair(w, i);
        if (pair == 0)
            continue;
        ls_mark *mark = &w->marks[pair - 1];
        mark->downstream = tainted && ls_mark_fails(mark);
        tainted = (tainted || ls_mark_fails(mark)) && !w->diff->pairs.items[pair - 1].is_resynced;
    }
}

/* Marks failing pairs that have a failing pair upstream. */
static void mark_downstream(ls_walk *w, bool *tainted) {
    for (size_t i = 0; i < w->graph->node_count; i++) {
        const ls_node *n = &w->graph->nodes[i];
        bool above = false;
        for (size_t k = 0; k <= n->source_count && !above; k++)
            above = ls_node_input(n, k) != LS_NONE && tainted[ls_node_input(n, k)];
        size_t pair = ls_walk_own_pair(w, i);
        tainted[i] = above;
        if (pair == 0)
            continue;
        ls_mark *mark = &w->marks[pair - 1];
        mark->downstream = above && ls_mark_fails(mark);
        /* a pair that agrees again although its inputs differ is judged by itself */
        bool rounding = mark->excuse == LS_EXCUSE_NOISE && above;
        tainted[i] = (ls_mark_fails(mark) || rounding) && !w->diff->pairs.items[pair - 1].is_resynced;
    }
}

/* The final output of a pass may differ by what the kernels' rounding explains, and no more. */
static bool is_output_beyond_noise(const ls_diff *d, const ls_pair *p, const ls_mark *mark) {
    const size_t pass = d->in.candidate.trace->nodes[p->candidate_value].pass;
    return pass != LS_NONE && d->matching.facts[pass].output == p->candidate_value + 1 && !(p->metrics.rel_l2 <= fmax(mark->tolerance, ls_proof_noise(d, pass)));
}

/* A pair by name, of different shapes, says nothing: the reference has the tensor under another name, or has none and the
 * same comes of it (the indices of a padded cache, or what is masked in one). */
static bool is_of_other_shape_by_design(const ls_pair *p, const ls_mark *mark, const ls_replayed *item) {
    return mark->verdict == LS_VERDICT_SHAPE && p->method != LS_METHOD_REPLAY && (item->class == LS_REPLAY_COVERED || item->partner != p->reference);
}

/* Something that is computed from a node was found, or stands in front of what was. */
static bool has_right_reader(const ls_diff *d, size_t node) {
    const ls_trace *t = d->in.candidate.trace;
    const size_t *value_of = d->in.candidate.values.value_of;
    bool any = false;
    for (size_t i = 0; i < t->node_count && !any; i++) {
        const ls_replayed *item = ls_proof_of(d, i);
        for (size_t k = 0; item != NULL && k < t->nodes[i].operand_count && !any; k++)
            any = t->nodes[i].operands[k] != LS_NONE && value_of[t->nodes[i].operands[k]] == value_of[node] && !item->is_origin && (item->class == LS_REPLAY_FOUND || item->class == LS_REPLAY_COVERED);
    }
    return any;
}

/* Whether a pair is none of the program's numbers: scores that the recorder computed, for a cache that is padded; or indices and masks,
 * which are right where what is computed from them is, and may be others where two elements are nearly equal. */
static bool is_beside_numbers(const ls_diff *d, size_t node, const ls_mark *mark, const ls_replayed *item) {
    const ls_node *n = &d->in.candidate.trace->nodes[node];
    const ls_check *check = ls_proof_check(d, node);
    if (mark->verdict == LS_VERDICT_DIVERGED)
        return item == NULL && ls_node_is_integer(n) && check != NULL && check->reason == NULL && check->fault == LS_FAULT_NONE && ls_node_parameter(n, "output") != NULL;
    const bool is_computed_right = !ls_node_is_operation(n) || (check != NULL && check->reason == NULL && check->fault == LS_FAULT_NONE);
    return mark->verdict == LS_VERDICT_SHAPE && (n->is_aside || (item == NULL && ls_node_is_integer(n) && is_computed_right && has_right_reader(d, node)));
}

/* Where each operation was computed: what begins at one, what it hands on, and what is rounding alone. */
static void mark_by_proof(ls_walk *w, bool *tainted) {
    const ls_diff *d = w->diff;
    bool accepted = false; /* something has been so far: what it does to the outputs is not known */
    for (size_t i = 0; i < w->graph->node_count; i++) {
        const ls_node *n = &w->graph->nodes[i];
        const bool begins = ls_proof_is_origin(d, i);
        bool above = false;
        for (size_t k = 0; k <= n->source_count && !above; k++)
            above = ls_node_input(n, k) != LS_NONE && tainted[ls_node_input(n, k)];
        const size_t pair = ls_walk_own_pair(w, i);
        tainted[i] = begins || above;
        if (pair == 0)
            continue;
        ls_mark *mark = &w->marks[pair - 1];
        const ls_pair *p = &d->pairs.items[pair - 1];
        const ls_replayed *item = ls_proof_of(d, i);
        accepted = accepted || (item != NULL && item->is_accepted);
        /* of a covered one, what is computed from it was found, but perhaps not from all of it */
        const bool right = item != NULL && (item->class == LS_REPLAY_FOUND || (item->class == LS_REPLAY_COVERED && (p->metrics.cosine >= 0.9 || mark->verdict == LS_VERDICT_SHAPE)));
        if (begins && !ls_mark_fails(mark)) {
            mark->verdict = LS_VERDICT_DIVERGED;
            mark->excuse = LS_EXCUSE_NONE;
        } else if (!begins && !above && is_beside_numbers(d, i, mark, item)) {
            mark->verdict = LS_VERDICT_EXPLAINED;
            mark->excuse = LS_EXCUSE_REPLAYED;
        } else if (!begins && !above && right &&
                   (is_of_other_shape_by_design(p, mark, item) || (mark->verdict == LS_VERDICT_DIVERGED && (accepted || !is_output_beyond_noise(d, p, mark))))) {
            mark->verdict = LS_VERDICT_EXPLAINED;
            mark->excuse = item->is_accepted ? LS_EXCUSE_ACCEPTED : LS_EXCUSE_REPLAYED;
        }
        mark->downstream = ls_mark_fails(mark) && above && !begins;
        tainted[i] = begins || (above && (ls_mark_fails(mark) || mark->verdict == LS_VERDICT_EXPLAINED || item != NULL)) || (!right && ls_mark_fails(mark));
    }
}

/* Two tensors of the reference have the same values: one is the other times 1, or a copy. */
static bool have_same_values(const ls_trace *reference, size_t a, size_t b) {
    const ls_node *x = &reference->nodes[a], *y = &reference->nodes[b];
    return a == b || (x->xxh3 != 0 && x->xxh3 == y->xxh3 && x->elements == y->elements && strcmp(x->dtype, y->dtype) == 0);
}

/* A pair beside the one that stands for its tensor fails by itself only where that one passes; against the same values, it is what that one is. */
static void mark_extra(const ls_diff *d, ls_mark *marks) {
    for (size_t i = 0; i < d->pairs.count; i++) {
        const ls_pair *p = &d->pairs.items[i];
        const size_t own = p->is_extra ? d->matching.pair_of[p->candidate_value] : 0;
        if (own == 0)
            continue;
        if (marks[own - 1].verdict == LS_VERDICT_EXPLAINED && have_same_values(d->in.reference.trace, p->reference, d->pairs.items[own - 1].reference))
            marks[i] = marks[own - 1];
        marks[i].downstream = ls_mark_fails(&marks[i]) && ls_mark_fails(&marks[own - 1]);
    }
}

static lockstep_status mark(ls_walk *w, lockstep_error *error) {
    bool edges = has_edges(w->graph), *flags = calloc(2 * (w->graph->node_count + 1), sizeof *flags);
    if (flags == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (edges)
        judge_exact_inputs(w, flags);
    lockstep_status status = ls_excuses_mark(w, error);
    if (status == LOCKSTEP_OK && w->diff->is_replayed)
        mark_by_proof(w, flags + w->graph->node_count + 1);
    else if (status == LOCKSTEP_OK && edges)
        mark_downstream(w, flags + w->graph->node_count + 1);
    else if (status == LOCKSTEP_OK)
        mark_downstream_in_order(w);
    if (status == LOCKSTEP_OK)
        mark_extra(w->diff, w->marks);
    free(flags);
    return status;
}

static size_t first_of(const ls_diff *d, const ls_mark *marks) {
    for (size_t i = 0; i < d->pairs.count; i++)
        if (ls_mark_fails(&marks[i]) && ls_mark_is_known(&marks[i]) && !marks[i].downstream)
            return i;
    return LS_NONE;
}

/* ------------------------------------------------------------------ upstream */

static lockstep_status keep(ls_diff *d, const ls_index_list *from, ls_index_list *out) {
    out->items = ls_arena_array(&d->arena, from->count + 1, sizeof *out->items);
    out->count = out->items != NULL ? from->count : 0;
    if (out->items != NULL)
        memcpy(out->items, from->items, from->count * sizeof *out->items);
    return out->items != NULL ? LOCKSTEP_OK : LOCKSTEP_NO_MEMORY;
}

/* Fills in the inputs, the interval and the weights of the first divergence. */
static lockstep_status look_upstream(ls_diff *d, const ls_walk *w, lockstep_error *error) {
    ls_ascent a;
    LS_TRY(ls_ascent_open(w, &a, error));
    ls_ascent_climb(&a, d->result.first);
    bool ok = keep(d, &a.inputs, &d->result.inputs) == LOCKSTEP_OK && keep(d, &a.interval, &d->result.interval) == LOCKSTEP_OK && keep(d, &a.weights, &d->result.weights) == LOCKSTEP_OK;
    ls_ascent_close(&a);
    return ok ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

/* ------------------------------------------------------------------ whole */

static ls_mark *copy_marks(const ls_diff *d) {
    ls_mark *marks = malloc((d->pairs.count + 1) * sizeof *marks);
    for (size_t i = 0; marks != NULL && i < d->pairs.count; i++)
        marks[i] = d->pairs.items[i].mark;
    return marks;
}

static lockstep_status open_marked(const ls_diff *d, ls_walk *out_walk, lockstep_error *error) {
    ls_mark *marks = copy_marks(d);
    lockstep_status status = marks != NULL ? ls_walk_open(d, marks, out_walk, error) : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (status == LOCKSTEP_OK && (status = mark(out_walk, error)) != LOCKSTEP_OK)
        ls_walk_close(out_walk);
    if (status != LOCKSTEP_OK)
        free(marks);
    return status;
}

lockstep_status ls_divergence_mark(const ls_diff *d, ls_mark **out_marks, size_t *out_first, lockstep_error *error) {
    ls_walk w;
    LS_TRY(open_marked(d, &w, error));
    *out_marks = w.marks;
    *out_first = first_of(d, w.marks);
    ls_walk_close(&w);
    return LOCKSTEP_OK;
}

/* What differs, and was excused because some of its rows are right, is checked in all of them. Whether there was any. */
static bool check_all_rows(ls_diff *d, const ls_mark *marks) {
    bool any = false, *wanted = calloc(d->in.candidate.trace->node_count + 1, sizeof *wanted);
    for (size_t i = 0; i < d->pairs.count && wanted != NULL; i++) {
        const size_t node = d->pairs.items[i].candidate_value;
        const ls_check *check = marks[i].excuse == LS_EXCUSE_REPLAYED ? ls_proof_check(d, node) : NULL;
        wanted[node] = check != NULL && check->reason == NULL && check->share < 1;
        any = any || wanted[node];
    }
    if (any)
        ls_verify_all_rows(&d->verification, &d->models, wanted);
    free(wanted);
    return any;
}

lockstep_status ls_divergence_find(ls_diff *d, lockstep_error *error) {
    ls_walk w;
    ls_diff_result *result = &d->result;
    LS_TRY(open_marked(d, &w, error));
    ls_mark *marks = w.marks;
    if (d->is_replayed && check_all_rows(d, marks)) {
        ls_walk_close(&w);
        free(marks);
        LS_TRY(open_marked(d, &w, error));
        marks = w.marks;
    }
    result->failing = result->inputs.count = result->interval.count = result->weights.count = 0;
    result->first = first_of(d, marks);
    for (size_t i = 0; i < d->pairs.count; i++) {
        d->pairs.items[i].mark = marks[i];
        result->failing += ls_mark_fails(&marks[i]) && ls_mark_is_known(&marks[i]);
    }
    if (!result->order_known && result->failing > 1)
        result->first = LS_NONE; /* without an order, only a divergence that is alone is the first */
    lockstep_status status = result->first != LS_NONE ? look_upstream(d, &w, error) : LOCKSTEP_OK;
    ls_walk_close(&w);
    free(marks);
    return status;
}
