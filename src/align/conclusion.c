#include "align/conclusion.h"

#include "align/outputs.h"
#include "base/escape.h"
#include "trace/selection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A KV cache's padding is not counted. */
static uint64_t counted(const ls_diff *d, size_t node) {
    const ls_node *n = &d->candidate->nodes[node];
    const ls_columns *c = &d->candidate_columns[node];
    return c->padded != 0 ? n->elements / c->padded * c->count : n->elements;
}

/* Rows without a partner are left out of both sides, and said. */
static double shared_rows(const ls_diff *d, size_t pass) {
    size_t at = ls_rows_from(&d->rows, pass), rows = 0, all = pass < d->candidate->pass_count ? d->candidate->passes[pass].rows : 0;
    for (; at < d->rows.pair_count && d->rows.pairs[at].candidate == pass; at++) {
        if (d->rows.pairs[at].rows == NULL || d->rows.pairs[at].whole)
            return 1;
        rows += d->rows.pairs[at].row_count;
    }
    return all > 0 && rows < all ? (double)rows / (double)all : 1;
}

/* Of a pass that several of the reference make up, only the rows of one are compared. */
static bool has_all_shared_rows(const ls_diff *d, const ls_pair *p) {
    size_t pass = d->candidate->nodes[p->candidate_value].pass, at = ls_rows_from(&d->rows, pass);
    return at + 1 >= d->rows.pair_count || d->rows.pairs[at + 1].candidate != pass;
}

static double wanted_of_pair(const ls_diff *d, const ls_pair *p) {
    double share = p->verdict < LS_VERDICT_SHAPE ? shared_rows(d, d->candidate->nodes[p->candidate_value].pass) : 1;
    return share == 1 ? (double)counted(d, p->candidate_value) : has_all_shared_rows(d, p) ? (double)p->elements : share * (double)counted(d, p->candidate_value);
}

/* Integers (token ids, positions) count only where there is nothing else. */
static double measure_share(const ls_diff *d, bool integers) {
    double covered = 0, total = 0;
    for (size_t i = 0; i < d->pair_count; i++)
        if (!d->pairs[i].extra && (integers || !ls_node_is_integer(&d->candidate->nodes[d->pairs[i].candidate_value]))) {
            covered += (double)d->pairs[i].elements;
            total += wanted_of_pair(d, &d->pairs[i]);
        }
    for (size_t i = 0; i < d->candidate->node_count; i++) {
        if (d->implied_by[i] == 0 || d->pair_of[i] != 0)
            continue;
        total += (double)counted(d, i);
        if (d->pairs[d->implied_by[i] - 1].verdict < LS_VERDICT_SHAPE)
            covered += (double)counted(d, i);
    }
    for (size_t i = 0; i < d->candidate_only_count; i++)
        if (integers || !ls_node_is_integer(&d->candidate->nodes[d->candidate_only[i]]))
            total += (double)counted(d, d->candidate_only[i]) * shared_rows(d, d->candidate->nodes[d->candidate_only[i]].pass);
    if (total == 0)
        return integers ? 0 : measure_share(d, true);
    return covered < total ? covered / total : 1;
}

/* A final output that was not compared. */
typedef struct left_out {
    const char *name; /* NULL: none */
    bool more;        /* it is more than a pooling of what was compared */
} left_out;

static void leave_out(left_out *l, const ls_diff *d, bool of_reference, size_t output) {
    ls_tail tail = ls_outputs_tail(d, of_reference, output);
    if (tail == LS_TAIL_NONE || (l->name != NULL && (l->more || tail != LS_TAIL_MORE)))
        return;
    l->name = (of_reference ? d->reference : d->candidate)->nodes[output].name;
    l->more = tail == LS_TAIL_MORE;
}

/* A pass without tokens among those with: an encoder, or a cache that is moved. */
static bool is_silent(const ls_diff *d, const ls_pass_pair *p) { return p->rows == NULL && d->rows.status != LS_INPUTS_UNKNOWN; }

