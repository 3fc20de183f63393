#include "align/conclusion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_float(const char *dtype) { return *dtype != 'i' && *dtype != 'u' && strcmp(dtype, "bool") != 0; }

/* A KV cache's padding is not counted. */
static uint64_t counted(const ls_diff *d, size_t node) {
    const ls_node *n = &d->candidate->nodes[node];
    const ls_columns *c = &d->candidate_columns[node];
    return c->padded != 0 ? n->elements / c->padded * c->count : n->elements;
}

/* Integers (token ids, positions) count only where there is nothing else. */
static double measure_share(const ls_diff *d, bool integers) {
    double covered = 0, total = 0;
    for (size_t i = 0; i < d->pair_count; i++)
        if (integers || is_float(d->candidate->nodes[d->pairs[i].candidate_value].dtype)) {
            covered += (double)d->pairs[i].elements;
            total += (double)counted(d, d->pairs[i].candidate_value);
        }
    for (size_t i = 0; i < d->candidate->node_count; i++) {
        if (d->implied_by[i] == 0 || d->pair_of[i] != 0)
            continue;
        total += (double)counted(d, i);
        if (d->pairs[d->implied_by[i] - 1].verdict < LS_VERDICT_SHAPE)
            covered += (double)counted(d, i);
    }
    for (size_t i = 0; i < d->candidate_only_count; i++)
        if (integers || is_float(d->candidate->nodes[d->candidate_only[i]].dtype))
            total += (double)counted(d, d->candidate_only[i]);
    if (total == 0)
        return integers ? 0 : measure_share(d, true);
    return covered < total ? covered / total : 1;
}

/* Final outputs that were not compared; NULL for none. */
typedef struct left_out {
    const char *candidate, *reference;
    bool goes_on; /* the reference's is more than a pooling or scaling of what was compared */
} left_out;

static const char *candidate_left_out(const ls_diff *d, const size_t *outputs) {
    for (size_t i = 0; i < d->rows.pair_count; i++) {
        if (d->rows.pairs[i].rows == NULL && d->rows.status != LS_INPUTS_UNKNOWN)
            continue; /* a pass without tokens among those with: an encoder, or a cache that is moved */
        size_t last = outputs[d->rows.pairs[i].candidate];
        if (last != LS_NONE && (d->pair_of[last] == 0 || d->pairs[d->pair_of[last] - 1].verdict >= LS_VERDICT_SHAPE))
            return d->candidate->nodes[last].name;
    }
    return NULL;
}

/* Passes without tokens that only one side has; or NULL. */
static const char *passes_alone(const ls_diff *d, char *out, size_t capacity) {
    const ls_rows *r = &d->rows;
    if (r->reference_alone + r->candidate_alone == 0)
        return NULL;
    snprintf(out, capacity, "%zu passes of the reference and %zu of the candidate, without token ids, have no partner", r->reference_alone, r->candidate_alone);
    return out;
}

/* On the way to this value from what was compared, a weight takes part, or the way is
 * not known: it is no mere pooling or scaling of the result. */
static bool takes_a_weight(const ls_diff *d, size_t last) {
    enum { LOOKED_AT = 4096 };
    size_t stack[LOOKED_AT], depth = 0, looked = 0;
    stack[depth++] = last;
    while (depth > 0) {
        size_t value = d->reference_values.value_of[stack[--depth]];
        const ls_node *n = &d->reference->nodes[value];
        if (d->reference_used[value] || n->role == LS_ROLE_INPUT)
            continue;
        if (n->role == LS_ROLE_WEIGHT || n->source_count == 0 || ++looked == LOOKED_AT || depth + n->source_count > LOOKED_AT)
            return true;
        for (size_t k = 0; k < n->source_count; k++)
            stack[depth++] = n->sources[k];
    }
    return false;
}

/* A candidate may record only a part of what it computes. */
static const char *reference_left_out(const ls_diff *d, const size_t *outputs, bool *out_goes_on) {
    if (d->options.tensors != NULL || d->options.layers != NULL)
        return NULL; /* only a part was to be compared */
    for (size_t i = 0; i < d->rows.pair_count; i++) {
        size_t last = outputs[d->rows.pairs[i].reference];
        bool silent = d->rows.pairs[i].rows == NULL && d->rows.status != LS_INPUTS_UNKNOWN;
        bool kept = last != LS_NONE && (ls_node_has_values(&d->reference->nodes[last]) || d->reference->nodes[last].lost != NULL);
        if (!silent && kept && !d->reference_used[last]) {
            *out_goes_on = takes_a_weight(d, last);
            return d->reference->nodes[last].name;
        }
    }
    return NULL;
}

static void refuse(ls_diff *d, ls_outcome outcome, const char *format, const char *detail) {
    d->outcome = outcome;
    ls_text_printf(&d->why, format, detail);
}

static bool has_values(const ls_values *v) {
    for (size_t i = 0; i < v->trace->node_count; i++)
        if (ls_values_is_own(v, i) && ls_node_has_values(&v->trace->nodes[i]))
            return true;
    return false;
}

