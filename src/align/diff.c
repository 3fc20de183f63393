#include "align/diff.h"

#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align/pair.h"
#include "align/sight.h"
#include "align/divergence.h"

typedef struct running {
    ls_diff *diff;
    const ls_diff_options *options;
    struct noise *reference_noise, *candidate_noise; /* per node */
    bool learning; /* the first round, in which votes for layouts are cast */
    lockstep_error *error;
} running;

static lockstep_status no_memory(lockstep_error *error) { return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory"); }

/* ------------------------------------------------------------------ what to compare */

static bool in_list(const char *list, int value) {
    for (const char *at = list; *at != '\0';) {
        char *end;
        long low = strtol(at, &end, 10), high = *end == '-' ? strtol(end + 1, &end, 10) : low;
        if (value >= low && value <= high)
            return true;
        if (*end != ',')
            return false;
        at = end + 1;
    }
    return false;
}

static lockstep_status choose(ls_diff *d, const ls_diff_options *o, bool *wanted, lockstep_error *error) {
    regex_t names;
    if (o->tensors != NULL && regcomp(&names, o->tensors, REG_EXTENDED | REG_NOSUB) != 0)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "--tensors '%s': not a regular expression", o->tensors);
    for (size_t i = 0; i < d->candidate->node_count; i++) {
        const ls_node *n = &d->candidate->nodes[i];
        wanted[i] = (o->tensors == NULL || regexec(&names, n->name, 0, NULL, 0) == 0) &&
                    (o->layers == NULL || in_list(o->layers, n->layer));
    }
    if (o->tensors != NULL)
        regfree(&names);
    return LOCKSTEP_OK;
}

/* --------------------------------------------------------------------------- noise */

static bool is_gelu(const char *op) { return strcmp(op, "GELU") == 0 || strcmp(op, "GEGLU") == 0; }

/* What lies behind a value: the coarsest row of ls_noise_rows, and through how many
 * lookups in the GELU table the longest way to it goes. */
typedef struct noise {
    int row;
    unsigned lookups;
} noise;

static noise *spread_noise(const ls_trace *t) {
    noise *all = calloc(t->node_count + 1, sizeof *all);
    for (size_t i = 0; all != NULL && i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        noise own = {ls_noise_of_type(n->dtype), 0};
        for (size_t k = 0; k <= n->source_count; k++) {
            size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
            if (source == LS_NONE || t->nodes[source].role == LS_ROLE_INPUT)
                continue; /* masks are f16 for some kernels, and exact */
            own.row = all[source].row > own.row ? all[source].row : own.row;
            own.lookups = all[source].lookups > own.lookups ? all[source].lookups : own.lookups;
        }
        if (is_gelu(n->op)) {
            own.row = own.row > LS_NOISE_GELU_TABLE ? own.row : LS_NOISE_GELU_TABLE;
            own.lookups++;
        }
        all[i] = own;
    }
    return all;
}

/* ------------------------------------------------------------------------- one pair */

static bool passes(const running *r, const ls_pair *p) {
    if (r->options->elementwise)
        return p->metrics.beyond == 0;
    return r->options->profile->passes(&p->metrics, p->tolerance);
}

static void judge(const running *r, ls_pair *p) {
    const ls_metrics *m = &p->metrics;
    if (m->nan_reference + m->nan_candidate > 0 || m->nonfinite_differ > 0)
        p->verdict = LS_VERDICT_NONFINITE;
    else if (m->identical)
        p->verdict = LS_VERDICT_IDENTICAL;
    else
        p->verdict = m->finite == 0 || passes(r, p) ? LS_VERDICT_MATCH : LS_VERDICT_DIVERGED;
}

static const char *keep_text(running *r, const char *text) {
    const char *copy = ls_arena_copy(&r->diff->arena, text, strlen(text));
    return copy != NULL ? copy : "";
}

static void set_noise(const running *r, ls_pair *p) {
    noise a = r->reference_noise[p->reference_value], b = r->candidate_noise[p->candidate_value];
    unsigned lookups = a.lookups > b.lookups ? a.lookups : b.lookups;
    p->noise = a.row > b.row ? a.row : b.row;
    p->tolerance = ls_noise_rows[p->noise].rel_l2;
    if (p->noise == LS_NOISE_GELU_TABLE) /* independent errors, one a layer, add in quadrature */
        p->tolerance *= sqrt(lookups);
}

