#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff/ascent.h"
#include "diff/proof.h"
#include "report/diff_json.h"
#include "report/json_values.h"
#include "report/layers.h"
#include "report/produced.h"
#include "report/where.h"
#include "report/remarks.h"
#include "report/replay_report.h"
#include "report/report.h"
#include "report/summary_lines.h"
#include "report/totals.h"

static json_t *node_json(const ls_trace *t, size_t index, size_t value) {
    const ls_node *n = &t->nodes[index];
    json_t *o = json_object(), *shape = json_array();
    json_object_set_new(o, "name", ls_json_text(n->name));
    json_object_set_new(o, "op", ls_json_text(n->op));
    if (index != value)
        json_object_set_new(o, "value_op", ls_json_text(t->nodes[value].op));
    json_object_set_new(o, "occurrence", ls_json_count(n->occurrence));
    json_object_set_new(o, "pass", n->pass == LS_NONE ? json_null() : ls_json_count(n->pass));
    json_object_set_new(o, "layer", json_integer(n->layer));
    json_object_set_new(o, "order", ls_json_count(value));
    json_object_set_new(o, "dtype", ls_json_text(n->dtype));
    for (int i = 0; i < n->rank; i++)
        json_array_append_new(shape, ls_json_count(n->shape[i]));
    json_object_set_new(o, "shape", shape);
    if (n->backend != NULL)
        json_object_set_new(o, "backend", ls_json_text(n->backend));
    if (n->where != NULL)
        json_object_set_new(o, "where", ls_json_text(n->where));
    return o;
}

/* Whole numbers without a fraction. */
static json_t *plain_number(double value) { return fabs(value) < 9e15 && value == floor(value) ? json_integer((json_int_t)value) : ls_json_number(value); }

static json_t *parameter_json(const ls_parameter *p) {
    if (p->text != NULL)
        return ls_json_text(p->text);
    if (p->items == NULL)
        return plain_number(p->value);
    json_t *list = json_array();
    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(list, plain_number(p->items[i]));
    return list;
}

/* A node of a pair, with the parameters of its operation. */
static json_t *operation_json(const ls_trace *t, size_t index, size_t value) {
    const ls_node *n = &t->nodes[value];
    json_t *o = node_json(t, index, value), *parameters = json_object();
    for (size_t i = 0; i < n->parameter_count; i++)
        json_object_set_new(parameters, n->parameters[i].key, parameter_json(&n->parameters[i]));
    if (n->parameter_count > 0)
        json_object_set_new(o, "params", parameters);
    else
        json_decref(parameters);
    return o;
}

json_t *ls_report_pair_json(const ls_diff *d, const ls_pair *p) {
    json_t *o = json_object();
    json_object_set_new(o, "candidate", operation_json(d->in.candidate.trace, p->candidate, p->candidate_value));
    json_object_set_new(o, "reference", operation_json(d->in.reference.trace, p->reference, p->reference_value));
    json_object_set_new(o, "by", json_string(ls_method_name(p->method)));
    json_object_set_new(o, "layout", ls_json_text(p->layout != NULL ? p->layout : ""));
    json_object_set_new(o, "precision", json_string(ls_precision_classes[p->precision].name));
    json_object_set_new(o, "tolerance", ls_json_number(p->mark.tolerance));
    json_object_set_new(o, "metrics", p->mark.verdict < LS_VERDICT_SHAPE ? ls_json_metrics(&p->metrics) : json_null());
    json_object_set_new(o, "verdict", json_string(ls_verdict_name(p->mark.verdict)));
    json_object_set_new(o, "downstream", json_boolean(p->mark.downstream));
    if (p->mark.verdict == LS_VERDICT_EXPLAINED)
        json_object_set_new(o, "excuse", json_string(ls_excuse_text(p->mark.excuse)));
    if (p->grade != NULL)
        json_object_set_new(o, "grade", json_string(p->grade));
    if (p->is_resynced)
        json_object_set_new(o, "resync", json_pack("{s:o}", "left", ls_json_number(p->left)));
    if (p->reason != NULL)
        json_object_set_new(o, "reason", ls_json_text(p->reason));
    return o;
}

