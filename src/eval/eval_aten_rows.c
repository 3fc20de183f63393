/* ATen's norms, reductions and ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/aten.h"

/* ------------------------------------------------------------------ norms */

/* What eps is where it is not given: the machine's epsilon of the type in which a row is computed. */
static double eps_of(const ls_evaluation *e, double otherwise) {
    const double *eps = ls_node_parameter(e->node, "eps");
    return eps != NULL ? *eps : isnan(otherwise) ? strcmp(e->node->dtype, "f64") == 0 ? 0x1p-52 : 0x1p-23 : otherwise;
}

/* Multiplies elements by a weight and adds a bias, each of which may be NULL, and has `count` elements of which each is for `inner` elements. */
static bool apply_weights(ls_evaluation *e, uint64_t count, uint64_t inner) {
    const ls_array *weight = e->operands[1], *bias = e->operands[2];
    if ((weight != NULL && weight->elements != count) || (bias != NULL && bias->elements != count))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t at = i / inner % count;
        const double factor = weight != NULL ? weight->values[at] : 1, term = bias != NULL ? bias->values[at] : 0;
        e->out[i] = e->out[i] * factor + term;
        e->scale[i] = e->scale[i] * fabs(factor) + fabs(term);
    }
    return true;
}

/* Elements that are normalized together: the last axes, of the sizes of normalized_shape. */
static bool normalized_size(ls_evaluation *e, uint64_t *out) {
    size_t count;
    const double *sizes = ls_node_list(e->node, "normalized_shape", &count);
    const ls_array *x = e->operands[0];
    *out = 1;
    if (sizes == NULL || count > (size_t)x->rank)
        return ls_eval_misfit(e);
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] != (double)x->shape[(size_t)x->rank - count + i])
            return ls_eval_misfit(e);
        *out *= x->shape[(size_t)x->rank - count + i];
    }
    return *out > 0 || ls_eval_misfit(e);
}

static bool normalize_all(ls_evaluation *e, uint64_t n, double eps) {
    if (!ls_aten_is_result(e, 0))
        return ls_eval_refuse(e, "a result that is not covered");
    for (uint64_t at = 0; at + n <= e->node->elements; at += n)
        ls_eval_normalize(e->node->kind, e->operands[0]->values + at, n, eps, e->out + at, e->scale + at);
    return true;
}

bool ls_aten_norm(ls_evaluation *e) {
    uint64_t n;
    const double otherwise = e->node->kind->id == LS_OP_RMS_NORM ? NAN : 1e-5;
    return ls_eval_has(e, 1) && ls_aten_gives(e, e->operands[0]->elements) && normalized_size(e, &n) && normalize_all(e, n, eps_of(e, otherwise)) && apply_weights(e, n, 1);
}

/* x [n, channels, ..]: channels in groups, each with what follows. */
bool ls_aten_group_norm(ls_evaluation *e) {
    int64_t groups;
    if (!ls_eval_has(e, 1) || !ls_aten_gives(e, e->operands[0]->elements) || !ls_eval_integer(e, "num_groups", 1, INT32_MAX, &groups))
        return false;
    const ls_array *x = e->operands[0];
    const uint64_t channels = x->rank > 1 ? x->shape[1] : 0, each = channels > 0 && x->shape[0] > 0 ? x->elements / x->shape[0] : 0;
    if (each == 0 || channels % (uint64_t)groups != 0)
        return ls_eval_misfit(e);
    return normalize_all(e, each / (uint64_t)groups, eps_of(e, 1e-5)) && apply_weights(e, channels, each / channels);
}

/* Which operands are the weight, the bias, the mean and the variance: a layer's are those that it has. Refuses training, which
 * normalizes by the batch's own. */
static bool batch_slots(ls_evaluation *e, size_t out[4]) {
    const double *affine = ls_node_parameter(e->node, "affine");
    const size_t first = affine != NULL && *affine == 0 ? 1 : 3;
    if (ls_eval_parameter(e, "training", 0) != 0 || ls_eval_parameter(e, "train", 0) != 0)
        return ls_eval_refuse(e, "a norm by the batch's own mean and variance");
    for (size_t i = 0; i < 4; i++)
        out[i] = i < 2 ? (first == 3 ? i + 1 : LS_EVAL_OPERANDS) : first + i - 2;
    return (e->operands[out[2]] != NULL && e->operands[out[3]] != NULL) || ls_eval_misfit(e);
}