static lockstep_status compare_pair(running *r, ls_pair *p) {
    ls_sight sight;
    lockstep_error why;
    set_noise(r, p);
    ls_reorder reorder = p->rule != NULL ? p->rule->reorder : LS_REORDER_NONE;
    lockstep_status status = ls_sight_open(r->diff, p, reorder, r->learning, &sight, &why);
    if (status != LOCKSTEP_OK) {
        p->verdict = status == LOCKSTEP_INCOMPARABLE ? LS_VERDICT_SHAPE : LS_VERDICT_UNSUPPORTED;
        p->trouble = keep_text(r, why.message);
        return LOCKSTEP_OK;
    }
    if (r->learning || strcmp(p->layout, sight.layout.text) != 0) {
        double atol = r->options->elementwise ? r->options->atol : r->options->profile->atol;
        double rtol = r->options->elementwise ? r->options->rtol : r->options->profile->rtol;
        memcpy(p->layout, sight.layout.text, sizeof p->layout);
        status = ls_compare(&sight.layout.reference, &sight.layout.candidate, &(ls_compare_wants){.atol = atol, .rtol = rtol}, &p->metrics, r->error);
        p->elements = p->metrics.elements;
        judge(r, p);
    } /* else the first round's result stands */
    ls_sight_close(&sight);
    return status;
}

