#include "diagnose/diagnose.h"
#include "diff/proof.h"
#include "compare/relative.h"

#include <math.h>
#include <stdlib.h>

typedef struct rule {
    const char *id;
    bool (*fit)(const ls_evidence *evidence, ls_cause *out_cause);
    int free_parameters;
    const char *sentence;
} rule;

#define LS_CAUSE_ROW(id, function, free, sentence) {id, function, free, sentence},
static const rule rules[] = {
#include "diagnose/cause_table.h"
};
#undef LS_CAUSE_ROW

double ls_residual(const double *a, const double *b, size_t count) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        double d = a[i] - b[i];
        if (b[i] - b[i] != 0)
            continue;
        if (d - d != 0)
            return INFINITY; /* a transform that gives no number explains nothing */
        difference += d * d;
        norm += b[i] * b[i];
    }
    return ls_relative_l2(difference, norm);
}

/* By residual, but a simpler rule wins over one that is not clearly better. */
static void insert(ls_diagnosis *d, const ls_cause *cause) {
    size_t at = d->cause_count;
    while (at > 0 && cause->residual < 0.1 * d->causes[at - 1].residual)
        at--;
    if (at == LS_CAUSES_MAX)
        return;
    if (d->cause_count < LS_CAUSES_MAX)
        d->cause_count++;
    for (size_t i = d->cause_count - 1; i > at; i--)
        d->causes[i] = d->causes[i - 1];
    d->causes[at] = *cause;
}

/* Any two numbers are a multiple of each other: a rule that fits as many numbers as it has
 * elements to explain explains nothing. */
static bool has_enough(const ls_evidence *e, const rule *r, ls_cause *out) {
    enum { LEAST = 4 };
    out->free = r->free_parameters == LS_FREE_PER_CHANNEL ? e->channels : (size_t)r->free_parameters;
    out->values = 0;
    for (size_t i = 0; i < e->count; i++)
        out->values += e->reference[i] != e->candidate[i];
    return out->values >= LEAST && out->values > out->free;
}

double ls_evidence_rounding(const ls_evidence *e) {
    const double most = 2.5; /* times what is expected */
    const ls_replayed *item = ls_proof_of(e->diff, e->pair->candidate_value);
    return item != NULL && item->is_origin ? most * item->local.expected : 0;
}

/* What is fitted needs values that are numbers. */
static bool applies(const ls_evidence *e, const rule *r, ls_cause *out) {
    const bool by_itself = r->free_parameters == LS_FREE_PROVEN || (r->free_parameters == LS_FREE_JUDGED && e->pair->mark.verdict != LS_VERDICT_NONFINITE);
    return (by_itself || (e->pair->mark.verdict == LS_VERDICT_DIVERGED && has_enough(e, r, out))) && r->fit(e, out);
}

/* A rule that applies leaves little enough. */
static bool explains(const ls_evidence *e, const rule *r, const ls_cause *cause) {
    const double rounding = ls_evidence_rounding(e);
    return r->free_parameters == LS_FREE_PROVEN || r->free_parameters == LS_FREE_JUDGED || (cause->residual <= fmax(e->pair->mark.tolerance, rounding) &&
                                                    cause->residual < fmax(0.1 * e->pair->metrics.rel_l2, fmin(rounding, 0.25 * e->pair->metrics.rel_l2)));
}

_Static_assert(sizeof rules / sizeof rules[0] <= LS_ATTEMPTS_MAX, "room for an attempt of each rule");

static void try_rules(const ls_evidence *e, ls_diagnosis *out, ls_attempts *out_attempts) {
    for (const rule *r = rules; r < rules + sizeof rules / sizeof rules[0]; r++) {
        ls_cause cause = {.id = r->id, .sentence = r->sentence};
        if (!applies(e, r, &cause))
            continue;
        const bool known = explains(e, r, &cause);
        if (known)
            insert(out, &cause);
        if (out_attempts != NULL)
            out_attempts->items[out_attempts->count++] = (ls_attempt){cause, known};
        if (r->free_parameters == LS_FREE_JUDGED)
            return;
    }
}

