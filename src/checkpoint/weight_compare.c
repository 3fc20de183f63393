#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/weight_steps.h"
#include "tensor/pages.h"

static lockstep_status refuse(ls_weight_pair *pair, ls_weight_verdict verdict, const char *reason) {
    pair->verdict = verdict;
    pair->reason = reason;
    return LOCKSTEP_OK;
}

static void judge(ls_weight_pair *pair, lockstep_dtype reference, lockstep_dtype candidate, bool elementwise) {
    const ls_metrics *m = &pair->metrics;
    pair->allowed = ls_quality_allowed(reference, candidate);
    if (m->nan_reference > 0 || m->nan_candidate > 0 || m->nonfinite_differ > 0)
        pair->verdict = LS_WEIGHT_NONFINITE;
    else if (m->identical)
        pair->verdict = LS_WEIGHT_IDENTICAL;
    else if (m->nmse <= pair->allowed && (!elementwise || m->beyond == 0))
        pair->verdict = LS_WEIGHT_MATCH;
    else if (elementwise)
        pair->verdict = LS_WEIGHT_DIFFERS;
    else /* half of the energy: what no quantizer that works loses */
        pair->verdict = reference != candidate && m->nmse < 0.5 ? LS_WEIGHT_WORSE : LS_WEIGHT_DIFFERS;
}

/* Views that aren't contiguous are read out of order: their pages are given back as a
 * whole, at the end. */
static void give_back(const ls_weights *w, int side, size_t tensor) {
    ls_view view;
    if (ls_archive_view(w->sides[side]->archive, tensor, &view, NULL) == LOCKSTEP_OK && ls_view_is_contiguous(&view))
        ls_view_drop(&view, 0, ls_view_elements(&view));
}

/* NumPy's expression for what was done to the rows. */
static void describe_pairs(char *out, size_t capacity, const ls_view *changed) {
    snprintf(out, capacity, "rope-pairs: reshape(%llu, 2, %llu, ...).swapaxes(1, 2)", (unsigned long long)changed->shape[0],
             (unsigned long long)changed->shape[1]);
}

static void describe_changes(ls_weight_pair *pair, const ls_view *changed) {
    char text[sizeof pair->layout] = "";
    size_t used = 0;
    for (int i = 0; i < LS_CHANGE_COUNT; i++)
        if ((pair->changes & 1u << i) == LS_CHANGE_ROPE_PAIRS) {
            describe_pairs(text, sizeof text, changed);
            used = strlen(text);
        } else if ((pair->changes & 1u << i) != 0 && used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? ", " : "", ls_weight_change_name(1u << i));
    if (used > 0 && pair->layout[0] != '\0')
        snprintf(text + used, used < sizeof text ? sizeof text - used : 0, ", %.60s", pair->layout);
    if (used > 0)
        snprintf(pair->layout, sizeof pair->layout, "%s", text);
}

/* tanh and the like differ by a few units in the last place from library to library. */
static const double computed_in_floats = 1e-6;

static lockstep_status compare_views(ls_weight_pair *pair, ls_view *reference, ls_view *candidate, lockstep_dtype types[LS_SIDES],
                                     lockstep_error *error) {
    if (ls_weight_lay_out(pair, reference, candidate) != LOCKSTEP_OK)
        return refuse(pair, LS_WEIGHT_SHAPE, "the shapes differ");
    ls_compare_options wants = {.hash = true};
    const ls_view *kept = pair->original == LS_REFERENCE ? candidate : reference; /* its axes are as in the file */
    if (kept->rank >= 2 && types[0] != types[1])
        wants.row_length = kept->shape[kept->rank - 1];
    bool elementwise = ls_quality_rounding(types[LS_REFERENCE], types[LS_CANDIDATE], &wants.atol, &wants.rtol);
    if ((pair->changes & ~(unsigned)(LS_CHANGE_TRANSPOSE | LS_CHANGE_ROPE_PAIRS)) != 0)
        wants.rtol += computed_in_floats;
    LS_TRY(ls_compare(reference, candidate, &wants, &pair->metrics, error));
    judge(pair, types[LS_REFERENCE], types[LS_CANDIDATE], elementwise);
    if (pair->verdict > LS_WEIGHT_MATCH)
        ls_weight_find_region(pair, reference, candidate, types);
    describe_changes(pair, pair->original == LS_REFERENCE ? reference : candidate);
    return LOCKSTEP_OK;
}

/* --- codes of quantization schemes */

static const ls_weight_label *label_of(const ls_weights *w, const ls_weight_pair *pair, int side) {
    return &w->labels[side].items[pair->part[side].tensor];
}

const char *ls_weight_scheme(const ls_weights *w, const ls_weight_pair *pair) {
    const char *scheme = label_of(w, pair, LS_CANDIDATE)->scheme;
    return scheme != NULL ? scheme : label_of(w, pair, LS_REFERENCE)->scheme;
}

static const char codes_trouble[] = "codes of a quantization scheme, which is not read";

