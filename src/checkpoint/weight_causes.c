/* Why a weight differs: each trial does something to one side that people and
 * converters do, or forget, and is named when the other side is then the same. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/weight_steps.h"

/* Elements that a trial looks at, and the largest tensor whose elements are changed. */
enum { LOOK = 1 << 16, LARGEST_CHANGED = 1 << 22, IN_PLACE = LS_CHANGE_TRANSPOSE | LS_CHANGE_ROPE_PAIRS };

typedef struct trial {
    ls_weights *w;
    ls_weight_pair *pair;
    double residual; /* the best so far */
    char text[200];
} trial;

/* Good enough to be named: what the types give, or exact up to float's rounding. */
static double limit(const ls_weight_pair *pair) { return fmax(pair->allowed, 1e-12); }

/* A cause has to leave far less than was found. All but the factor have no parameter. */
static bool explains(const ls_weight_pair *pair, double residual) {
    const double far_less = 10;
    bool measured = pair->verdict == LS_WEIGHT_DIFFERS || pair->verdict == LS_WEIGHT_WORSE;
    return residual <= limit(pair) && (!measured || far_less * residual <= pair->metrics.nmse);
}

static void keep(trial *t, double residual, const char *text) {
    if (explains(t->pair, residual) && !(residual >= t->residual)) {
        t->residual = residual;
        snprintf(t->text, sizeof t->text, "%s", text);
    }
}

/* NMSE of up to LOOK leading elements. */
static double nmse_of(const ls_view *reference, const ls_view *candidate) {
    uint64_t count = ls_view_elements(reference);
    size_t n = count < LOOK ? (size_t)count : LOOK;
    double error2 = 0, squares = 0, *r = malloc(2 * LOOK * sizeof *r), *c = r + LOOK;
    if (r == NULL || count != ls_view_elements(candidate)) {
        free(r);
        return NAN;
    }
    ls_view_read_f64(reference, 0, n, r);
    ls_view_read_f64(candidate, 0, n, c);
    for (size_t i = 0; i < n; i++) {
        error2 += (c[i] - r[i]) * (c[i] - r[i]);
        squares += r[i] * r[i];
    }
    free(r);
    return squares == 0 ? NAN : error2 / squares; /* zeros prove nothing */
}

/* --- changes that the preset didn't ask for, or asked for in vain */

static const struct {
    unsigned change;
    const char *text; /* %s: what the other side is */
} change_texts[] = {
    {LS_CHANGE_TRANSPOSE, "the %s is transposed"},
    {LS_CHANGE_ROPE_PAIRS, "the rows of each head of the %s are in the other rotary order (halves, interleaved pairs)"},
    {LS_CHANGE_PLUS_ONE, "the %s is 1 + the other"},
    {LS_CHANGE_TANH, "the %s is tanh of the other"},
    {LS_CHANGE_ONE_MINUS_TANH, "the %s is 1 - tanh of the other"},
    {LS_CHANGE_NEGATIVE_EXP, "the %s is -exp of the other"},
};

static void try_changes(trial *t, int changed, unsigned changes, const char *text) {
    ls_weight_values values[LS_SIDES] = {0};
    lockstep_status status = LOCKSTEP_OK;
    if ((changes & ~(unsigned)IN_PLACE) != 0 && t->w->sides[changed]->archive->tensors[t->pair->part[changed].tensor].elements > LARGEST_CHANGED)
        return;
    for (int side = 0; side < LS_SIDES && status == LOCKSTEP_OK; side++) {
        const char *name = t->w->sides[side]->archive->tensors[t->pair->part[side].tensor].name;
        status = ls_weight_read(t->w, side, &t->pair->part[side], side == changed ? changes : 0, ls_weight_heads(t->w, name),
                                &values[side], NULL);
    }
    if (status == LOCKSTEP_OK && ls_view_elements(&values[0].view) == ls_view_elements(&values[1].view))
        keep(t, nmse_of(&values[0].view, &values[1].view), text);
    for (int side = 0; side < LS_SIDES; side++)
        free(values[side].owned);
}

static void try_all_changes(trial *t) {
    char text[200];
    const ls_weight_pair *pair = t->pair;
    static const char *const names[LS_SIDES] = {"reference", "candidate"};
    if (pair->changes != 0) {
        snprintf(text, sizeof text, "the converter's change (%s) was not done", pair->layout[0] != '\0' ? pair->layout : "see the preset");
        try_changes(t, pair->original, 0, text);
    }
    for (size_t i = 0; i < sizeof change_texts / sizeof *change_texts; i++)
        for (int side = 0; side < LS_SIDES; side++) { /* `side` is changed into the other */
            snprintf(text, sizeof text, change_texts[i].text, names[1 - side]);
            if (pair->changes != change_texts[i].change || side != pair->original)
                try_changes(t, side, change_texts[i].change, text);
        }
    if (pair->changes != 0 && (pair->changes & LS_CHANGE_PLUS_ONE) != 0) { /* done twice */
        ls_weight_values a = {0}, b = {0};
        if (ls_weight_read(t->w, pair->original, &pair->part[pair->original], pair->changes, 0, &a, NULL) == LOCKSTEP_OK &&
            ls_weight_read(t->w, 1 - pair->original, &pair->part[1 - pair->original], 0, 0, &b, NULL) == LOCKSTEP_OK &&
            ls_view_elements(&a.view) == ls_view_elements(&b.view) && a.owned != NULL) {
            for (uint64_t i = 0; i < ls_view_elements(&a.view); i++)
                a.owned[i] += 1;
            keep(t, nmse_of(&a.view, &b.view), "1 was added twice");
        }
        free(a.owned);
        free(b.owned);
    }
}