static json_t *optional_text(const char *text) { return text != NULL && *text != '\0' ? ls_json_text(text) : json_null(); }

static json_t *trace_json(const ls_trace *t) {
    json_t *o = json_object(), *notes = json_array(), *command = json_array();
    for (size_t i = 0; i < t->command_count; i++)
        json_array_append_new(command, ls_json_text(t->command[i]));
    json_object_set_new(o, "path", ls_json_text(t->path));
    json_object_set_new(o, "engine", ls_json_text(t->engine));
    json_object_set_new(o, "engine_version", ls_json_text(t->version));
    json_object_set_new(o, "model", ls_json_text(t->model));
    json_object_set_new(o, "device", optional_text(t->device));
    json_object_set_new(o, "started", optional_text(t->started));
    json_object_set_new(o, "command", command);
    json_object_set_new(o, "tensors", ls_json_count(t->node_count));
    json_object_set_new(o, "live", json_boolean(t->memory != NULL));
    json_object_set_new(o, "complete", json_boolean(t->complete));
    json_object_set_new(o, "dropped", ls_json_count(t->dropped));
    for (size_t i = 0; i < t->note_count; i++)
        json_array_append_new(notes, ls_json_text(t->notes[i]));
    json_object_set_new(o, "notes", notes);
    return o;
}

static json_t *names_json(const ls_trace *t, const size_t *nodes, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, node_json(t, nodes[i], nodes[i]));
    return list;
}

/* The text, which is freed, or null if it is empty. */
static json_t *taken_text(ls_text *text) {
    json_t *value = text->data != NULL && text->length > 0 ? ls_json_text(text->data) : json_null();
    ls_text_done(text);
    return value;
}

static json_t *remark_json(const ls_diff *d, const ls_remark *remark) {
    ls_text text = {0};
    ls_remark_text(d, remark, &text);
    return taken_text(&text);
}

static json_t *inputs_json(const ls_token_alignment *r) {
    json_t *o = json_object();
    ls_text message = {0};
    json_object_set_new(o, "status", json_string(ls_inputs_status_name(r->status)));
    json_object_set_new(o, "rows_paired", ls_json_count(r->matched));
    json_object_set_new(o, "reference_rows", ls_json_count(r->reference_rows));
    json_object_set_new(o, "candidate_rows", ls_json_count(r->candidate_rows));
    bool at_position = r->finding.reference_rows + r->finding.candidate_rows > 0;
    json_object_set_new(o, "position", at_position ? ls_json_count(r->finding.at) : json_null());
    ls_inputs_text(r, &message);
    json_object_set_new(o, "message", taken_text(&message));
    return o;
}

static json_t *pairing_json(const ls_diff *d) {
    json_t *o = json_object(), *by = json_object();
    json_object_set_new(o, "paired", ls_json_count(d->pairs.count));
    json_object_set_new(o, "absorbed", ls_json_count(d->matching.absorbed_count));
    json_object_set_new(o, "candidate_total", ls_json_count(d->matching.candidate_total));
    json_object_set_new(o, "coverage", ls_json_number(d->result.coverage));
    json_object_set_new(o, "preset", d->in.preset.name != NULL ? ls_json_text(d->in.preset.name) : json_null());
    for (int how = 0; how < LS_METHOD_COUNT; how++)
        json_object_set_new(by, ls_method_name((ls_method)how), ls_json_count(d->matching.by_method[how]));
    json_object_set_new(o, "by", by);
    json_object_set_new(o, "reference_only", names_json(d->in.reference.trace, d->matching.reference_only, d->matching.reference_only_count));
    json_object_set_new(o, "candidate_only", names_json(d->in.candidate.trace, d->matching.candidate_only, d->matching.candidate_only_count));
    return o;
}

json_t *ls_report_cause_json(const ls_comparison *c, const ls_pair *pair, const ls_cause *cause) {
    ls_text where = {0};
    ls_report_place(cause->id, c->checkpoints != NULL ? &c->checkpoints->settings : NULL, &where);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "rule", cause->id, "summary", ls_json_sentence(cause), "parameters", ls_json_parameters(cause), "where", taken_text(&where), "before",
                     ls_json_number(cause->before > 0 ? cause->before : pair->metrics.rel_l2), "after", ls_json_number(cause->residual), "values", ls_json_count(cause->values), "free",
                     ls_json_count(cause->free), "layers", ls_report_layers_json(c->diff, ls_proof_of(c->diff, pair->candidate_value)));
}

