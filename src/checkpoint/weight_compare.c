#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/weight_steps.h"
#include "tensor/dtype.h"
#include "tensor/pages.h"

static lockstep_status refuse(ls_weight_pair *pair, ls_verdict verdict, const char *reason) {
    pair->verdict = verdict;
    pair->reason = reason;
    return LOCKSTEP_OK;
}

static bool keeps_size(lockstep_dtype dtype) { return ls_quality_of(dtype) != NULL && ls_quality_of(dtype)->keeps_size; }

/* One side is quantized, and is not the other times what its type makes of it: from 1 - NMSE (it stands for the middle of what it rounds
 * to it) to 1 (its error is independent of the original). */
static bool has_factor(const ls_weight_pair *pair, lockstep_dtype reference, lockstep_dtype candidate) {
    const double margin = 0.002, certain = 6;
    const ls_metrics *m = &pair->metrics;
    const bool rounded = keeps_size(candidate);
    const double to = rounded ? m->candidate.l2 : m->reference.l2, from = rounded ? m->reference.l2 : m->candidate.l2;
    if (rounded == keeps_size(reference) || ls_dtype(rounded ? reference : candidate)->block_elements > 1 || !(from > 0) || m->elements == 0)
        return false;
    const double factor = m->cosine * to / from, unsure = margin + certain * sqrt(m->nmse / (double)m->elements);
    return factor > 1 + unsure || factor < 1 - m->nmse - unsure;
}

static void judge(ls_weight_pair *pair, lockstep_dtype reference, lockstep_dtype candidate, bool elementwise) {
    const ls_metrics *m = &pair->metrics;
    pair->allowed = ls_quality_allowed(reference, candidate);
    if (m->nan_reference > 0 || m->nan_candidate > 0 || m->nonfinite_differ > 0)
        pair->verdict = LS_VERDICT_NONFINITE;
    else if (m->identical)
        pair->verdict = LS_VERDICT_IDENTICAL;
    else if (m->nmse <= pair->allowed && (!elementwise || m->beyond == 0))
        pair->verdict = has_factor(pair, reference, candidate) ? LS_VERDICT_DIFFERS : LS_VERDICT_MATCH;
    else if (elementwise)
        pair->verdict = LS_VERDICT_DIFFERS;
    else /* half of the energy: more than any working quantizer loses */
        pair->verdict = reference != candidate && m->nmse < 0.5 ? LS_VERDICT_WORSE : LS_VERDICT_DIFFERS;
}

/* Non-contiguous views are read out of order, so their pages are released all at once, at
 * the end. */
static void give_back(const ls_weights *w, int side, size_t tensor) {
    ls_view view;
    if (ls_archive_view(w->sides[side]->archive, tensor, &view, NULL) == LOCKSTEP_OK && ls_view_is_contiguous(&view))
        ls_view_drop(&view, 0, ls_view_elements(&view));
}

/* The changes that the converter's rules made; a reordering of rows as a NumPy expression. */
static void describe_changes(const ls_weight_pair *pair, const ls_view *changed, ls_text *out) {
    for (int i = 0; i < LS_CHANGE_COUNT; i++) {
        unsigned change = pair->changes & 1u << i;
        if (change != 0)
            ls_text_printf(out, "%s%s", out->length > 0 ? ", " : "", ls_weight_change_name(change));
        if (change == LS_CHANGE_ROPE_PAIRS)
            ls_text_printf(out, ": reshape(%llu, 2, %llu, ...).swapaxes(1, 2)", (unsigned long long)changed->shape[0], (unsigned long long)changed->shape[1]);
    }
}

/* tanh and the like differ by a few units in the last place between libraries. */
static const double computed_in_floats = 1e-6;

/* The changes that were made, then how the views were laid out. */
static lockstep_status keep_layout(ls_weights *w, ls_weight_pair *pair, const ls_view *changed, const ls_text *done, lockstep_error *error) {
    ls_text layout = {0};
    describe_changes(pair, changed, &layout);
    if (done->length > 0)
        ls_text_printf(&layout, "%s%s", layout.length > 0 ? ", " : "", done->data);
    pair->layout = layout.length > 0 ? ls_arena_copy(&w->arena, layout.data, layout.length) : NULL;
    bool failed = layout.failed || done->failed || (layout.length > 0 && pair->layout == NULL);
    ls_text_done(&layout);
    return failed ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory") : LOCKSTEP_OK;
}