/* x [n, channels, ..], normalized by a mean and a variance of each channel that are given. */
bool ls_aten_batch_norm(ls_evaluation *e) {
    size_t slots[4];
    const ls_array *of[4];
    if (!ls_eval_has(e, 1) || !ls_aten_is_result(e, 0) || !ls_aten_gives(e, e->operands[0]->elements) || !batch_slots(e, slots))
        return false;
    const ls_array *x = e->operands[0];
    const uint64_t channels = x->rank > 1 ? x->shape[1] : 0, inner = channels > 0 && x->shape[0] > 0 ? x->elements / x->shape[0] / channels : 0;
    for (int i = 0; i < 4; i++) {
        of[i] = slots[i] < LS_EVAL_OPERANDS ? e->operands[slots[i]] : NULL;
        if (inner == 0 || (of[i] != NULL && of[i]->elements != channels))
            return ls_eval_misfit(e);
    }
    const double eps = eps_of(e, ls_eval_parameter(e, "epsilon", 1e-5));
    for (uint64_t i = 0; i < x->elements; i++) {
        const uint64_t c = i / inner % channels;
        const double factor = (of[0] != NULL ? of[0]->values[c] : 1) / sqrt(of[3]->values[c] + eps), bias = of[1] != NULL ? of[1]->values[c] : 0;
        e->out[i] = (x->values[i] - of[2]->values[c]) * factor + bias;
        e->scale[i] = (fabs(x->values[i]) + fabs(of[2]->values[c])) * fabs(factor) + fabs(bias);
    }
    return true;
}

/* ------------------------------------------------------------------ reductions */

/* Where the result's elements are along the axes of what is reduced: strides of 0 along those that are. */
typedef struct reduction {
    const ls_array *x;
    uint64_t strides[LOCKSTEP_MAX_RANK], each; /* elements of x for each of the result */
} reduction;

/* Without `dim`, or with an empty list, all axes. */
static bool reduced_axes(ls_evaluation *e, const ls_array *x, bool out[LOCKSTEP_MAX_RANK]) {
    size_t count;
    const double *axes = ls_node_list(e->node, "dim", &count);
    for (int i = 0; i < LOCKSTEP_MAX_RANK; i++)
        out[i] = axes == NULL || count == 0;
    for (size_t i = 0; i < count; i++) {
        const double at = axes[i] < 0 ? axes[i] + x->rank : axes[i];
        if (!(at >= 0 && at < x->rank && at == floor(at)))
            return (x->rank == 0 && (axes[i] == 0 || axes[i] == -1)) || ls_eval_refuse(e, "an axis that is out of range");
        out[(int)at] = true;
    }
    return true;
}

static bool reduction_of(ls_evaluation *e, reduction *out) {
    bool reduced[LOCKSTEP_MAX_RANK];
    uint64_t stride = 1;
    *out = (reduction){.each = 1};
    if (!ls_eval_has(e, 1) || !reduced_axes(e, e->operands[0], reduced))
        return false;
    out->x = e->operands[0];
    for (int i = out->x->rank - 1; i >= 0; i--) {
        out->strides[i] = reduced[i] ? 0 : stride;
        *(reduced[i] ? &out->each : &stride) *= out->x->shape[i];
    }
    return ls_aten_gives(e, stride);
}

/* Where the result of an element is. */
static uint64_t result_at(const reduction *r, uint64_t index) {
    uint64_t at = 0;
    for (int i = r->x->rank - 1; i >= 0; i--) {
        at += index % r->x->shape[i] * r->strides[i];
        index /= r->x->shape[i];
    }
    return at;
}