/* Two rounds: in the second, each pair is looked at as most of its likes are. */
static lockstep_status compare_all(running *r) {
    ls_diff *d = r->diff;
    for (int round = 0; round < 2; round++) {
        r->learning = round == 0;
        for (size_t i = 0; i < d->pair_count; i++)
            if (r->learning || d->pairs[i].verdict < LS_VERDICT_SHAPE)
                LS_TRY(compare_pair(r, &d->pairs[i]));
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------------- outcome */

static bool is_float(const char *dtype) { return *dtype != 'i' && *dtype != 'u' && strcmp(dtype, "bool") != 0; }

/* A KV cache's padding is not counted. */
static uint64_t counted(const running *r, size_t node) {
    const ls_node *n = &r->diff->candidate->nodes[node];
    const ls_columns *c = &r->diff->candidate_columns[node];
    return c->padded != 0 ? n->elements / c->padded * c->count : n->elements;
}

/* Integers (token ids, positions) count only where there is nothing else. */
static double measure_share(const running *r, bool integers) {
    const ls_diff *d = r->diff;
    double covered = 0, total = 0;
    for (size_t i = 0; i < d->pair_count; i++)
        if (integers || is_float(d->candidate->nodes[d->pairs[i].candidate_value].dtype)) {
            covered += (double)d->pairs[i].elements;
            total += (double)counted(r, d->pairs[i].candidate_value);
        }
    for (size_t i = 0; i < d->candidate->node_count; i++) {
        if (d->implied_by[i] == 0 || d->pair_of[i] != 0)
            continue;
        total += (double)counted(r, i);
        if (d->pairs[d->implied_by[i] - 1].verdict < LS_VERDICT_SHAPE)
            covered += (double)counted(r, i);
    }
    for (size_t i = 0; i < d->candidate_only_count; i++)
        if (integers || is_float(d->candidate->nodes[d->candidate_only[i]].dtype))
            total += (double)counted(r, d->candidate_only[i]);
    if (total == 0)
        return integers ? 0 : measure_share(r, true);
    return covered < total ? covered / total : 1;
}

static void measure_coverage(running *r) { r->diff->coverage = measure_share(r, false); }

/* The last value that was computed in a pass: its output. */
static size_t last_value(const ls_values *v, size_t pass) {
    size_t last = LS_NONE;
    for (size_t i = 0; i < v->trace->node_count; i++)
        if (v->trace->nodes[i].pass == pass && ls_values_is_own(v, i) && v->trace->nodes[i].elements > 0)
            last = i;
    return last;
}

/* The name of a final output that was not compared, or NULL. */
static const char *missing_output(const ls_diff *d) {
    for (size_t i = 0; i < d->rows.pair_count; i++) {
        size_t last = last_value(&d->candidate_values, d->rows.pairs[i].candidate);
        if (last != LS_NONE && (d->pair_of[last] == 0 || d->pairs[d->pair_of[last] - 1].verdict >= LS_VERDICT_SHAPE))
            return d->candidate->nodes[last].name;
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

static void conclude(ls_diff *d, const ls_diff_options *o) {
    char text[160];
    bool plain = !d->reference->is_graph || !d->candidate->is_graph;
    const char *missing = missing_output(d);
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
    } else if (!plain && missing != NULL) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "the final output %s was not compared; what was compared matches", missing);
    } else if (d->coverage < o->min_coverage) {
        snprintf(text, sizeof text, "%.1f %% of the candidate's elements were compared, less than the %.1f %% wanted",
                 100 * d->coverage, 100 * o->min_coverage);
        refuse(d, LS_OUTCOME_INCOMPARABLE, "%s", text);
    } else {
        d->outcome = LS_OUTCOME_MATCH;
    }
}

/* What these inputs can't reveal. */
static void add_hints(ls_diff *d) {
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
    if (d->rows.status == LS_INPUTS_PARTIAL || d->rows.status == LS_INPUTS_SHORTER)
        ls_text_printf(&d->hints, "%s\n", d->rows.message.data);
}

/* ----------------------------------------------------------------------------- run */

static lockstep_status load_rules(ls_diff *d, const ls_diff_options *o, lockstep_error *error) {
    if (o->map != NULL)
        LS_TRY(ls_rules_open(o->map, &d->map, error));
    const char *name = o->preset != NULL ? o->preset : ls_rules_preset_for(d->reference->model);
    if (name == NULL || strcmp(name, "none") == 0)
        return LOCKSTEP_OK;
    return ls_rules_preset(name, &d->preset, error);
}

static lockstep_status pair_and_compare(running *r) {
    ls_diff *d = r->diff;
    bool *wanted = ls_arena_array(&d->arena, d->candidate->node_count + 1, sizeof *wanted);
    if (wanted == NULL)
        return no_memory(r->error);
    LS_TRY(choose(d, r->options, wanted, r->error));
    LS_TRY(ls_pair_all(d, wanted, r->error));
    LS_TRY(ls_facts_read(d->candidate, &d->arena, &d->facts, r->error));
    LS_TRY(ls_columns_read(d->candidate, &d->arena, &d->candidate_columns, r->error));
    LS_TRY(ls_columns_read(d->reference, &d->arena, &d->reference_columns, r->error));
    r->reference_noise = spread_noise(d->reference);
    r->candidate_noise = spread_noise(d->candidate);
    if (r->reference_noise == NULL || r->candidate_noise == NULL)
        return no_memory(r->error);
    LS_TRY(compare_all(r));
    measure_coverage(r);
    return ls_divergence_find(d, r->error);
}

static lockstep_status run(ls_diff *d, const char *reference, const char *candidate, const ls_diff_options *o, lockstep_error *error) {
    running r = {.diff = d, .options = o, .error = error};
    LS_TRY(ls_trace_open(reference, &d->reference, error));
    LS_TRY(ls_trace_open(candidate, &d->candidate, error));
    LS_TRY(ls_values_init(d->reference, &d->reference_values, error));
    LS_TRY(ls_values_init(d->candidate, &d->candidate_values, error));
    LS_TRY(ls_rows_pair(d->reference, d->candidate, &d->rows, error));
    LS_TRY(load_rules(d, o, error));
    lockstep_status status = d->rows.status != LS_INPUTS_DIFFER ? pair_and_compare(&r) : LOCKSTEP_OK;
    free(r.reference_noise);
    free(r.candidate_noise);
    LS_TRY(status);
    conclude(d, o);
    add_hints(d);
    return LOCKSTEP_OK;
}

lockstep_status ls_diff_run(const char *reference, const char *candidate, const ls_diff_options *options,
                            ls_diff *out_diff, lockstep_error *error) {
    ls_diff d = {.first = LS_NONE};
    lockstep_status status = run(&d, reference, candidate, options, error);
    if (status != LOCKSTEP_OK)
        ls_diff_done(&d);
    else
        *out_diff = d;
    return status;
}

void ls_diff_done(ls_diff *d) {
    free(d->pairs);
    ls_rules_done(&d->map);
    ls_rules_done(&d->preset);
    ls_map_done(&d->votes);
    ls_rows_done(&d->rows);
    ls_values_done(&d->reference_values);
    ls_values_done(&d->candidate_values);
    ls_trace_close(d->reference);
    ls_trace_close(d->candidate);
    ls_text_done(&d->why);
    ls_text_done(&d->hints);
    ls_arena_done(&d->arena);
    *d = (ls_diff){0};
}

const char *ls_verdict_name(ls_verdict verdict) {
    static const char *const names[] = {"identical", "match", "reformulated", "diverged", "nonfinite", "shape", "unsupported"};
    return names[verdict];
}

const char *ls_outcome_name(ls_outcome outcome) {
    static const char *const names[] = {"match", "diverged", "inputs-differ", "incomparable"};
    return names[outcome];
}

const char *ls_how_name(ls_how how) {
    static const char *const names[] = {"map", "name", "preset", "elimination"};
    return names[how];
}