static void decide(ls_diff *d, const left_out *outputs) {
    char text[160], passes[160];
    bool plain = !d->reference->is_graph || !d->candidate->is_graph;
    const char *alone = passes_alone(d, passes, sizeof passes);
    const ls_trace *empty = !has_values(&d->reference_values)   ? d->reference
                            : !has_values(&d->candidate_values) ? d->candidate
                                                                : NULL;
    if (empty != NULL) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "%s holds the values of no tensor", empty->path);
    } else if (d->rows.status == LS_INPUTS_DIFFER) {
        refuse(d, LS_OUTCOME_INPUTS_DIFFER, "%s", d->rows.message.data != NULL ? d->rows.message.data : "inputs differ");
    } else if (d->pair_count == 0) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "%s", "no tensor of the candidate could be paired with one of the reference");
    } else if (d->first != LS_NONE) {
        d->outcome = LS_OUTCOME_DIVERGED;
    } else if (d->rows.status == LS_INPUTS_PARTIAL) {
        refuse(d, LS_OUTCOME_INPUTS_DIFFER, "%s", d->rows.message.data != NULL ? d->rows.message.data : "inputs differ");
    } else if (!d->reference->complete || !d->candidate->complete) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "%s: the recording is incomplete; what there is matches",
               d->reference->complete ? d->candidate->path : d->reference->path);
    } else if (plain && d->reference_only_count + d->candidate_only_count > 0) {
        snprintf(text, sizeof text, "%zu tensors are in the reference only, %zu in the candidate only", d->reference_only_count,
                 d->candidate_only_count);
        refuse(d, LS_OUTCOME_DIVERGED, "%s; those in both match", text);
    } else if (!plain && alone != NULL) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "%s; what was compared matches", alone);
    } else if (!plain && outputs->candidate != NULL) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "the final output %s was not compared; what was compared matches", outputs->candidate);
    } else if (!plain && outputs->reference != NULL && outputs->goes_on) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "the reference's final output %s was not compared; what was compared matches", outputs->reference);
    } else if (d->coverage < d->options.min_coverage) {
        snprintf(text, sizeof text, "%.1f %% of the candidate's elements were compared, less than the %.1f %% wanted",
                 100 * d->coverage, 100 * d->options.min_coverage);
        refuse(d, LS_OUTCOME_INCOMPARABLE, "%s", text);
    } else {
        d->outcome = LS_OUTCOME_MATCH;
    }
}

/* What these inputs can't reveal. */
static void add_hints(ls_diff *d, const left_out *outputs) {
    size_t most = 0;
    int32_t furthest = 0;
    for (size_t i = 0; i < d->rows.pair_count; i++) {
        const ls_pass *p = &d->candidate->passes[d->rows.pairs[i].candidate];
        most = p->rows > most ? p->rows : most;
        for (size_t r = 0; p->positions != NULL && r < p->rows; r++)
            furthest = p->positions[r] > furthest ? p->positions[r] : furthest;
    }
    if (most > 0 && furthest == 0)
        ls_text_printf(&d->hints, "one token at position 0 can't show a fault of RoPE, the mask or the softmax: try a longer prompt\n");
    const ls_trace *traces[2] = {d->reference, d->candidate};
    for (int k = 0; k < 2; k++) {
        if (!traces[k]->complete)
            ls_text_printf(&d->hints, "%s is incomplete: its run did not end well\n", traces[k]->path);
        for (size_t i = 0; i < traces[k]->note_count && i < 5; i++) {
            ls_text_printf(&d->hints, "%s says: ", traces[k]->path);
            for (const char *c = traces[k]->notes[i]; *c != '\0'; c++) /* a hint is one line */
                ls_text_append(&d->hints, *c == '\n' ? " " : c, 1);
            ls_text_printf(&d->hints, "\n");
        }
        if (traces[k]->dropped > 0)
            ls_text_printf(&d->hints, "%s lost the values of %llu tensors while recording\n", traces[k]->path,
                           (unsigned long long)traces[k]->dropped);
    }
    if (outputs->reference != NULL && d->reference->is_graph && d->candidate->is_graph)
        ls_text_printf(&d->hints, "the reference goes on to %s, which the candidate has no answer to\n", outputs->reference);
    size_t unlike = 0;
    for (size_t i = 0; i < d->pair_count; i++)
        unlike += d->pairs[i].verdict == LS_VERDICT_REFORMULATED && d->pairs[i].elements == 0;
    if (unlike > 0)
        ls_text_printf(&d->hints, "%zu pairs don't resemble each other although what is computed from them agrees: they may be paired wrongly, and don't count as compared\n", unlike);
    if (d->rows.status == LS_INPUTS_PARTIAL || d->rows.status == LS_INPUTS_SHORTER)
        ls_text_printf(&d->hints, "%s\n", d->rows.message.data);
}

lockstep_status ls_conclude(ls_diff *d, lockstep_error *error) {
    size_t *of_reference = ls_values_outputs(&d->reference_values, false), *of_candidate = ls_values_outputs(&d->candidate_values, false);
    bool ok = of_reference != NULL && of_candidate != NULL;
    if (ok) {
        left_out outputs = {.candidate = candidate_left_out(d, of_candidate)};
        outputs.reference = reference_left_out(d, of_reference, &outputs.goes_on);
        if (d->rows.status != LS_INPUTS_DIFFER)
            d->coverage = measure_share(d, false);
        decide(d, &outputs);
        add_hints(d, &outputs);
    }
    free(of_reference);
    free(of_candidate);
    return ok ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}