/* Only a part of the model was asked for, of this comparison or of both recordings. */
static bool is_selected(const ls_diff *d) {
    return d->options.tensors != NULL || d->options.layers != NULL || (d->reference->only != NULL && d->candidate->only != NULL);
}

static bool find_left_out(const ls_diff *d, left_out *out_reference, left_out *out_candidate) {
    size_t *of_reference = ls_values_outputs(&d->reference_values, false), *of_candidate = ls_values_outputs(&d->candidate_values, false);
    bool ok = of_reference != NULL && of_candidate != NULL;
    for (size_t i = 0; ok && i < d->rows.pair_count; i++) {
        size_t r = of_reference[d->rows.pairs[i].reference], c = of_candidate[d->rows.pairs[i].candidate];
        if (is_silent(d, &d->rows.pairs[i]))
            continue;
        if (c != LS_NONE)
            leave_out(out_candidate, d, false, c);
        if (r != LS_NONE && (ls_node_has_values(&d->reference->nodes[r]) || d->reference->nodes[r].lost != NULL))
            leave_out(out_reference, d, true, r); /* a candidate may record only a part */
    }
    free(of_reference);
    free(of_candidate);
    return ok;
}

/* Of what was selected, the last tensor of a pass takes the place of the model's output. NULL:
 * it was compared in each; or the name of one that was not. */
static const char *last_not_compared(const ls_diff *d) {
    const ls_trace *t = d->candidate;
    for (size_t i = 0; is_selected(d) && t->is_graph && i < d->rows.pair_count; i++) {
        size_t last = LS_NONE;
        for (size_t n = 0; n < t->node_count; n++)
            if (t->nodes[n].pass == d->rows.pairs[i].candidate && t->nodes[n].role == LS_ROLE_COMPUTED && d->wanted[n] &&
                ls_values_is_own(&d->candidate_values, n) && ls_node_has_values(&t->nodes[n]))
                last = n;
        if (last != LS_NONE && d->pair_of[last] == 0 && d->implied_by[last] == 0)
            return t->nodes[last].name;
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

/* The first pair of which a side can't be read, and how many there are. */
static const ls_pair *find_unreadable(const ls_diff *d, size_t *out_count) {
    const ls_pair *first = NULL;
    *out_count = 0;
    for (size_t i = 0; i < d->pair_count; i++)
        if (d->pairs[i].verdict == LS_VERDICT_UNSUPPORTED) {
            first = first != NULL ? first : &d->pairs[i];
            ++*out_count;
        }
    return first;
}

static bool selects_any(const ls_diff *d) {
    for (size_t i = 0; i < d->candidate->node_count; i++)
        if (d->wanted[i])
            return true;
    return false;
}

static void decide(ls_diff *d, const left_out *reference, const left_out *candidate) {
    char text[240], passes[160];
    bool plain = !d->reference->is_graph || !d->candidate->is_graph;
    const char *alone = passes_alone(d, passes, sizeof passes), *last = d->pair_count > 0 ? last_not_compared(d) : NULL;
    bool selected = is_selected(d);
    size_t unreadable_count;
    const ls_pair *unreadable = find_unreadable(d, &unreadable_count);
    const ls_trace *empty = !has_values(&d->reference_values)   ? d->reference
                            : !has_values(&d->candidate_values) ? d->candidate
                                                                : NULL;
    if (empty != NULL) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "%s holds the values of no tensor", empty->path);
    } else if (d->rows.status == LS_INPUTS_DIFFER) {
        refuse(d, LS_OUTCOME_INPUTS_DIFFER, "%s", d->rows.message.data != NULL ? d->rows.message.data : "inputs differ");
    } else if (d->pair_count == 0 && is_selected(d) && !selects_any(d)) {
        ls_text only = {0};
        ls_selection_text(d->options.layers, d->options.tensors, NULL, &only);
        snprintf(text, sizeof text, "%.160s", only.data != NULL ? only.data : "");
        ls_text_done(&only);
        refuse(d, LS_OUTCOME_INCOMPARABLE, "the candidate has nothing of what was asked for (%s): its names are in `lockstep ls`", text);
    } else if (d->pair_count == 0) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "%s", "no tensor of the candidate could be paired with one of the reference");
    } else if (d->failing > 0) {
        d->outcome = LS_OUTCOME_DIVERGED;
    } else if (unreadable != NULL) {
        snprintf(text, sizeof text, "the values of %zu of %zu pairs could not be read: %.100s", unreadable_count, d->pair_count, unreadable->trouble);
        refuse(d, LS_OUTCOME_INCOMPARABLE, "%s", text);
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
    } else if (last != NULL) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "the last tensor of the selection, %s, was not compared; what was compared matches", last);
    } else if (!plain && !selected && candidate->name != NULL && candidate->more) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "the final output %s was not compared; what was compared matches", candidate->name);
    } else if (!plain && !selected && reference->name != NULL && reference->more) {
        refuse(d, LS_OUTCOME_INCOMPARABLE, "the reference's final output %s was not compared; what was compared matches", reference->name);
    } else if (d->coverage < d->options.min_coverage) {
        snprintf(text, sizeof text, "%.1f %% of the candidate's elements were compared, less than the %.1f %% wanted",
                 100 * d->coverage, 100 * d->options.min_coverage);
        refuse(d, LS_OUTCOME_INCOMPARABLE, "%s", text);
    } else {
        d->outcome = LS_OUTCOME_MATCH;
    }
}

