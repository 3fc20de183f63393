#include "diff/predictions.h"

#include <math.h>
#include <stdlib.h>

#include "diff/proof.h"
#include "match/aligned_pair.h"

/* The number of tokens in the table that the inputs' tokens are looked up in; 0. */
static uint64_t vocabulary_of(const ls_trace *t) {
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        const bool looks_up = n->kind->id == LS_OP_GET_ROWS && n->operand_count > 1;
        for (size_t slot = 0; looks_up && slot < 2; slot++) { /* ATen and ggml have the table first */
            const size_t table = ls_proof_weight_of(t, n->operands[slot]);
            if (table != LS_NONE && t->nodes[table].rank == 2 && !ls_node_is_integer(&t->nodes[table]))
                return t->nodes[table].shape[0];
        }
    }
    return 0;
}

/* The most likely tokens of a row, best first. Numbers that are none come last. */
static void rank(const double *logits, uint64_t count, int64_t top[LS_PREDICTIONS_TOP]) {
    for (int k = 0; k < LS_PREDICTIONS_TOP; k++) {
        top[k] = -1;
        for (uint64_t i = 0; i < count; i++) {
            bool is_taken = isnan(logits[i]);
            for (int j = 0; j < k && !is_taken; j++)
                is_taken = top[j] == (int64_t)i;
            if (!is_taken && (top[k] < 0 || logits[i] > logits[top[k]]))
                top[k] = (int64_t)i;
        }
    }
}

static bool have_same(const int64_t *a, const int64_t *b) {
    bool all = true;
    for (int i = 0; i < LS_PREDICTIONS_TOP && all; i++) {
        all = false;
        for (int k = 0; k < LS_PREDICTIONS_TOP && !all; k++)
            all = a[i] == b[k];
    }
    return all;
}

static bool has_nan(const double *values, uint64_t count) {
    bool any = false;
    for (uint64_t i = 0; i < count && !any; i++)
        any = isnan(values[i]);
    return any;
}

static void compare_row(const double *reference, const double *candidate, uint64_t count, size_t pass, uint64_t row, ls_predictions *out) {
    int64_t expected[LS_PREDICTIONS_TOP], got[LS_PREDICTIONS_TOP];
    out->rows++;
    if (has_nan(reference, count) || has_nan(candidate, count)) {
        out->nan++;
        return;
    }
    rank(reference, count, expected);
    rank(candidate, count, got);
    out->reordered += !have_same(expected, got);
    if (expected[0] >= 0 && got[0] == expected[0]) {
        const double margin = expected[1] >= 0 ? reference[expected[0]] - reference[expected[1]] : INFINITY;
        out->closest = fmin(out->closest, margin);
        return;
    }
    if (out->changed++ == 0)
        out->first = (ls_changed_prediction){.pass = pass, .row = row, .reference = expected[0], .candidate = got[0], .margin = expected[0] >= 0 && got[0] >= 0 ? reference[expected[0]] - reference[got[0]] : NAN,
                                             .own_margin = expected[0] >= 0 && got[0] >= 0 ? candidate[got[0]] - candidate[expected[0]] : NAN};
}

static void compare_pair(const ls_diff *d, const ls_pair *p, uint64_t vocabulary, ls_predictions *out) {
    ls_aligned_pair aligned;
    lockstep_error why;
    if (ls_aligned_pair_open(&d->matching, p, ls_pair_reorder(p), LS_LAYOUT_VOTED, &aligned, &why) != LOCKSTEP_OK)
        return;
    const ls_view *r = &aligned.layout.reference, *c = &aligned.layout.candidate;
    const bool fits = c->rank > 0 && c->shape[c->rank - 1] == vocabulary && r->shape[r->rank - 1] == vocabulary;
    double *values = fits ? malloc(2 * vocabulary * sizeof *values) : NULL;
    const uint64_t rows = values != NULL ? ls_view_elements(c) / vocabulary : 0;
    for (uint64_t row = 0; row < rows; row++) {
        ls_view_read_f64(r, row * vocabulary, vocabulary, values);
        ls_view_read_f64(c, row * vocabulary, vocabulary, values + vocabulary);
        compare_row(values, values + vocabulary, vocabulary, d->in.candidate.trace->nodes[p->candidate].pass, row, out);
    }
    free(values);
    ls_aligned_pair_close(&aligned);
}

static bool is_output(const ls_diff *d, const ls_pair *p) {
    const size_t pass = d->in.candidate.trace->nodes[p->candidate].pass;
    return pass != LS_NONE && d->matching.facts[pass].output == p->candidate_value + 1;
}

void ls_predictions_compare(const ls_diff *d, ls_predictions *out) {
    const uint64_t vocabulary = vocabulary_of(d->in.candidate.trace), least = LS_PREDICTIONS_TOP + 1;
    *out = (ls_predictions){.closest = INFINITY};
    for (size_t i = 0; i < d->pairs.count && vocabulary >= least; i++) {
        const ls_pair *p = &d->pairs.items[i];
        if (is_output(d, p) && p->mark.verdict < LS_VERDICT_SHAPE)
            compare_pair(d, p, vocabulary, out);
    }
}