static json_t *first_json(const ls_comparison *c) {
    const ls_diff *d = c->diff;
    const ls_diagnosis *diagnosis = c->diagnosis;
    if (d->result.first == LS_NONE)
        return json_null();
    json_t *o = ls_report_pair_json(d, &d->pairs.items[d->result.first]), *inputs = json_array();
    for (size_t i = 0; i < d->result.inputs.count; i++) {
        const ls_pair *p = &d->pairs.items[d->result.inputs.items[i]];
        json_array_append_new(inputs, node_json(d->in.candidate.trace, p->candidate, p->candidate_value));
    }
    json_object_set_new(o, "inputs", inputs);
    json_object_set_new(o, "pair", ls_json_count(d->result.first));
    json_object_set_new(o, "weights", names_json(ls_diff_graph(d), d->result.weights.items, d->result.weights.count));
    json_t *causes = json_array();
    for (size_t i = 0; i < diagnosis->cause_count; i++)
        json_array_append_new(causes, ls_report_cause_json(c, &d->pairs.items[d->result.first], &diagnosis->causes[i]));
    json_object_set_new(o, "causes", causes);
    json_t *axes = json_array();
    for (size_t i = 0; i < diagnosis->axis_count; i++) {
        const ls_failing_places *f = &diagnosis->axes[i];
        json_array_append_new(axes, json_pack("{s:i, s:o, s:o, s:o, s:o}", "axis", f->axis, "failing", ls_json_count(f->count), "of", ls_json_count(f->of), "first", ls_json_count(f->first), "last",
                                              ls_json_count(f->last)));
    }
    json_object_set_new(o, "axes", axes);
    if (diagnosis->failing_rows.count > 0) {
        const ls_failing_rows *f = &diagnosis->failing_rows;
        json_object_set_new(o, "rows", json_pack("{s:o, s:o, s:i, s:i}", "failing", ls_json_count(f->count), "of", ls_json_count(f->of),
                                                 "first", (int)f->first, "last", (int)f->last));
    }
    if (d->result.interval.count > 0)
        json_object_set_new(o, "interval", names_json(ls_diff_graph(d), d->result.interval.items, d->result.interval.count));
    return o;
}

static json_t *totals_json(const ls_diff *d) {
    ls_totals t = ls_totals_of(d);
    json_t *o = json_object();
    json_object_set_new(o, "compared", ls_json_count(t.compared));
    json_object_set_new(o, "within", ls_json_count(t.within));
    json_object_set_new(o, "by_gpu", ls_json_count(t.by_gpu));
    json_object_set_new(o, "explained", ls_json_count(t.all_excused));
    json_object_set_new(o, "beyond", ls_json_count(t.beyond));
    json_object_set_new(o, "mismatched", ls_json_count(t.mismatched));
    json_object_set_new(o, "origins", ls_json_count(t.origins));
    json_object_set_new(o, "max_abs", ls_json_number(t.max_abs));
    json_object_set_new(o, "max_rel", ls_json_number(t.max_rel));
    json_object_set_new(o, "mean_cosine", ls_json_number(t.mean_cosine));
    json_object_set_new(o, "resynced", ls_json_count(t.resynced));
    return o;
}

/* Everything but the pairs. */
static json_t *oracle_json(const ls_comparison *c) {
    json_t *list = c->oracle != NULL ? json_array() : json_null();
    for (size_t i = 0; c->oracle != NULL && i < c->oracle->count; i++) {
        const ls_opinion *o = &c->oracle->opinions[i];
        const ls_node *n = &c->diff->in.candidate.trace->nodes[o->node];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", ls_json_text(n->name), "op", ls_json_text(n->op), "pass", ls_json_count(n->pass), "reference",
                                              ls_json_number(o->reference), "candidate", ls_json_number(o->candidate)));
    }
    return list;
}

