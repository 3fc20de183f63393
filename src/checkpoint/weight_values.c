/* Reads a weight as a converter would have written it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/weight_steps.h"
#include "tensor/slice.h"

uint64_t ls_weight_heads(const ls_weights *weights, const char *name) {
    bool keys = strstr(name, "attn_k") != NULL || strstr(name, "k_proj") != NULL || strstr(name, ".key") != NULL;
    return weights->heads[keys ? 1 : 0];
}

/* A part as a NumPy slice: "3", "64:128", ":, 0:64:2". */
static void put_slice(const ls_weight_part *part, char out[80]) {
    const uint64_t step = part->step > 1 ? part->step : 1;
    size_t used = (size_t)snprintf(out, 80, "%s%llu", part->axis == 1 ? ":, " : "", (unsigned long long)part->first);
    if (!part->index)
        used += (size_t)snprintf(out + used, 80 - used, ":%llu", (unsigned long long)(part->first + part->count * step));
    if (step > 1)
        snprintf(out + used, 80 - used, ":%llu", (unsigned long long)step);
}

void ls_weight_title(const ls_weights *weights, int side, const ls_weight_part *part, char *out, size_t capacity) {
    const char *name = weights->sides[side]->archive->tensors[part->tensor].name;
    char slice[80], groups[60] = "";
    put_slice(part, slice);
    if (part->groups > 0)
        snprintf(groups, sizeof groups, ".reshape(%llu, -1, ...)", (unsigned long long)part->groups);
    if (part->axis < 0)
        snprintf(out, capacity, "%s", name);
    else
        snprintf(out, capacity, "%s%s[%s]", name, groups, slice);
}

static bool transpose(ls_view *v) {
    if (v->rank < 2)
        return true;
    int a = v->rank - 2, b = v->rank - 1;
    uint64_t size = v->shape[a];
    int64_t stride = v->strides[a];
    v->shape[a] = v->shape[b], v->strides[a] = v->strides[b];
    v->shape[b] = size, v->strides[b] = stride;
    return true;
}

/* Rows become [groups, rows of a group]. */
static bool divide_rows(ls_view *v, uint64_t groups) {
    if (v->rank < 1 || v->rank + 1 > LOCKSTEP_MAX_RANK || groups == 0 || v->shape[0] % groups != 0)
        return false;
    memmove(v->shape + 1, v->shape, (size_t)v->rank * sizeof *v->shape);
    memmove(v->strides + 1, v->strides, (size_t)v->rank * sizeof *v->strides);
    v->shape[0] = groups, v->shape[1] /= groups;
    v->strides[0] = v->strides[1] * (int64_t)v->shape[1];
    v->rank++;
    return true;
}

/* Rows [heads, 2, half] become [heads, half, 2]; the axes are left split. */
static bool rope_pairs(ls_view *v, uint64_t heads) {
    if (v->rank < 1 || v->rank + 2 > LOCKSTEP_MAX_RANK || heads == 0 || v->shape[0] % (2 * heads) != 0)
        return false;
    uint64_t half = v->shape[0] / heads / 2;
    int64_t row = v->strides[0];
    memmove(v->shape + 3, v->shape + 1, (size_t)(v->rank - 1) * sizeof *v->shape);
    memmove(v->strides + 3, v->strides + 1, (size_t)(v->rank - 1) * sizeof *v->strides);
    v->shape[0] = heads, v->strides[0] = row * (int64_t)(2 * half);
    v->shape[1] = half, v->strides[1] = row;
    v->shape[2] = 2, v->strides[2] = row * (int64_t)half;
    v->rank += 2;
    return true;
}

static float apply(unsigned change, float x) {
    switch (change) {
    case LS_CHANGE_PLUS_ONE: return x + 1;
    case LS_CHANGE_TANH: return (float)tanh((double)x);
    case LS_CHANGE_ONE_MINUS_TANH: return (float)(1 - tanh((double)x));
    default: return (float)-exp((double)x);
    }
}

enum { ELEMENTWISE = LS_CHANGE_PLUS_ONE | LS_CHANGE_TANH | LS_CHANGE_ONE_MINUS_TANH | LS_CHANGE_NEGATIVE_EXP };

static lockstep_status map_elements(ls_weight_values *values, unsigned changes, lockstep_error *error) {
    ls_view *v = &values->view;
    uint64_t count = ls_view_elements(v);
    float *copy = count <= SIZE_MAX / sizeof *copy ? malloc((size_t)count * sizeof *copy + 1) : NULL;
    if (copy == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_view_read_f32(v, 0, (size_t)count, copy);
    for (unsigned change = 1; change <= changes; change <<= 1)
        for (uint64_t i = 0; (changes & change & ELEMENTWISE) != 0 && i < count; i++)
            copy[i] = apply(change, copy[i]);
    values->owned = copy;
    v->data = (const uint8_t *)copy;
    v->dtype = LOCKSTEP_F32;
    v->codes = NULL;
    v->swap = v->mapped = false;
    v->origin = 0;
    v->factor = 0;
    ls_view_set_contiguous(v);
    return LOCKSTEP_OK;
}

/* NVFP4 stores the scale of a whole tensor (or of each expert, if they are stacked) in a
 * separate tensor: NAME.scale beside NAME.weight, or NAME.weight.scale. A scale of 1 is
 * not stored. */
static lockstep_status apply_scale(const lockstep_archive *a, const ls_weight_part *part, ls_view *view, lockstep_error *error) {
    static const char *const suffixes[] = {".scale", "_scale", ".weight.scale", ".weight_scale"};
    const char *name = a->tensors[part->tensor].name;
    size_t stem = strlen(name) - (strlen(name) > 7 && strcmp(name + strlen(name) - 7, ".weight") == 0 ? 7 : 0);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char scale[300];
        snprintf(scale, sizeof scale, "%.*s%s", (int)stem, name, suffixes[i]);
        size_t found = ls_archive_find(a, scale);
        uint64_t at = part->index ? part->first : 0;
        double value;
        if (found == SIZE_MAX || (a->tensors[found].elements != 1 && !(part->index && a->tensors[found].elements > at)))
            continue;
        LS_TRY(lockstep_archive_read(a, found, a->tensors[found].elements == 1 ? 0 : at, 1, &value, error));
        view->factor = (float)value;
        return LOCKSTEP_OK;
    }
    return LOCKSTEP_OK;
}