static void say_selection(ls_diff *d, bool outputs_too) {
    const char *recorded[2] = {d->reference->only, d->candidate->only};
    ls_text only = {0};
    ls_selection_text(d->options.layers, d->options.tensors, NULL, &only);
    for (int k = 0; k < 2; k++)
        if (recorded[k] != NULL && (k == 0 || recorded[0] == NULL || strcmp(recorded[0], recorded[1]) != 0))
            ls_text_printf(&only, "%s%s", only.length > 0 ? ", " : "", recorded[k]);
    if (only.data != NULL) {
        char shown[500];
        ls_escape(only.data, only.length, shown, sizeof shown);
        ls_text_printf(&d->hints, "%s only, by request%s\n", shown, outputs_too ? "" : "; the model's outputs were not compared");
    }
    ls_text_done(&only);
}

static bool is_ggml(const ls_trace *t) { return strcmp(t->engine, "llama.cpp") == 0 || strcmp(t->engine, "whisper.cpp") == 0 || strcmp(t->engine, "ggml") == 0; }

/* Final outputs pair whatever they are called. */
static bool any_by_name(const ls_diff *d) {
    for (size_t i = 0; i < d->pair_count; i++)
        if (d->pairs[i].how != LS_HOW_OUTPUT)
            return true;
    return false;
}

/* Why two graphs have nothing in common, and the way out. */
static void say_unknown(ls_diff *d) {
    char model[120];
    const char *told = *d->reference->model != '\0' ? d->reference->model : d->candidate->model;
    ls_escape(told, strlen(told), model, sizeof model);
    if (is_ggml(d->reference) && !is_ggml(d->candidate))
        ls_text_printf(&d->hints, "are the two swapped? Presets take the names of the reference from PyTorch and those of the candidate from ggml, and the reference is of %s\n", d->reference->engine);
    else if (d->preset.name == NULL && (d->options.preset == NULL || strcmp(d->options.preset, "none") != 0))
        ls_text_printf(&d->hints, "no preset knows %s: name the preset of a model like it (--preset NAME), or write which name answers to which (--map FILE, docs/presets.md)\n",
                       *model != '\0' ? model : "the model, which neither side names");
}

