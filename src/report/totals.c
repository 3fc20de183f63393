#include "report/totals.h"

#include <math.h>

static void raise_to(double *most, double value) {
    if (isnan(*most) || value > *most)
        *most = value;
}

ls_totals ls_totals_of(const ls_diff *d) {
    ls_totals t = {.max_abs = NAN, .max_rel = NAN, .mean_cosine = NAN, .before = NAN, .left = NAN};
    double cosines = 0;
    size_t cosine_count = 0;
    for (size_t i = 0; i < d->pair_count; i++) {
        const ls_pair *p = &d->pairs[i];
        t.origins += ls_pair_fails(p) && !p->consequence;
        if (p->verdict >= LS_VERDICT_SHAPE) {
            t.mismatched++;
            continue;
        }
        t.compared++;
        t.within += !ls_pair_fails(p);
        raise_to(&t.max_abs, p->metrics.max_abs);
        raise_to(&t.max_rel, p->metrics.max_rel);
        if (!isnan(p->metrics.cosine)) {
            cosines += p->metrics.cosine;
            cosine_count++;
        }
        if (p->resynced) {
            t.resynced++;
            raise_to(&t.before, p->metrics.rel_l2);
            raise_to(&t.left, p->left);
        }
    }
    if (cosine_count > 0)
        t.mean_cosine = cosines / (double)cosine_count;
    return t;
}
