/* Why a weight differs: each trial applies to one side a change that people and converters
 * make, or forget, and is named if the two sides then agree. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/fine_tune.h"
#include "checkpoint/weight_steps.h"
#include "quantized/code_grid.h"

/* Elements that a trial looks at, and the largest tensor whose elements are changed. */
enum { LOOK = 1 << 16, LARGEST_CHANGED = 1 << 22, IN_PLACE = LS_CHANGE_TRANSPOSE | LS_CHANGE_ROPE_PAIRS };

typedef struct trial {
    ls_weights *w;
    ls_weight_pair *pair; /* its cause is the best one so far */
} trial;

static const char *const side_names[LS_SIDES] = {"reference", "candidate"};

/* Good enough to be named: within what the types allow, or exact up to float rounding. */
static double limit(const ls_weight_pair *pair) { return fmax(pair->allowed, 1e-12); }

static bool has_codes(const trial *t) {
    bool found = false;
    for (int side = 0; side < LS_SIDES; side++)
        found = found || t->w->sides[side]->archive->tensors[t->pair->part[side].tensor].codes != NULL;
    return found;
}

/* Within what the type allows, but for a factor. Codes may also differ in a few elements. */
static bool differs_by_factor(const trial *t) { return t->pair->verdict == LS_VERDICT_DIFFERS && t->pair->metrics.nmse <= t->pair->allowed && !has_codes(t); }

/* A cause has to leave far less than the original error. None but the factor has a parameter. */
static bool explains(const trial *t, double residual) {
    const double far_less = has_codes(t) ? 5 : 10; /* a zero point that is off by 1 makes the error 13 times as large */
    const ls_weight_pair *pair = t->pair;
    bool measured = (pair->verdict == LS_VERDICT_DIFFERS || pair->verdict == LS_VERDICT_WORSE) && !differs_by_factor(t);
    return residual <= limit(pair) && (!measured || far_less * residual <= pair->metrics.nmse);
}

static void keep(trial *t, double residual, const ls_cause *cause) {
    const double clearly = 0.9; /* among rounded numbers, tanh of small ones is hardly another thing */
    if (!explains(t, residual) || (ls_weight_has_cause(t->pair) && residual >= clearly * t->pair->cause.residual))
        return;
    t->pair->cause = *cause;
    t->pair->cause.residual = residual;
}

/* NMSE of up to LOOK leading elements. `squares_most`: what the squares of the reference add up to at most, or infinite; where the
 * error is then too large to be named, the rest isn't read, and the result is infinite. */
static double nmse_up_to(const ls_view *reference, const ls_view *candidate, double most, double squares_most) {
    enum { TILE = 2048 };
    const uint64_t count = ls_view_elements(reference), all = count < LOOK ? count : LOOK;
    double error2 = 0, squares = 0, r[TILE], c[TILE];
    if (count != ls_view_elements(candidate))
        return NAN;
    for (uint64_t at = 0; at < all; at += TILE) {
        const size_t n = all - at < TILE ? (size_t)(all - at) : TILE;
        ls_view_read_f64(reference, at, n, r);
        ls_view_read_f64(candidate, at, n, c);
        for (size_t i = 0; i < n; i++) {
            error2 += (c[i] - r[i]) * (c[i] - r[i]);
            squares += r[i] * r[i];
        }
        if (error2 > most * squares_most)
            return INFINITY;
    }
    return squares == 0 ? NAN : error2 / squares; /* zeros prove nothing */
}

static double nmse_of(const ls_view *reference, const ls_view *candidate) { return nmse_up_to(reference, candidate, 0, INFINITY); }

/* The same where elements have only changed their places. */
static double nmse_of_moved(const trial *t, const ls_view *reference, const ls_view *candidate) {
    const double slack = 1 + 1e-9, l2 = t->pair->metrics.reference.l2;
    const bool is_known = (t->pair->verdict == LS_VERDICT_DIFFERS || t->pair->verdict == LS_VERDICT_WORSE) && l2 > 0 && isfinite(l2);
    return nmse_up_to(reference, candidate, limit(t->pair), is_known ? l2 * l2 * slack : INFINITY);
}

/* --- changes that were made without a rule, or not made despite one */

static const struct {
    unsigned change;
    const char *id, *sentence; /* {side} is the result of the change */
} change_causes[] = {
    {LS_CHANGE_TRANSPOSE, "transpose", "the {side} is transposed"},
    {LS_CHANGE_ROPE_PAIRS, "rope-interleave", "the rows of each head of the {side} are in the other rotary layout (halves or interleaved pairs)"},
    {LS_CHANGE_PLUS_ONE, "plus-one", "the {side} is 1 + the other"},
    {LS_CHANGE_TANH, "tanh", "the {side} is tanh of the other"},
    {LS_CHANGE_ONE_MINUS_TANH, "one-minus-tanh", "the {side} is 1 - tanh of the other"},
    {LS_CHANGE_NEGATIVE_EXP, "negative-exp", "the {side} is -exp of the other"},
};