static void sum_up(ls_evaluation *e, const reduction *r, double divisor) {
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = e->scale[i] = 0;
    for (uint64_t i = 0; i < r->x->elements; i++) {
        const uint64_t at = result_at(r, i);
        e->out[at] += r->x->values[i] / divisor;
        e->scale[at] += fabs(r->x->values[i]) / divisor;
    }
}

bool ls_aten_sum(ls_evaluation *e) {
    reduction r;
    if (!reduction_of(e, &r))
        return false;
    sum_up(e, &r, e->node->kind->id == LS_OP_MEAN ? (double)r.each : 1);
    return true;
}

/* The correction of a variance's divisor: 1 unless the program says otherwise. */
static double correction_of(const ls_evaluation *e) {
    return ls_eval_parameter(e, "correction", ls_eval_parameter(e, "unbiased", 1));
}

static bool spread(ls_evaluation *e, const reduction *r) {
    double *mean = malloc((e->node->elements + 1) * sizeof *mean);
    if (mean == NULL)
        return ls_eval_refuse(e, "out of memory");
    memcpy(mean, e->out, e->node->elements * sizeof *mean);
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = 0;
    for (uint64_t i = 0; i < r->x->elements; i++) {
        const uint64_t at = result_at(r, i);
        const double d = r->x->values[i] - mean[at];
        e->out[at] += d * d / fmax(0, (double)r->each - correction_of(e));
    }
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const bool is_root = e->node->kind->id == LS_OP_STD;
        e->scale[i] = is_root ? sqrt(e->out[i]) + fabs(mean[i]) : e->out[i] + fabs(mean[i]) * sqrt(e->out[i]);
        e->out[i] = is_root ? sqrt(e->out[i]) : e->out[i];
    }
    free(mean);
    return true;
}

/* Of two results, the mean is the second. */
bool ls_aten_variance(ls_evaluation *e) {
    reduction r;
    if (!reduction_of(e, &r))
        return false;
    sum_up(e, &r, (double)r.each);
    return ls_aten_is_result(e, 1) || spread(e, &r);
}

/* Whether the second of two values takes the first one's place. */
static bool is_preferred(ls_op_id id, double best, double x) {
    if (isnan(best))
        return false;
    const bool is_least = id == LS_OP_AMIN || id == LS_OP_ARGMIN || id == LS_OP_ALL;
    return isnan(x) || (is_least ? x < best : x > best);
}

/* The extreme elements, or their places along the axis, or among all. */
static bool extremes(ls_evaluation *e, bool places) {
    reduction r;
    size_t count;
    ls_aten_axis axis = {1, 1, 1};
    const bool one_axis = ls_node_list(e->node, "dim", &count) != NULL;
    if (!reduction_of(e, &r) || (places && one_axis && !ls_aten_axis_of(e, r.x, "dim", -1, &axis)))
        return false;
    double *best = malloc((e->node->elements + 1) * sizeof *best);
    for (uint64_t i = 0; best != NULL && i < e->node->elements; i++)
        e->out[i] = NAN; /* none so far */
    for (uint64_t i = 0; best != NULL && i < r.x->elements; i++) {
        const uint64_t at = result_at(&r, i);
        if (!isnan(e->out[at]) && !is_preferred(e->node->kind->id, best[at], r.x->values[i]))
            continue;
        best[at] = r.x->values[i];
        e->out[at] = one_axis ? (double)(i / axis.inner % axis.size) : (double)i;
    }
    for (uint64_t i = 0; best != NULL && i < e->node->elements && !places; i++)
        e->out[i] = isnan(e->out[i]) ? NAN : best[i];
    const bool ok = best != NULL;
    free(best);
    return ok || ls_eval_refuse(e, "out of memory");
}

/* Of two results, the places are the second. */
bool ls_aten_extreme(ls_evaluation *e) { return extremes(e, ls_aten_is_result(e, 1)); }
bool ls_aten_arg_extreme(ls_evaluation *e) { return extremes(e, true); }

