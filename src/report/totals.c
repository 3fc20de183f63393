#include "report/totals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/text.h"

static void raise_to(double *most, double value) {
    if (isnan(*most) || value > *most)
        *most = value;
}

static bool is_origin(const ls_pair *p) { return ls_pair_fails(p) && !p->mark.downstream && ls_pair_is_known(p); }

void ls_repeated_origins(const ls_diff *d, bool *repeated) {
    ls_map known = {0};
    ls_text key = {0};
    for (size_t i = 0; i < d->pairs.count; i++) {
        const ls_node *n = &d->in.candidate.trace->nodes[d->pairs.items[i].candidate_value];
        repeated[i] = false;
        if (!is_origin(&d->pairs.items[i]))
            continue;
        ls_text_clear(&key);
        ls_text_printf(&key, "%u/%d/%s/%s", n->occurrence, d->pairs.items[i].is_extra, n->op, n->name);
        uint64_t *seen = key.failed ? NULL : ls_map_at(&known, key.data, key.length);
        repeated[i] = seen != NULL && (*seen)++ > 0;
    }
    ls_map_done(&known);
    ls_text_done(&key);
}

static size_t count_origins(const ls_diff *d) {
    size_t count = 0;
    bool *repeated = calloc(d->pairs.count + 1, sizeof *repeated);
    if (repeated != NULL)
        ls_repeated_origins(d, repeated);
    for (size_t i = 0; i < d->pairs.count; i++)
        count += is_origin(&d->pairs.items[i]) && (repeated == NULL || !repeated[i]);
    free(repeated);
    return count;
}

/* It passes, but would not by the f32 tolerance. */
static bool is_by_gpu(const ls_diff *d, const ls_pair *p) {
    return ls_diff_is_by_precision(d) && p->precision == LS_PRECISION_GPU && p->mark.verdict == LS_VERDICT_MATCH && p->metrics.rel_l2 > ls_precision_classes[LS_PRECISION_F32].rel_l2;
}

ls_totals ls_totals_of(const ls_diff *d) {
    ls_totals t = {.max_abs = NAN, .max_rel = NAN, .mean_cosine = NAN, .before = NAN, .left = NAN};
    t.origins = count_origins(d);
    double cosines = 0;
    size_t cosine_count = 0;
    for (size_t i = 0; i < d->pairs.count; i++) {
        const ls_pair *p = &d->pairs.items[i];
        if (p->mark.verdict >= LS_VERDICT_SHAPE) {
            t.mismatched++;
            continue;
        }
        t.compared++;
        t.within += p->mark.verdict <= LS_VERDICT_MATCH;
        if (is_by_gpu(d, p)) {
            t.by_gpu++;
            t.most_by_gpu = fmax(t.most_by_gpu, p->metrics.rel_l2);
        }
        t.all_excused += p->mark.verdict == LS_VERDICT_EXPLAINED;
        t.excused[p->mark.verdict == LS_VERDICT_EXPLAINED ? p->mark.excuse : LS_EXCUSE_NONE]++;
        t.beyond += ls_pair_fails(p);
        raise_to(&t.max_abs, p->metrics.max_abs);
        raise_to(&t.max_rel, p->metrics.max_rel);
        if (!isnan(p->metrics.cosine)) {
            cosines += p->metrics.cosine;
            cosine_count++;
        }
        if (p->is_resynced) {
            t.resynced++;
            raise_to(&t.before, p->metrics.rel_l2);
            raise_to(&t.left, p->left);
        }
    }
    if (cosine_count > 0)
        t.mean_cosine = cosines / (double)cosine_count;
    return t;
}