static void try_changes(trial *t, int changed, unsigned changes, const ls_cause *cause) {
    ls_weight_values values[LS_SIDES] = {0};
    lockstep_status status = LOCKSTEP_OK;
    if ((changes & ~(unsigned)IN_PLACE) != 0 && t->w->sides[changed]->archive->tensors[t->pair->part[changed].tensor].elements > LARGEST_CHANGED)
        return;
    for (int side = 0; side < LS_SIDES && status == LOCKSTEP_OK; side++) {
        const char *name = t->w->sides[side]->archive->tensors[t->pair->part[side].tensor].name;
        status = ls_weight_read(t->w, side, &t->pair->part[side], side == changed ? changes : 0, ls_weight_heads(t->w, name),
                                &values[side], NULL);
    }
    const bool moved = ((changes | t->pair->changes) & ~(unsigned)IN_PLACE) == 0;
    if (status == LOCKSTEP_OK && ls_view_elements(&values[0].view) == ls_view_elements(&values[1].view))
        keep(t, moved ? nmse_of_moved(t, &values[0].view, &values[1].view) : nmse_of(&values[0].view, &values[1].view), cause);
    for (int side = 0; side < LS_SIDES; side++)
        free(values[side].owned);
}

/* The converter's change that the rules ask for was not made. */
static void try_unchanged(trial *t) {
    const ls_weight_pair *pair = t->pair;
    ls_cause cause = {.id = "not-changed", .sentence = "the converter's change ({change}) was not made"};
    ls_cause_set_text(&cause, "change", pair->layout != NULL ? pair->layout : "see the preset");
    if (pair->changes != 0)
        try_changes(t, pair->original, 0, &cause);
}

/* 1 was added to a norm's weight although it had been added before. */
static void try_added_twice(trial *t) {
    const ls_weight_pair *pair = t->pair;
    ls_weight_values a = {0}, b = {0};
    if ((pair->changes & LS_CHANGE_PLUS_ONE) != 0 &&
        ls_weight_read(t->w, pair->original, &pair->part[pair->original], pair->changes, 0, &a, NULL) == LOCKSTEP_OK &&
        ls_weight_read(t->w, 1 - pair->original, &pair->part[1 - pair->original], 0, 0, &b, NULL) == LOCKSTEP_OK &&
        ls_view_elements(&a.view) == ls_view_elements(&b.view) && a.owned != NULL) {
        for (uint64_t i = 0; i < ls_view_elements(&a.view); i++)
            a.owned[i] += 1;
        keep(t, nmse_of(&a.view, &b.view), &(ls_cause){.id = "plus-two", .sentence = "1 was added twice"});
    }
    free(a.owned);
    free(b.owned);
}

static void try_all_changes(trial *t) {
    try_unchanged(t);
    for (size_t i = 0; i < sizeof change_causes / sizeof *change_causes; i++)
        for (int side = 0; side < LS_SIDES; side++) { /* `side` is changed into the other */
            ls_cause cause = {.id = change_causes[i].id, .sentence = change_causes[i].sentence};
            ls_cause_set_text(&cause, "side", side_names[1 - side]);
            if (t->pair->changes != change_causes[i].change || side != t->pair->original)
                try_changes(t, side, change_causes[i].change, &cause);
        }
    try_added_twice(t);
}

/* --- one factor, one constant */

static void try_scale(trial *t) {
    const ls_metrics *m = &t->pair->metrics;
    ls_cause cause = {.id = "scale", .sentence = "the candidate is the reference times {factor}"};
    double atol, rtol;
    bool counted = ls_quality_rounding(t->w->sides[0]->archive->tensors[t->pair->part[0].tensor].dtype,
                                       t->w->sides[1]->archive->tensors[t->pair->part[1].tensor].dtype, &atol, &rtol);
    if (counted && m->beyond < 2)
        return; /* any value is some factor times any other */
    double factor = m->cosine * m->candidate.l2 / m->reference.l2, left = 1 - m->cosine * m->cosine;
    if (m->elements < 8 || !isfinite(factor) || factor == 0 || !isfinite(left))
        return;
    ls_cause_set_number(&cause, "factor", factor);
    keep(t, left < 0 ? 0 : left, &cause);
}

/* --- bytes read as another type */

static bool reinterpret(const ls_weights *w, const ls_weight_part *part, int side, lockstep_dtype as, bool swap, ls_view *out) {
    const ls_tensor *tensor = &w->sides[side]->archive->tensors[part->tensor];
    if (part->axis >= 0 || ls_archive_view(w->sides[side]->archive, part->tensor, out, NULL) != LOCKSTEP_OK ||
        !ls_view_is_contiguous(out) || out->codes != NULL)
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
    for (int side = 0; side < LS_SIDES; side++) /* `side` holds the right bytes under the wrong type */
        for (size_t k = 0; k < 2 * sizeof types / sizeof *types; k++) {
            ls_view wrong, right;
            ls_cause cause = {.id = "dtype-misread", .sentence = "the {side} says {type}, but its bytes are the other side's values as {bytes}"};
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
                cause = (ls_cause){.id = "byte-order", .sentence = "the {side}'s bytes are in the opposite byte order"};
            ls_cause_set_text(&cause, "side", side_names[side]);
            if (!swap) {
                ls_cause_set_text(&cause, "type", lockstep_dtype_name(own));
                ls_cause_set_text(&cause, "bytes", lockstep_dtype_name(as));
            }
            keep(t, nmse_of(&right, &wrong), &cause);
        }
}

