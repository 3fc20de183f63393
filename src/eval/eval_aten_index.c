/* ATen's indexing by tensors: x[:, i, j] and what is written there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/aten.h"

/* Which elements of x are picked: the picked axes, repeated along each other, take the place of the first of them, or stand in
 * front where they are not neighbours. */
typedef struct picks {
    const ls_array *x;
    ls_array indexes[LOCKSTEP_MAX_RANK]; /* per axis of x; without values: all of it */
    ls_aten_broadcast spread[LOCKSTEP_MAX_RANK];
    double *made[LOCKSTEP_MAX_RANK]; /* from flags */
    int made_count, rank, picked_rank, first; /* of the result; of what the indexes give; where that is in the result */
    uint64_t shape[LOCKSTEP_MAX_RANK], count; /* of the result */
} picks;

static void picks_done(picks *p) {
    for (int i = 0; i < p->made_count; i++)
        free(p->made[i]);
}

/* Flags name the places where they are true: an index for each of their axes. */
static bool take_flags(ls_evaluation *e, picks *p, const ls_array *flags, int axis) {
    uint64_t count = 0, at = 0;
    for (uint64_t i = 0; i < flags->elements; i++)
        count += flags->values[i] != 0;
    for (int k = 0; k < flags->rank; k++) {
        double *list = p->made[p->made_count] = malloc((count + 1) * sizeof *list);
        uint64_t inner = 1;
        if (list == NULL)
            return ls_eval_refuse(e, "out of memory");
        p->made_count++;
        for (int i = k + 1; i < flags->rank; i++)
            inner *= flags->shape[i];
        at = 0;
        for (uint64_t i = 0; i < flags->elements; i++)
            if (flags->values[i] != 0)
                list[at++] = (double)(i / inner % flags->shape[k]);
        p->indexes[axis + k] = (ls_array){.rank = 1, .shape = {count}, .elements = count, .values = list};
    }
    return true;
}

/* The operands after x: an index, flags, or nothing, for one axis after another. */
static bool take_indexes(ls_evaluation *e, picks *p, size_t end) {
    int axis = 0;
    for (size_t slot = 1; slot < end; slot++) {
        const ls_array *index = e->operands[slot];
        const int axes = index != NULL && index->is_flags ? index->rank : 1;
        if (axis + axes > p->x->rank || axes == 0)
            return ls_eval_misfit(e);
        if (index != NULL && index->is_flags) {
            for (int k = 0; k < axes; k++)
                if (index->shape[k] != p->x->shape[axis + k])
                    return ls_eval_misfit(e);
            if (!take_flags(e, p, index, axis))
                return false;
        } else if (index != NULL) {
            p->indexes[axis] = *index;
        }
        axis += axes;
    }
    return true;
}

/* The shape that the indexes have together. */
static bool spread_indexes(ls_evaluation *e, picks *p, uint64_t shape[LOCKSTEP_MAX_RANK]) {
    for (int axis = 0; axis < p->x->rank; axis++)
        if (p->indexes[axis].values != NULL && p->indexes[axis].rank > p->picked_rank)
            p->picked_rank = p->indexes[axis].rank;
    for (int i = 0; i < p->picked_rank; i++)
        shape[p->picked_rank - 1 - i] = 1;
    for (int axis = 0; axis < p->x->rank; axis++)
        for (int i = 0; i < p->picked_rank && p->indexes[axis].values != NULL; i++)
            if (ls_array_size(&p->indexes[axis], i) != 1)
                shape[p->picked_rank - 1 - i] = ls_array_size(&p->indexes[axis], i);
    for (int axis = 0; axis < p->x->rank; axis++)
        if (p->indexes[axis].values != NULL && !ls_aten_broadcast_to(&p->indexes[axis], p->picked_rank, shape, &p->spread[axis]))
            return ls_eval_misfit(e);
    return true;
}

static bool are_neighbours(const picks *p) {
    int changes = 0;
    for (int axis = 0; axis < p->x->rank; axis++)
        changes += (p->indexes[axis].values != NULL) != (axis > 0 && p->indexes[axis - 1].values != NULL);
    return changes <= 2;
}

static bool shape_result(ls_evaluation *e, picks *p) {
    uint64_t picked[LOCKSTEP_MAX_RANK];
    bool is_placed = false;
    if (!spread_indexes(e, p, picked))
        return false;
    const bool neighbours = are_neighbours(p);
    for (int axis = neighbours ? 0 : -1; axis < p->x->rank; axis++) {
        const bool here = axis < 0 || p->indexes[axis].values != NULL;
        const int more = !here ? 1 : is_placed ? 0 : p->picked_rank;
        if (p->rank + more > LOCKSTEP_MAX_RANK)
            return ls_eval_misfit(e);
        if (here && !is_placed)
            p->first = p->rank;
        for (int i = 0; i < more; i++)
            p->shape[p->rank++] = here ? picked[i] : p->x->shape[axis];
        is_placed = is_placed || here;
    }
    p->count = 1;
    for (int i = 0; i < p->rank; i++)
        if (__builtin_mul_overflow(p->count, p->shape[i], &p->count))
            return ls_eval_misfit(e);
    return true;
}