static lockstep_status compare_views(ls_weights *w, ls_weight_pair *pair, ls_view *reference, ls_view *candidate, lockstep_dtype types[LS_SIDES],
                                     lockstep_error *error) {
    ls_text done = {0};
    ls_view *changed = pair->original == LS_REFERENCE ? reference : candidate, *kept = changed == reference ? candidate : reference;
    bool fits = ls_weight_lay_out(pair, reference, candidate, &done) == LOCKSTEP_OK;
    lockstep_status status = fits ? keep_layout(w, pair, changed, &done, error) : refuse(pair, LS_VERDICT_SHAPE, "the shapes differ");
    ls_text_done(&done);
    if (status != LOCKSTEP_OK || !fits)
        return status;
    ls_compare_options wants = {.hash = true};
    if (kept->rank >= 2 && types[0] != types[1]) /* its axes are those of the file */
        wants.row_length = kept->shape[kept->rank - 1];
    bool elementwise = ls_quality_rounding(types[LS_REFERENCE], types[LS_CANDIDATE], &wants.atol, &wants.rtol);
    if ((pair->changes & ~(unsigned)(LS_CHANGE_TRANSPOSE | LS_CHANGE_ROPE_PAIRS)) != 0)
        wants.rtol += computed_in_floats;
    LS_TRY(ls_compare(reference, candidate, &wants, &pair->metrics, error));
    judge(pair, types[LS_REFERENCE], types[LS_CANDIDATE], elementwise);
    if (reference->codes != NULL || candidate->codes != NULL)
        LS_TRY(ls_weight_judge_codes(pair, (ls_view[LS_SIDES]){*reference, *candidate}, types, error));
    if (pair->verdict > LS_VERDICT_MATCH && pair->region[0] == '\0')
        ls_weight_find_region(pair, reference, candidate, types);
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

static const char codes_trouble[] = "codes of a quantization scheme that is not supported";

/* Only equal bytes under the same scheme count as equal. */
static void judge_codes(const ls_weights *w, ls_weight_pair *pair, const lockstep_dtype types[LS_SIDES]) {
    const ls_weight_label *a = label_of(w, pair, LS_REFERENCE), *b = label_of(w, pair, LS_CANDIDATE);
    if (a->scheme == NULL && b->scheme == NULL)
        return;
    bool same = a->scheme != NULL && b->scheme != NULL && strcmp(a->scheme, b->scheme) == 0 && a->is_codes == b->is_codes &&
                types[LS_REFERENCE] == types[LS_CANDIDATE] && pair->layout == NULL;
    if (!same || pair->verdict != LS_VERDICT_IDENTICAL) {
        pair->padding[LS_REFERENCE] = pair->padding[LS_CANDIDATE] = 0;
        refuse(pair, LS_VERDICT_UNSUPPORTED, codes_trouble);
    }
}

/* Sets bad[side][codes] if something that belongs to the codes is not identical. */
static void mark_bad(const ls_weights *w, bool *bad[LS_SIDES]) {
    for (size_t i = 0; i < w->pair_count; i++)
        for (int side = 0; side < LS_SIDES && w->pairs[i].verdict != LS_VERDICT_IDENTICAL; side++)
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
        if (a->scheme == NULL || b->scheme == NULL) /* already compared, or refused */
            continue;
        if (bad[0] == NULL || bad[1] == NULL || bad[LS_REFERENCE][a->codes] || bad[LS_CANDIDATE][b->codes])
            refuse(&w->pairs[i], LS_VERDICT_UNSUPPORTED, codes_trouble);
    }
    free(bad[0]);
    free(bad[1]);
}

static const char *why_unreadable(const ls_weights *w, const ls_weight_pair *pair) {
    for (int side = 0; side < LS_SIDES; side++) {
        const char *trouble = w->sides[side]->archive->tensors[pair->part[side].tensor].trouble;
        if (trouble != NULL)
            return trouble;
    }
    return "the values of a side can't be decoded";
}

/* A row that is not the reference's, in a tensor that is, but for it. */
static bool has_wrong_row(const ls_weight_pair *pair, const lockstep_dtype types[LS_SIDES]) {
    const ls_row_metrics *rows = &pair->metrics.rows;
    return pair->verdict == LS_VERDICT_MATCH && rows->rows > 1 && (rows->lost > 0 || rows->largest_error_nmse > ls_quality_wrong_row(types[LS_REFERENCE], types[LS_CANDIDATE]));
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
        status = compare_views(w, pair, &values[LS_REFERENCE].view, &values[LS_CANDIDATE].view, types, error);
    else if (status == LOCKSTEP_UNSUPPORTED)
        status = refuse(pair, LS_VERDICT_UNSUPPORTED, why_unreadable(w, pair));
    else if (status == LOCKSTEP_INCOMPARABLE)
        status = refuse(pair, LS_VERDICT_SHAPE, "its rows don't make up whole heads");
    else if (status == LOCKSTEP_TRUNCATED)
        status = refuse(pair, LS_VERDICT_UNSUPPORTED, "a side is truncated");
    if (status == LOCKSTEP_OK)
        judge_codes(w, pair, types);
    for (int side = 0; side < LS_SIDES; side++) {
        free(values[side].owned);
        give_back(w, side, pair->part[side].tensor);
    }
    if (status == LOCKSTEP_OK && (ls_weight_fails(pair) || has_wrong_row(pair, types)) && pair->verdict != LS_VERDICT_UNSUPPORTED)
        ls_weight_find_cause(w, pair);
    return status;
}