/* Nothing but equal bytes of one scheme can be said to be equal. */
static void judge_codes(const ls_weights *w, ls_weight_pair *pair, const lockstep_dtype types[LS_SIDES]) {
    const ls_weight_label *a = label_of(w, pair, LS_REFERENCE), *b = label_of(w, pair, LS_CANDIDATE);
    if (a->scheme == NULL && b->scheme == NULL)
        return;
    bool same = a->scheme != NULL && b->scheme != NULL && strcmp(a->scheme, b->scheme) == 0 && a->is_codes == b->is_codes &&
                types[LS_REFERENCE] == types[LS_CANDIDATE] && pair->layout[0] == '\0';
    if (!same || pair->verdict != LS_WEIGHT_IDENTICAL) {
        pair->padding[LS_REFERENCE] = pair->padding[LS_CANDIDATE] = 0;
        refuse(pair, LS_WEIGHT_UNSUPPORTED, codes_trouble);
    }
}

/* Fills bad[side][codes] where something that belongs to the codes is not identical. */
static void mark_bad(const ls_weights *w, bool *bad[LS_SIDES]) {
    for (size_t i = 0; i < w->pair_count; i++)
        for (int side = 0; side < LS_SIDES && w->pairs[i].verdict != LS_WEIGHT_IDENTICAL; side++)
            bad[side][label_of(w, &w->pairs[i], side)->codes] |= label_of(w, &w->pairs[i], side)->scheme != NULL;
    for (int side = 0; side < LS_SIDES; side++)
        for (size_t i = 0; i < w->sides[side]->archive->tensor_count; i++)
            if (!w->paired[side][i] && w->labels[side].items[i].scheme != NULL)
                bad[side][w->labels[side].items[i].codes] = true;
}

void ls_weights_judge_schemes(ls_weights *w) {
    bool *bad[LS_SIDES] = {0};
    for (int side = 0; side < LS_SIDES; side++)
        bad[side] = calloc(w->sides[side]->archive->tensor_count + 1, sizeof *bad[side]);
    if (bad[0] != NULL && bad[1] != NULL)
        mark_bad(w, bad);
    for (size_t i = 0; i < w->pair_count; i++) {
        const ls_weight_label *a = label_of(w, &w->pairs[i], LS_REFERENCE), *b = label_of(w, &w->pairs[i], LS_CANDIDATE);
        if (a->scheme == NULL || b->scheme == NULL) /* compared, or refused already */
            continue;
        if (bad[0] == NULL || bad[1] == NULL || bad[LS_REFERENCE][a->codes] || bad[LS_CANDIDATE][b->codes])
            refuse(&w->pairs[i], LS_WEIGHT_UNSUPPORTED, codes_trouble);
    }
    free(bad[0]);
    free(bad[1]);
}

lockstep_status ls_weights_compare(ls_weights *w, ls_weight_pair *pair, lockstep_error *error) {
    ls_weight_values values[LS_SIDES] = {0};
    lockstep_dtype types[LS_SIDES];
    lockstep_status status = LOCKSTEP_OK;
    for (int side = 0; side < LS_SIDES && status == LOCKSTEP_OK; side++) {
        const ls_tensor *t = &w->sides[side]->archive->tensors[pair->part[side].tensor];
        unsigned changes = side == pair->original ? pair->changes : 0;
        types[side] = t->dtype;
        status = ls_weight_read(w, side, &pair->part[side], changes, ls_weight_heads(w, t->name), &values[side], error);
    }
    if (status == LOCKSTEP_OK)
        status = compare_views(pair, &values[LS_REFERENCE].view, &values[LS_CANDIDATE].view, types, error);
    else if (status == LOCKSTEP_UNSUPPORTED)
        status = refuse(pair, LS_WEIGHT_UNSUPPORTED, "the values of a side can't be decoded");
    else if (status == LOCKSTEP_INCOMPARABLE)
        status = refuse(pair, LS_WEIGHT_SHAPE, "its rows are not those of whole heads");
    else if (status == LOCKSTEP_TRUNCATED)
        status = refuse(pair, LS_WEIGHT_UNSUPPORTED, "a side is truncated");
    if (status == LOCKSTEP_OK)
        judge_codes(w, pair, types);
    for (int side = 0; side < LS_SIDES; side++) {
        free(values[side].owned);
        give_back(w, side, pair->part[side].tensor);
    }
    if (status == LOCKSTEP_OK && ls_weight_fails(pair) && pair->verdict != LS_WEIGHT_UNSUPPORTED)
        status = ls_weight_find_cause(w, pair, error);
    return status;
}

const char *ls_weight_verdict_name(ls_weight_verdict verdict) {
    static const char *const names[] = {"identical", "match", "worse", "differs", "nonfinite", "shape", "unsupported"};
    return names[verdict];
}

const char *ls_weight_method_name(ls_weight_method method) {
    static const char *const names[] = {"name", "preset", "content"};
    return names[method];
}