/* The operands in [1, end) are indexes. */
static bool picks_of(ls_evaluation *e, size_t end, picks *out) {
    *out = (picks){.x = e->operands[0]};
    return take_indexes(e, out, end) && shape_result(e, out);
}

/* Where in x element `i` of the result is. */
static bool picked(ls_evaluation *e, const picks *p, uint64_t i, uint64_t *out) {
    uint64_t at[LOCKSTEP_MAX_RANK], index = 0;
    for (int k = p->rank - 1; k >= 0; k--) {
        at[k] = i % p->shape[k];
        i /= p->shape[k];
    }
    int next = are_neighbours(p) ? 0 : p->picked_rank;
    for (int axis = 0; axis < p->x->rank; axis++) {
        uint64_t own, offset = 0;
        if (next == p->first && p->indexes[axis].values != NULL && are_neighbours(p))
            next += p->picked_rank;
        for (int k = 0; k < p->picked_rank; k++)
            offset += p->indexes[axis].values != NULL ? at[p->first + k] * p->spread[axis].strides[k] : 0;
        if (p->indexes[axis].values == NULL)
            own = at[next++];
        else if (!ls_aten_index(e, p->indexes[axis].values[offset], p->x->shape[axis], &own))
            return false;
        index = index * p->x->shape[axis] + own;
    }
    *out = index;
    return true;
}

bool ls_aten_index_by(ls_evaluation *e) {
    picks p;
    uint64_t from;
    if (!ls_eval_has(e, 1))
        return false;
    bool ok = picks_of(e, e->node->operand_count, &p) && ls_aten_gives(e, p.count);
    for (uint64_t i = 0; ok && i < p.count; i++) {
        ok = picked(e, &p, i, &from);
        e->out[i] = ok ? p.x->values[from] : NAN;
    }
    picks_done(&p);
    return ok;
}

/* x, with values where the indexes say. The values are the last operand. */
bool ls_aten_index_put(ls_evaluation *e) {
    picks p;
    uint64_t to;
    ls_aten_broadcast values;
    const size_t last = e->node->operand_count;
    if (last < 3 || !ls_eval_has(e, 1) || e->operands[last - 1] == NULL || !ls_aten_gives(e, e->operands[0]->elements))
        return e->reason != NULL ? false : ls_eval_refuse(e, "an operand is missing");
    const bool adds = ls_eval_parameter(e, "accumulate", 0) != 0;
    bool ok = picks_of(e, last - 1, &p) && (ls_aten_broadcast_to(e->operands[last - 1], p.rank, p.shape, &values) || ls_eval_misfit(e));
    memcpy(e->out, e->operands[0]->values, e->node->elements * sizeof *e->out);
    const uint64_t columns = ok && p.rank > 0 ? p.shape[p.rank - 1] : 1;
    ok = ok && ls_eval_affords(e, (double)p.count);
    for (uint64_t i = 0; ok && i < p.count; i++) {
        ok = picked(e, &p, i, &to);
        const double value = ok ? ls_aten_row(&values, p.rank, p.shape, i / columns)[p.rank > 0 ? i % columns * values.strides[p.rank - 1] : 0] : 0;
        if (ok)
            e->out[to] = adds ? e->out[to] + value : value;
    }
    picks_done(&p);
    return ok;
}

/* x, with the elements of a source, one after another, where a mask is true: a picture's rows among those of a text. */
bool ls_aten_masked_scatter(ls_evaluation *e) {
    ls_aten_broadcast x, mask;
    uint64_t taken = 0, i = 0;
    const ls_node *n = e->node;
    const uint64_t columns = n->rank > 0 ? n->shape[n->rank - 1] : 1;
    if (!ls_eval_has(e, 3))
        return false;
    if (!ls_aten_broadcast_to(e->operands[0], n->rank, n->shape, &x) || !ls_aten_broadcast_to(e->operands[1], n->rank, n->shape, &mask))
        return ls_eval_misfit(e);
    const ls_array *source = e->operands[2];
    for (uint64_t row = 0; i < n->elements; row++) {
        const double *own = ls_aten_row(&x, n->rank, n->shape, row), *flags = ls_aten_row(&mask, n->rank, n->shape, row);
        for (uint64_t k = 0; k < columns; k++, i++) {
            const bool is_set = flags[k * mask.strides[n->rank > 0 ? n->rank - 1 : 0]] != 0;
            if (is_set && taken >= source->elements)
                return ls_eval_misfit(e);
            e->out[i] = is_set ? source->values[taken++] : own[k * x.strides[n->rank > 0 ? n->rank - 1 : 0]];
        }
    }
    return true;
}