/* Any or all of the elements are true: the greatest, or the least, of truth values. */
bool ls_aten_any(ls_evaluation *e) {
    reduction r;
    if (!reduction_of(e, &r))
        return false;
    const bool is_all = e->node->kind->id == LS_OP_ALL;
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = is_all;
    for (uint64_t i = 0; i < r.x->elements; i++)
        if ((r.x->values[i] != 0) != is_all)
            e->out[result_at(&r, i)] = !is_all;
    return true;
}

/* How many elements lie in each of so many parts of a range, whose end belongs to the last. */
bool ls_aten_histc(ls_evaluation *e) {
    const double least = ls_eval_parameter(e, "min", 0), most = ls_eval_parameter(e, "max", 0), bins = (double)e->node->elements;
    if (!ls_eval_has(e, 1) || !ls_aten_must_be(e, "bins", bins))
        return false;
    if (!(least < most))
        return ls_eval_refuse(e, "a parameter that is not covered");
    for (uint64_t i = 0; i < e->node->elements; i++)
        e->out[i] = 0;
    for (uint64_t i = 0; i < e->operands[0]->elements; i++) {
        const double x = e->operands[0]->values[i];
        if (x >= least && x <= most)
            e->out[(uint64_t)fmin(bins - 1, floor((x - least) / (most - least) * bins))]++;
    }
    return true;
}

bool ls_aten_cumsum(ls_evaluation *e) {
    ls_aten_axis axis;
    if (!ls_eval_has(e, 1) || !ls_aten_gives(e, e->operands[0]->elements) || !ls_aten_axis_of(e, e->operands[0], "dim", 0, &axis))
        return false;
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const bool first = i / axis.inner % axis.size == 0;
        e->out[i] = e->operands[0]->values[i] + (first ? 0 : e->out[i - axis.inner]);
        e->scale[i] = fabs(e->operands[0]->values[i]) + (first ? 0 : e->scale[i - axis.inner]);
    }
    return true;
}

/* ------------------------------------------------------------------ ranks */

/* The first `kept` elements along an axis, in order, or where they were. */
static bool sort_along(ls_evaluation *e, const ls_aten_axis *axis, uint64_t kept, double sign, bool places) {
    const double *x = e->operands[0]->values;
    double *row = malloc((axis->size + 1) * sizeof *row), *order = malloc((axis->size + 1) * sizeof *order);
    const bool ok = row != NULL && order != NULL;
    for (uint64_t i = 0; i < axis->outer * axis->inner && ok; i++) {
        const uint64_t from = i / axis->inner * axis->size * axis->inner + i % axis->inner, to = i / axis->inner * kept * axis->inner + i % axis->inner;
        for (uint64_t k = 0; k < axis->size; k++)
            row[k] = x[from + k * axis->inner];
        ls_eval_sort(row, axis->size, sign, order);
        for (uint64_t k = 0; k < kept; k++)
            e->out[to + k * axis->inner] = places ? order[k] : row[(uint64_t)order[k]];
    }
    free(row);
    free(order);
    return ok || ls_eval_refuse(e, "out of memory");
}

/* The elements, then their places. */
bool ls_aten_sort(ls_evaluation *e) {
    ls_aten_axis axis;
    if (!ls_eval_has(e, 1) || !ls_aten_axis_of(e, e->operands[0], "dim", -1, &axis) || !ls_aten_gives(e, e->operands[0]->elements))
        return false;
    return sort_along(e, &axis, axis.size, ls_eval_parameter(e, "descending", 0) != 0 ? -1 : 1, ls_aten_is_result(e, 1));
}

bool ls_aten_top_k(ls_evaluation *e) {
    ls_aten_axis axis;
    int64_t k;
    if (!ls_eval_has(e, 1) || !ls_aten_axis_of(e, e->operands[0], "dim", -1, &axis) || !ls_eval_integer(e, "k", 0, INT32_MAX, &k))
        return false;
    if ((uint64_t)k > axis.size || !ls_aten_gives(e, axis.outer * (uint64_t)k * axis.inner))
        return ls_eval_misfit(e);
    return sort_along(e, &axis, (uint64_t)k, ls_eval_parameter(e, "largest", 1) != 0 ? -1 : 1, ls_aten_is_result(e, 1));
}