/* A transposition comes before dividing and slicing: parts are counted along the result's axes. */
lockstep_status ls_weight_read(const ls_weights *weights, int side, const ls_weight_part *part, unsigned changes,
                               uint64_t heads, ls_weight_values *out_values, lockstep_error *error) {
    ls_weight_values values = {0};
    LS_TRY(ls_archive_view(weights->sides[side]->archive, part->tensor, &values.view, error));
    if (values.view.dtype == LOCKSTEP_NVFP4)
        LS_TRY(apply_scale(weights->sides[side]->archive, part, &values.view, error));
    if ((changes & LS_CHANGE_TRANSPOSE) != 0)
        transpose(&values.view);
    if (part->groups > 0 && !divide_rows(&values.view, part->groups))
        return ls_fail(error, LOCKSTEP_INCOMPARABLE, "its rows can't be divided into %llu groups", (unsigned long long)part->groups);
    if (part->axis >= 0) {
        char slice[80];
        put_slice(part, slice);
        LS_TRY(ls_view_slice(&values.view, slice, error));
    }
    if ((changes & LS_CHANGE_ROPE_PAIRS) != 0 && !rope_pairs(&values.view, heads))
        return ls_fail(error, LOCKSTEP_INCOMPARABLE, "its rows can't be divided into %llu heads", (unsigned long long)heads);
    if ((changes & ELEMENTWISE) != 0)
        LS_TRY(map_elements(&values, changes, error));
    *out_values = values;
    return LOCKSTEP_OK;
}

/* --- layouts */

/* Without axes of 1. */
static int squeezed(const ls_view *v, uint64_t shape[LOCKSTEP_MAX_RANK]) {
    int rank = 0;
    for (int i = 0; i < v->rank; i++)
        if (v->shape[i] != 1)
            shape[rank++] = v->shape[i];
    return rank;
}

static bool is_padded(const ls_view *a, const ls_view *b) {
    if (a->rank != b->rank || a->rank < 1 || a->shape[0] == b->shape[0])
        return false;
    return memcmp(a->shape + 1, b->shape + 1, (size_t)(a->rank - 1) * sizeof *a->shape) == 0;
}

static bool all_zero(const ls_view *v, uint64_t first, uint64_t count) {
    enum { TILE = 1024 };
    float tile[TILE];
    for (uint64_t at = 0; at < count; at += TILE) {
        size_t n = count - at < TILE ? (size_t)(count - at) : TILE;
        ls_view_read_f32(v, first + at, n, tile);
        for (size_t i = 0; i < n; i++)
            if (tile[i] != 0)
                return false;
    }
    return true;
}

/* Rows that only one side has are left out. */
static void crop(ls_weight_pair *pair, ls_view *sides[LS_SIDES], ls_text *layout) {
    uint64_t rows = sides[0]->shape[0] < sides[1]->shape[0] ? sides[0]->shape[0] : sides[1]->shape[0];
    for (int side = 0; side < LS_SIDES; side++) {
        ls_view *v = sides[side];
        pair->padding[side] = v->shape[0] - rows;
        uint64_t row = v->shape[0] > 0 ? ls_view_elements(v) / v->shape[0] : 0;
        pair->padding_zero[side] = pair->padding[side] > 0 && all_zero(v, rows * row, pair->padding[side] * row);
        v->shape[0] = rows;
    }
    int longer = pair->padding[LS_REFERENCE] > 0 ? LS_REFERENCE : LS_CANDIDATE;
    ls_text_printf(layout, "%llu more rows in the %s%s left out", (unsigned long long)pair->padding[longer],
                   longer == LS_REFERENCE ? "reference" : "candidate", pair->padding_zero[longer] ? " (all zero)" : "");
}

lockstep_status ls_weight_lay_out(ls_weight_pair *pair, ls_view *reference, ls_view *candidate, ls_text *layout) {
    uint64_t a[LOCKSTEP_MAX_RANK], b[LOCKSTEP_MAX_RANK];
    int rank_a = squeezed(reference, a), rank_b = squeezed(candidate, b);
    if (rank_a == rank_b && memcmp(a, b, (size_t)rank_a * sizeof *a) == 0)
        return LOCKSTEP_OK;
    if (ls_view_elements(reference) == ls_view_elements(candidate)) {
        if ((pair->changes & LS_CHANGE_ROPE_PAIRS) != 0)
            return LOCKSTEP_OK; /* its axes have been split */
        if (rank_a == 2 && rank_b == 2)
            return LOCKSTEP_INCOMPARABLE; /* transposed: only a rule, or the values, can decide that */
        ls_text_printf(layout, "reshaped");
        return LOCKSTEP_OK;
    }
    if (!is_padded(reference, candidate))
        return LOCKSTEP_INCOMPARABLE;
    ls_view *sides[LS_SIDES] = {reference, candidate};
    crop(pair, sides, layout);
    return LOCKSTEP_OK;
}