/* --- codes read in another way */

static void try_grid(trial *t, int side, const ls_grid *grid, ls_cause *cause) {
    ls_weight_values values[LS_SIDES] = {0};
    lockstep_status status = LOCKSTEP_OK;
    for (int k = 0; k < LS_SIDES && status == LOCKSTEP_OK; k++) {
        const char *name = t->w->sides[k]->archive->tensors[t->pair->part[k].tensor].name;
        const unsigned changes = k == t->pair->original ? t->pair->changes : 0;
        status = (changes & ~(unsigned)IN_PLACE) == 0 ? ls_weight_read(t->w, k, &t->pair->part[k], changes, ls_weight_heads(t->w, name), &values[k], NULL) : LOCKSTEP_UNSUPPORTED;
    }
    ls_cause_set_text(cause, "side", side_names[side]);
    values[side].view.codes = &grid->codes;
    if (status == LOCKSTEP_OK && ls_view_elements(&values[0].view) == ls_view_elements(&values[1].view))
        keep(t, nmse_of(&values[0].view, &values[1].view), cause);
}

/* Scales that belong to another weight of the same shape. */
static void try_other_scales(trial *t, int side, const ls_codes *codes) {
    enum { TRIED = 64 };
    const lockstep_archive *a = t->w->sides[side]->archive;
    size_t tried = 0;
    for (size_t i = 0; i < a->tensor_count && tried < TRIED; i++) {
        ls_cause cause = {.id = "scales-of-another", .sentence = "the two agree once the {side} is decoded with the scales of {other}"};
        ls_grid grid;
        if (a->tensors[i].codes == NULL || !ls_grid_exchange_scales(codes, a->tensors[i].codes, &grid))
            continue;
        tried++;
        ls_cause_set_text(&cause, "other", a->tensors[i].name);
        try_grid(t, side, &grid, &cause);
    }
}

static void try_codes(trial *t) {
    for (int side = 0; side < LS_SIDES; side++) {
        const ls_codes *codes = t->w->sides[side]->archive->tensors[t->pair->part[side].tensor].codes;
        for (int fault = 0; codes != NULL && fault < LS_GRID_FAULTS; fault++) {
            ls_cause cause = {.id = ls_grid_faults[fault].id, .sentence = ls_grid_faults[fault].sentence};
            ls_grid grid;
            if (ls_grid_undo(codes, fault, &grid))
                try_grid(t, side, &grid, &cause);
        }
        if (codes != NULL && !ls_weight_has_cause(t->pair))
            try_other_scales(t, side, codes);
    }
}

/* Most elements of a large tensor, and all of them little: that is training, not what was done to rows. */
static bool differs_a_little(const ls_weight_pair *pair) {
    enum { LARGE = 1 << 20 };
    return pair->metrics.elements > LARGE && 2 * pair->metrics.beyond > pair->metrics.elements && ls_is_tuned(pair);
}

/* What was done to a few rows, and not to the others, looks like a change that hardly changes those. */
static bool is_of_few_rows(const ls_cause *cause) {
    static const char *const rules[] = {"element", "all-zero", "constant", "row"};
    for (size_t i = 0; cause->id != NULL && i < sizeof rules / sizeof *rules; i++)
        if (strcmp(cause->id, rules[i]) == 0)
            return true;
    return false;
}

static bool differs(const ls_weight_pair *pair) { return pair->verdict == LS_VERDICT_DIFFERS || pair->verdict == LS_VERDICT_WORSE; }

void ls_weight_find_cause(ls_weights *weights, ls_weight_pair *pair) {
    trial t = {.w = weights, .pair = pair};
    if (differs_by_factor(&t)) {
        try_scale(&t);
        return;
    }
    if (!ls_weight_fails(pair) || (differs(pair) && !has_codes(&t) && !differs_a_little(pair)))
        ls_weight_find_rows(weights, pair);
    if (!ls_weight_fails(pair) || is_of_few_rows(&pair->cause))
        return;
    const ls_cause of_rows = pair->cause;
    pair->cause = (ls_cause){0};
    try_all_changes(&t);
    try_codes(&t);
    const bool is_explained = has_codes(&t) && ls_weight_has_cause(pair);
    if (differs(pair) && !is_explained)
        try_scale(&t);
    try_misread(&t);
    if (!ls_weight_has_cause(pair))
        pair->cause = of_rows;
}