static bool paired_by(const ls_diff *d, const ls_rule *rule) {
    for (size_t i = 0; i < d->pair_count; i++)
        if (d->pairs[i].rule == rule)
            return true;
    return false;
}

/* A rule of the user's map that never applied has a name that isn't there, or comes too late. */
static void say_unused_rules(ls_diff *d) {
    enum { SHOWN = 5 };
    size_t unused = 0;
    for (size_t i = 0; i < d->map.count; i++) {
        const ls_rule *rule = &d->map.rules[i];
        char candidate[200], reference[200];
        if (rule->included || paired_by(d, rule) || unused++ >= SHOWN)
            continue;
        ls_escape(rule->candidate, strlen(rule->candidate), candidate, sizeof candidate);
        ls_escape(rule->references[0] != NULL ? rule->references[0] : "", rule->references[0] != NULL ? strlen(rule->references[0]) : 0, reference, sizeof reference);
        ls_text_printf(&d->hints, "rule %zu of the map, %s for %s, paired nothing: `lockstep ls` lists the names of both sides\n", i + 1, reference, candidate);
    }
    if (unused > SHOWN)
        ls_text_printf(&d->hints, "%zu more rules of the map paired nothing\n", unused - SHOWN);
}

/* What these inputs can't reveal. */
static void add_hints(ls_diff *d, const left_out *reference, const left_out *candidate) {
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
    if (!any_by_name(d) && d->rows.status != LS_INPUTS_DIFFER && d->reference->is_graph && d->candidate->is_graph && !is_selected(d))
        say_unknown(d);
    if (d->rows.status != LS_INPUTS_DIFFER && !is_selected(d))
        say_unused_rules(d);
    if (is_selected(d) && d->pair_count > 0)
        say_selection(d, (candidate->name == NULL || !candidate->more) && (reference->name == NULL || !reference->more));
    else if (d->reference->is_graph && d->candidate->is_graph) {
        if (reference->name != NULL && !reference->more)
            ls_text_printf(&d->hints, "left out: the reference goes on to %s, by pooling or picking what was compared; the candidate does not\n", reference->name);
        if (d->unit_length != NULL)
            ls_text_printf(&d->hints, "left out: the reference brings its output to length 1 in %s, and the candidate does not\n", d->unit_length);
        if (candidate->name != NULL && !candidate->more)
            ls_text_printf(&d->hints, "left out: the candidate goes on to %s, by pooling or picking what was compared; the reference does not\n", candidate->name);
    }
    if (d->first == LS_NONE && d->failing > 1)
        ls_text_printf(&d->hints, "in which order these tensors were computed is not known (files only have names), so none of those that differ is called the first: "
                                  "compare with a trace or an .npz, or number the files\n");
    if (ls_diff_is_eager(d))
        ls_text_printf(&d->hints, "compiled regions ran eagerly: the compiler was not tested (capture --compiled runs what was compiled)\n");
    size_t several = 0;
    for (size_t i = 1; i < d->rows.pair_count; i++)
        several += d->rows.pairs[i].rows != NULL && d->rows.pairs[i].candidate == d->rows.pairs[i - 1].candidate;
    if (several > 0)
        ls_text_printf(&d->hints, "of a pass of the candidate that several of the reference make up, only the first is compared (%zu are not)\n", several);
    if (d->rows.status == LS_INPUTS_PARTIAL || d->rows.status == LS_INPUTS_SHORTER)
        ls_text_printf(&d->hints, "%s\n", d->rows.message.data);
}

lockstep_status ls_conclude(ls_diff *d, lockstep_error *error) {
    left_out reference = {0}, candidate = {0};
    if (!find_left_out(d, &reference, &candidate))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (d->rows.status != LS_INPUTS_DIFFER)
        d->coverage = measure_share(d, false);
    decide(d, &reference, &candidate);
    add_hints(d, &reference, &candidate);
    return LOCKSTEP_OK;
}