/* --- one factor, one constant */

static void try_scale(trial *t) {
    const ls_metrics *m = &t->pair->metrics;
    char text[200];
    double atol, rtol;
    bool counted = ls_quality_rounding(t->w->sides[0]->archive->tensors[t->pair->part[0].tensor].dtype,
                                       t->w->sides[1]->archive->tensors[t->pair->part[1].tensor].dtype, &atol, &rtol);
    if (counted && m->beyond < 2)
        return; /* any one value is some factor times another */
    double factor = m->cosine * m->candidate.l2 / m->reference.l2, left = 1 - m->cosine * m->cosine;
    if (m->elements < 8 || !isfinite(factor) || factor == 0 || !isfinite(left))
        return;
    snprintf(text, sizeof text, factor == -1 ? "the candidate is the reference negated" : "the candidate is the reference times %.7g", factor);
    keep(t, left < 0 ? 0 : left, text);
}

/* --- bytes read as another type */

static bool reinterpret(const ls_weights *w, const ls_weight_part *part, int side, lockstep_dtype as, bool swap, ls_view *out) {
    const ls_tensor *tensor = &w->sides[side]->archive->tensors[part->tensor];
    if (part->axis >= 0 || ls_archive_view(w->sides[side]->archive, part->tensor, out, NULL) != LOCKSTEP_OK ||
        !ls_view_is_contiguous(out))
        return false;
    out->dtype = as;
    out->swap = swap;
    out->rank = 1;
    out->shape[0] = tensor->bytes / ls_dtype(as)->block_bytes;
    out->strides[0] = 1;
    return out->shape[0] > 0;
}

static void try_misread(trial *t) {
    static const lockstep_dtype types[] = {LOCKSTEP_F16, LOCKSTEP_BF16, LOCKSTEP_F32, LOCKSTEP_F64, LOCKSTEP_I8, LOCKSTEP_U8};
    static const char *const names[LS_SIDES] = {"reference", "candidate"};
    for (int side = 0; side < LS_SIDES; side++) /* `side` holds the right bytes under the wrong type */
        for (size_t k = 0; k < 2 * sizeof types / sizeof *types; k++) {
            ls_view wrong, right;
            char text[200];
            lockstep_dtype as = types[k / 2], own = t->w->sides[side]->archive->tensors[t->pair->part[side].tensor].dtype;
            bool swap = k % 2 == 1;
            if ((swap && (ls_dtype(as)->block_bytes == 1 || as != own)) || (!swap && as == own) ||
                !reinterpret(t->w, &t->pair->part[side], side, as, swap, &wrong) ||
                ls_archive_view(t->w->sides[1 - side]->archive, t->pair->part[1 - side].tensor, &right, NULL) != LOCKSTEP_OK ||
                !ls_view_is_contiguous(&right))
                continue;
            uint64_t count = ls_view_elements(&right) < wrong.shape[0] ? ls_view_elements(&right) : wrong.shape[0];
            right.rank = 1, right.shape[0] = wrong.shape[0] = count, right.strides[0] = 1;
            if (count < 4)
                continue;
            if (swap)
                snprintf(text, sizeof text, "the bytes of the %s are in the other order", names[side]);
            else
                snprintf(text, sizeof text, "the %s says %s, but its bytes are the other's values as %s", names[side],
                         lockstep_dtype_name(own), lockstep_dtype_name(as));
            keep(t, nmse_of(&right, &wrong), text);
        }
}

lockstep_status ls_weight_find_cause(ls_weights *weights, ls_weight_pair *pair, lockstep_error *error) {
    trial t = {.w = weights, .pair = pair, .residual = INFINITY};
    try_all_changes(&t);
    if (pair->verdict == LS_WEIGHT_DIFFERS || pair->verdict == LS_WEIGHT_WORSE)
        try_scale(&t);
    try_misread(&t);
    if (t.text[0] == '\0')
        return LOCKSTEP_OK;
    pair->cause = ls_arena_copy(&weights->arena, t.text, strlen(t.text));
    pair->residual = t.residual;
    return pair->cause != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}
