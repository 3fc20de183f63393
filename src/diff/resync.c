#include "diff/resync.h"

#include <stdlib.h>
#include <string.h>

#include "match/aligned_pair.h"
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

void *ls_resync_values(ls_diff *d, ls_pair *p, lockstep_dtype engine, uint64_t *out_bytes) {
    ls_aligned_pair aligned;
    ls_metrics metrics;
    if (!is_float(engine) || ls_aligned_pair_open(&d->matching, p, ls_pair_reorder(p), LS_LAYOUT_VOTED, &aligned, NULL) != LOCKSTEP_OK)
        return NULL;
    const ls_view *whole = &aligned.candidate.view;
    uint64_t elements = ls_view_elements(whole);
    size_t bytes = (size_t)elements * ls_dtype(whole->dtype)->block_bytes;
    bool scattered = aligned.layout.gathered[1] != NULL; /* its rows are a copy, which can't be written through */
    uint8_t *copy = is_float(whole->dtype) && !scattered ? malloc(bytes + 1) : NULL;
    if (copy != NULL) {
        ls_view target = aligned.layout.candidate;
        memcpy(copy, whole->data, bytes);
        uint8_t *base = copy + (target.data - whole->data);
        target.data = base;
        overwrite(&aligned.layout.reference, &target, base);
        int64_t origin = (int64_t)((size_t)(base - copy) / ls_dtype(target.dtype)->block_bytes); /* in elements */
        *out_bytes = elements * ls_dtype(engine)->block_bytes;
        copy = convert(copy, whole->dtype, engine, elements);
        target.dtype = engine; /* strides count elements */
        target.data = copy != NULL ? copy + origin * ls_dtype(engine)->block_bytes : NULL;
        if (copy != NULL && ls_compare(&aligned.layout.reference, &target, &(ls_compare_options){0}, &metrics, NULL) == LOCKSTEP_OK) {
            p->is_resynced = true;
            p->left = metrics.rel_l2;
        }
    }
    ls_aligned_pair_close(&aligned);
    return copy;
}