/* Whole rows from the beginning, as many as there is room for. */
static size_t evidence_count(const ls_view *candidate, size_t channels) {
    uint64_t elements = ls_view_elements(candidate);
    uint64_t most = LS_EVIDENCE_MAX / channels * channels;
    return (size_t)(elements < most ? elements : most);
}

static lockstep_status look(ls_diff *d, const ls_pair *p, const ls_aligned_pair *aligned, ls_diagnosis *out, ls_attempts *out_attempts, lockstep_error *error) {
    const ls_view *candidate = &aligned->layout.candidate;
    uint64_t innermost = candidate->rank > 0 ? candidate->shape[candidate->rank - 1] : 1;
    size_t channels = innermost > 0 && innermost <= LS_EVIDENCE_MAX ? (size_t)innermost : 1;
    size_t count = evidence_count(candidate, channels);
    double *values = count > 0 ? malloc(3 * count * sizeof *values) : NULL;
    if (values == NULL)
        return count == 0 ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_view_read_f64(&aligned->layout.reference, 0, count, values);
    ls_view_read_f64(candidate, 0, count, values + count);
    for (size_t i = 0; i < count; i++)
        if (values[i] <= p->mask_reference && values[count + i] <= p->mask_candidate)
            values[i] = values[count + i] = 0;
    ls_evidence e = {d, p, aligned, values, values + count, values + 2 * count, count, channels};
    try_rules(&e, out, out_attempts);
    free(values);
    return LOCKSTEP_OK;
}

/* No layout makes one the other's shape: only rules that read the tensors themselves apply. */
static void look_at_shapes(ls_diff *d, const ls_pair *p, ls_diagnosis *out, ls_attempts *out_attempts) {
    const ls_evidence e = {.diff = d, .pair = p};
    for (const rule *r = rules; r < rules + sizeof rules / sizeof rules[0]; r++) {
        ls_cause cause = {.id = r->id, .sentence = r->sentence};
        if (r->free_parameters != LS_FREE_JUDGED || !r->fit(&e, &cause))
            continue;
        insert(out, &cause);
        if (out_attempts != NULL)
            out_attempts->items[out_attempts->count++] = (ls_attempt){cause, true};
    }
}

lockstep_status ls_diagnose_pair(ls_diff *d, const ls_pair *p, ls_diagnosis *out, ls_attempts *out_attempts, lockstep_error *error) {
    *out = (ls_diagnosis){0};
    if (out_attempts != NULL)
        *out_attempts = (ls_attempts){0};
    ls_aligned_pair aligned;
    lockstep_error unreadable;
    if (p->mark.verdict == LS_VERDICT_SHAPE)
        return look_at_shapes(d, p, out, out_attempts), LOCKSTEP_OK;
    if (p->mark.verdict != LS_VERDICT_DIVERGED && p->mark.verdict != LS_VERDICT_NONFINITE)
        return LOCKSTEP_OK;
    const ls_reorder reorder = ls_pair_reorder(p);
    if (ls_aligned_pair_open(&d->matching, p, reorder, LS_LAYOUT_VOTED, &aligned, &unreadable) != LOCKSTEP_OK)
        return LOCKSTEP_OK; /* its verdict says so already */
    ls_find_failing_rows(d, p, &aligned, &out->failing_rows);
    ls_find_failing_places(d, p, &aligned, out);
    lockstep_status status = look(d, p, &aligned, out, out_attempts, error);
    ls_aligned_pair_close(&aligned);
    return status;
}

lockstep_status ls_diagnose(ls_diff *d, ls_diagnosis *out, lockstep_error *error) {
    *out = (ls_diagnosis){0};
    return d->result.first != LS_NONE ? ls_diagnose_pair(d, &d->pairs.items[d->result.first], out, NULL, error) : LOCKSTEP_OK;
}
