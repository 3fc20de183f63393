#include "align/resync.h"

#include <stdlib.h>
#include <string.h>

#include "align/sight.h"
#include "tensor/encode.h"

enum { TILE = 4096 };

static void store(lockstep_dtype dtype, double value, uint8_t *at) {
    float narrow = (float)value;
    uint16_t half = dtype == LOCKSTEP_F16 ? ls_f32_to_f16(narrow) : ls_f32_to_bf16(narrow);
    if (dtype == LOCKSTEP_F64)
        memcpy(at, &value, sizeof value);
    else if (dtype == LOCKSTEP_F32)
        memcpy(at, &narrow, sizeof narrow);
    else
        memcpy(at, &half, sizeof half);
}

static bool is_float(lockstep_dtype dtype) {
    return dtype == LOCKSTEP_F64 || dtype == LOCKSTEP_F32 || dtype == LOCKSTEP_F16 || dtype == LOCKSTEP_BF16;
}

/* Writes the elements of `from` over those of `to`, whose memory starts at `base`. */
static void overwrite(const ls_view *from, const ls_view *to, uint8_t *base) {
    double values[TILE];
    uint64_t elements = ls_view_elements(to), index[LOCKSTEP_MAX_RANK] = {0};
    size_t size = ls_dtype(to->dtype)->block_bytes;
    for (uint64_t done = 0; done < elements;) {
        size_t n = elements - done < TILE ? (size_t)(elements - done) : TILE;
        ls_view_read_f64(from, done, n, values);
        for (size_t k = 0; k < n; k++) {
            int64_t offset = 0;
            for (int i = 0; i < to->rank; i++)
                offset += (int64_t)index[i] * to->strides[i];
            store(to->dtype, values[k], base + offset * (int64_t)size);
            for (int i = to->rank - 1; i >= 0 && ++index[i] == to->shape[i]; i--)
                index[i] = 0;
        }
        done += n;
    }
}

/* The same values in the engine's type. */
static void *convert(uint8_t *stored, lockstep_dtype from, lockstep_dtype to, uint64_t elements) {
    if (from == to)
        return stored;
    size_t size = ls_dtype(to)->block_bytes;
    uint8_t *out = malloc(elements * size + 1);
    ls_view view = {.data = stored, .dtype = from, .rank = 1, .shape = {elements}, .strides = {1}};
    for (uint64_t i = 0; out != NULL && i < elements; i++) {
        double value;
        ls_view_read_f64(&view, i, 1, &value);
        store(to, value, out + i * size);
    }
    free(stored);
    return out;
}

/* Where the elements that a pair is about lie in a whole copy of the candidate's. */
static ls_view within(const ls_sight *sight, lockstep_dtype dtype, uint8_t *copy) {
    ls_view v = sight->layout.candidate; /* strides count elements */
    size_t from = (size_t)(v.data - sight->candidate.view.data) / ls_dtype(v.dtype)->block_bytes;
    v.data = copy + from * ls_dtype(dtype)->block_bytes;
    v.dtype = dtype;
    return v;
}

static bool open_sight(ls_diff *d, const ls_pair *p, ls_sight *out_sight) {
    return p->verdict < LS_VERDICT_SHAPE &&
           ls_sight_open(d, p, p->rule != NULL ? p->rule->reorder : LS_REORDER_NONE, LS_LAYOUT_VOTED, out_sight, NULL) == LOCKSTEP_OK;
}

/* The candidate's own values, with those of the reference over them. */
static uint8_t *copy_over(ls_diff *d, size_t value, lockstep_dtype *out_dtype, uint64_t *out_elements) {
    uint8_t *copy = NULL;
    for (const ls_pair *p = ls_pair_of(d, value); p != NULL; p = ls_pair_next(d, p)) {
        ls_sight sight;
        if (!open_sight(d, p, &sight))
            continue;
        const ls_view *whole = &sight.candidate.view;
        *out_dtype = whole->dtype;
        *out_elements = ls_view_elements(whole);
        size_t bytes = (size_t)*out_elements * ls_dtype(whole->dtype)->block_bytes;
        if (copy == NULL && is_float(whole->dtype) && (copy = malloc(bytes + 1)) != NULL)
            memcpy(copy, whole->data, bytes);
        if (copy != NULL) {
            ls_view target = within(&sight, whole->dtype, copy);
            overwrite(&sight.layout.reference, &target, (uint8_t *)(uintptr_t)target.data);
        }
        ls_sight_close(&sight);
    }
    return copy;
}

/* What of the reference's values the engine's element type can't hold. */
static void measure_left(ls_diff *d, size_t value, lockstep_dtype engine, uint8_t *copy) {
    for (ls_pair *p = ls_pair_of(d, value); p != NULL; p = ls_pair_next(d, p)) {
        ls_sight sight;
        ls_metrics metrics;
        if (!open_sight(d, p, &sight))
            continue;
        ls_view target = within(&sight, engine, copy);
        p->resynced = ls_compare(&sight.layout.reference, &target, &(ls_compare_wants){0}, &metrics, NULL) == LOCKSTEP_OK;
        p->left = p->resynced ? metrics.rel_l2 : 0;
        ls_sight_close(&sight);
    }
}

void *ls_resync_values(ls_diff *d, size_t value, lockstep_dtype engine, uint64_t *out_bytes) {
    lockstep_dtype stored;
    uint64_t elements;
    uint8_t *copy = is_float(engine) ? copy_over(d, value, &stored, &elements) : NULL;
    if (copy == NULL)
        return NULL;
    copy = convert(copy, stored, engine, elements);
    *out_bytes = elements * ls_dtype(engine)->block_bytes;
    if (copy != NULL)
        measure_left(d, value, engine, copy);
    return copy;
}
