/* Computing a node of the candidate from what its operands stand for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/random_place.h"
#include "eval/places.h"
#include "eval/sampling.h"
#include "eval/some_rows.h"
#include "match/aligned_pair.h"
#include "match/picture_node.h"
#include "replay/replayer.h"
#include "tensor/dtype.h"
#include "tensor/rounding.h"

#define DECODED_MAX ((uint64_t)1 << 25) /* elements of decoded weights that are kept */
#define NOTHING_WRITTEN "parts of a cache that were never written in the trace"

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
        const size_t count = ls_replayer_holders(w, node, holders);
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

/* What the program was given is the reference's, as everything is, where that was given it, too: what is computed from it is judged by
 * itself. Without pairs, it is what was recorded. */
static bool read_input(ls_replayer *w, size_t node, ls_array *out, const char **out_reason) {
    const size_t at = w->m != NULL ? w->m->pair_of[node] : 0;
    const ls_pair *pair = at != 0 ? &w->m->pairs->items[at - 1] : NULL;
    ls_aligned_pair aligned;
    if (pair == NULL || (pair->method != LS_METHOD_INPUT && !ls_node_is_picture(&w->candidate->nodes[node])) || ls_aligned_pair_open(w->m, pair, LS_REORDER_NONE, LS_LAYOUT_LEARN, &aligned, NULL) != LOCKSTEP_OK)
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
static const ls_node *node_of_base(const ls_replayer *w, size_t operand) { return &w->candidate->nodes[ls_replayer_base(w, operand)]; }

/* Follows views from an operand to what it lies in, and back. */
static bool read_through(ls_replayer *w, size_t operand, size_t base, const double *values, ls_array *out, const char **out_reason) {
    const ls_node *n = &w->candidate->nodes[operand];
    const size_t next = operand != base ? ls_replayer_behind(w->candidate, operand) : LS_NONE;
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
    const size_t base = ls_replayer_base(w, operand), holder = ls_replayer_holder(w, operand, now);
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
    if (ls_replayer_holder(w, n->operands[0], node) != LS_NONE)
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
    const size_t last = ls_replayer_last_write(w, node, node), before = last != LS_NONE && !was_left_out(w, last) ? last : LS_NONE;
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