static json_t *summary_json(const ls_comparison *c) {
    const ls_diff *d = c->diff;
    json_t *o = json_object(), *hints = json_array();
    json_object_set_new(o, "schema", json_integer(1));
    json_object_set_new(o, "kind", json_string("traces"));
    json_object_set_new(o, "produced", ls_json_produced(c->command));
    json_object_set_new(o, "verdict", json_string(ls_diff_verdict(d)));
    json_object_set_new(o, "reason", remark_json(d, &d->result.reason));
    json_object_set_new(o, "reference", trace_json(d->in.reference.trace));
    json_object_set_new(o, "candidate", trace_json(d->in.candidate.trace));
    json_object_set_new(o, "inputs", inputs_json(&d->matching.tokens));
    json_object_set_new(o, "pairing", pairing_json(d));
    json_object_set_new(o, "totals", totals_json(d));
    json_object_set_new(o, "order", json_string(!d->result.order_known ? "unknown" : d->result.order_of_reference ? "reference" : "candidate"));
    json_object_set_new(o, "first_divergence", first_json(c));
    json_object_set_new(o, "replay", ls_report_replay_json(d));
    json_object_set_new(o, "oracle", oracle_json(c));
    json_object_set_new(o, "logits", ls_report_logits_json(c));
    json_object_set_new(o, "configuration", ls_report_configuration_json(c));
    json_object_set_new(o, "weights", c->weights != NULL ? ls_report_weight_pairs(c->weights) : json_null());
    for (size_t i = 0; i < d->result.hints.count; i++)
        json_array_append_new(hints, remark_json(d, &d->result.hints.items[i]));
    json_object_set_new(o, "hints", hints);
    return o;
}

/* Writes a document without its last `cut` bytes, and releases it. */
static bool put_json(json_t *document, size_t flags, size_t cut, FILE *out) {
    char *text = document != NULL ? json_dumps(document, flags | JSON_REAL_PRECISION(12)) : NULL;
    size_t length = text != NULL ? strlen(text) : 0;
    bool ok = text != NULL && length >= cut && fwrite(text, 1, length - cut, out) == length - cut;
    free(text);
    json_decref(document);
    return ok;
}

/* Indexes of the pairs from which this one was computed. */
static json_t *inputs_of_pair(ls_ascent *ascent, size_t pair) {
    json_t *list = json_array();
    ls_ascent_climb(ascent, pair);
    for (size_t i = 0; i < ascent->inputs.count; i++)
        json_array_append_new(list, ls_json_count(ascent->inputs.items[i]));
    return list;
}

/* One at a time: there may be a hundred thousand. */
static bool put_pairs(const ls_diff *d, ls_ascent *ascent, FILE *out) {
    bool ok = true;
    for (size_t i = 0; i < d->pairs.count && ok; i++) {
        json_t *pair = ls_report_pair_json(d, &d->pairs.items[i]);
        json_object_set_new(pair, "inputs", inputs_of_pair(ascent, i));
        ok = fputs(i > 0 ? ",\n  " : "\n  ", out) >= 0 && put_json(pair, JSON_COMPACT, 0, out);
    }
    return ok;
}

static ls_mark *copy_marks(const ls_pairs *pairs) {
    ls_mark *marks = malloc((pairs->count + 1) * sizeof *marks);
    for (size_t i = 0; i < pairs->count && marks != NULL; i++)
        marks[i] = pairs->items[i].mark;
    return marks;
}

static bool put_pairs_of_graph(const ls_diff *d, FILE *out) {
    ls_mark *marks = copy_marks(&d->pairs);
    ls_walk walk;
    ls_ascent ascent;
    bool ok = marks != NULL && ls_walk_open(d, marks, &walk, NULL) == LOCKSTEP_OK;
    if (ok) {
        ok = ls_ascent_open(&walk, &ascent, NULL) == LOCKSTEP_OK && put_pairs(d, &ascent, out);
        ls_ascent_close(&ascent);
        ls_walk_close(&walk);
    }
    free(marks);
    return ok;
}

bool ls_report_json(const ls_comparison *c, FILE *out) {
    return put_json(summary_json(c), JSON_INDENT(1), strlen("\n}"), out) && fputs(",\n \"pairs\": [", out) >= 0 && put_pairs_of_graph(c->diff, out) && fputs("]\n}\n", out) >= 0;
}
