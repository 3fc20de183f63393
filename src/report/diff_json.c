#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/report.h"

/* JSON has no NaN and no infinities: they are the strings "nan", "inf", "-inf". */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_string(isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

/* Names in files need not be UTF-8; JSON must be. */
static json_t *text(const char *value) {
    ls_text quoted = {0};
    ls_text_json(&quoted, value, strlen(value));
    json_t *out = json_loads(quoted.data != NULL ? quoted.data : "\"\"", JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    ls_text_done(&quoted);
    return out;
}

static json_t *count(uint64_t value) { return json_integer((json_int_t)value); }

static json_t *node_json(const ls_trace *t, size_t index, size_t value) {
    const ls_node *n = &t->nodes[index];
    json_t *o = json_object(), *shape = json_array();
    json_object_set_new(o, "name", text(n->name));
    json_object_set_new(o, "op", text(n->op));
    json_object_set_new(o, "occurrence", count(n->occurrence));
    json_object_set_new(o, "pass", n->pass == LS_NONE ? json_null() : count(n->pass));
    json_object_set_new(o, "layer", json_integer(n->layer));
    json_object_set_new(o, "order", count(value));
    json_object_set_new(o, "dtype", text(n->dtype));
    for (int i = 0; i < n->rank; i++)
        json_array_append_new(shape, count(n->shape[i]));
    json_object_set_new(o, "shape", shape);
    if (n->where != NULL)
        json_object_set_new(o, "where", text(n->where));
    return o;
}

static json_t *side_json(const struct ls_side *s) {
    json_t *o = json_object();
    json_object_set_new(o, "min", number(s->min));
    json_object_set_new(o, "max", number(s->max));
    json_object_set_new(o, "mean", number(s->mean));
    json_object_set_new(o, "std", number(s->std));
    json_object_set_new(o, "l2", number(s->l2));
    return o;
}

static json_t *metrics_json(const ls_metrics *m) {
    const struct {
        const char *key;
        double value;
    } reals[] = {{"rel_l2", m->rel_l2}, {"max_abs", m->max_abs}, {"max_rel", m->max_rel}, {"mean_abs", m->mean_abs},
                 {"mean_rel", m->mean_rel}, {"rmse", m->rmse}, {"nmse", m->nmse}, {"nmse_var", m->nmse_var},
                 {"max_abs_over_max", m->max_abs_over_max}, {"cosine", m->cosine}, {"sqnr_db", m->sqnr_db},
                 {"max_ulp", m->max_ulp}};
    const struct {
        const char *key;
        uint64_t value;
    } counts[] = {{"elements", m->elements}, {"finite", m->finite}, {"max_abs_at", m->max_abs_at},
                  {"max_rel_at", m->max_rel_at}, {"beyond", m->beyond}, {"nan_reference", m->nan_reference},
                  {"nan_candidate", m->nan_candidate}, {"inf_reference", m->inf_reference},
                  {"inf_candidate", m->inf_candidate}, {"nonfinite_differ", m->nonfinite_differ}};
    json_t *o = json_object(), *above = json_object();
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        json_object_set_new(o, reals[i].key, number(reals[i].value));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        json_object_set_new(o, counts[i].key, count(counts[i].value));
    for (int i = 0; i < LS_SHARES; i++) {
        char key[16];
        snprintf(key, sizeof key, "%.0e", ls_share_thresholds[i]);
        json_object_set_new(above, key, count(m->above[i]));
    }
    json_object_set_new(o, "above", above);
    json_object_set_new(o, "identical", json_boolean(m->identical));
    json_object_set_new(o, "reference", side_json(&m->reference));
    json_object_set_new(o, "candidate", side_json(&m->candidate));
    return o;
}

static json_t *pair_json(const ls_diff *d, const ls_pair *p) {
    json_t *o = json_object();
    json_object_set_new(o, "candidate", node_json(d->candidate, p->candidate, p->candidate_value));
    json_object_set_new(o, "reference", node_json(d->reference, p->reference, p->reference_value));
    json_object_set_new(o, "by", json_string(ls_how_name(p->how)));
    json_object_set_new(o, "layout", text(p->layout));
    json_object_set_new(o, "noise", json_string(ls_noise_rows[p->noise].name));
    json_object_set_new(o, "tolerance", number(p->tolerance));
    json_object_set_new(o, "metrics", p->verdict < LS_VERDICT_SHAPE ? metrics_json(&p->metrics) : json_null());
    json_object_set_new(o, "verdict", json_string(ls_verdict_name(p->verdict)));
    json_object_set_new(o, "consequence", json_boolean(p->consequence));
    if (p->trouble != NULL)
        json_object_set_new(o, "trouble", text(p->trouble));
    return o;
}

static json_t *trace_json(const ls_trace *t) {
    json_t *o = json_object(), *notes = json_array();
    json_object_set_new(o, "path", text(t->path));
    json_object_set_new(o, "engine", text(t->engine));
    json_object_set_new(o, "engine_version", text(t->version));
    json_object_set_new(o, "model", text(t->model));
    json_object_set_new(o, "complete", json_boolean(t->complete));
    json_object_set_new(o, "dropped", count(t->dropped));
    for (size_t i = 0; i < t->note_count; i++)
        json_array_append_new(notes, text(t->notes[i]));
    json_object_set_new(o, "notes", notes);
    return o;
}

static json_t *names_json(const ls_trace *t, const size_t *nodes, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, node_json(t, nodes[i], nodes[i]));
    return list;
}

static json_t *inputs_json(const ls_rows *r) {
    json_t *o = json_object();
    json_object_set_new(o, "status", json_string(ls_inputs_status_name(r->status)));
    json_object_set_new(o, "rows_paired", count(r->matched));
    json_object_set_new(o, "reference_rows", count(r->reference_rows));
    json_object_set_new(o, "candidate_rows", count(r->candidate_rows));
    json_object_set_new(o, "position", r->difference_at == LS_NONE ? json_null() : count(r->difference_at));
    json_object_set_new(o, "message", r->message.data != NULL ? text(r->message.data) : json_null());
    return o;
}

static json_t *pairing_json(const ls_diff *d) {
    json_t *o = json_object(), *by = json_object();
    json_object_set_new(o, "paired", count(d->pair_count));
    json_object_set_new(o, "implied", count(d->implied_count));
    json_object_set_new(o, "candidate_total", count(d->candidate_total));
    json_object_set_new(o, "coverage", number(d->coverage));
    json_object_set_new(o, "preset", d->preset.name != NULL ? text(d->preset.name) : json_null());
    for (int how = 0; how < LS_HOW_COUNT; how++)
        json_object_set_new(by, ls_how_name((ls_how)how), count(d->by_how[how]));
    json_object_set_new(o, "by", by);
    json_object_set_new(o, "reference_only", names_json(d->reference, d->reference_only, d->reference_only_count));
    json_object_set_new(o, "candidate_only", names_json(d->candidate, d->candidate_only, d->candidate_only_count));
    return o;
}

static json_t *first_json(const ls_diff *d) {
    if (d->first == LS_NONE)
        return json_null();
    json_t *o = pair_json(d, &d->pairs[d->first]), *inputs = json_array();
    for (size_t i = 0; i < d->input_count; i++) {
        const ls_pair *p = &d->pairs[d->inputs[i]];
        json_array_append_new(inputs, node_json(d->candidate, p->candidate, p->candidate_value));
    }
    json_object_set_new(o, "inputs", inputs);
    json_t *causes = json_array();
    for (size_t i = 0; i < d->cause_count; i++)
        json_array_append_new(causes, json_pack("{s:s, s:o, s:o}", "id", d->causes[i].id, "text", text(d->causes[i].text),
                                                "residual", number(d->causes[i].residual)));
    json_object_set_new(o, "causes", causes);
    if (d->interval_count > 0)
        json_object_set_new(o, "interval", names_json(d->candidate, d->interval, d->interval_count));
    return o;
}

void ls_report_json(const ls_diff *d, ls_text *out) {
    json_t *o = json_object(), *pairs = json_array(), *hints = json_array();
    json_object_set_new(o, "schema", json_integer(1));
    json_object_set_new(o, "verdict", json_string(ls_outcome_name(d->outcome)));
    json_object_set_new(o, "why", d->why.data != NULL ? text(d->why.data) : json_null());
    json_object_set_new(o, "reference", trace_json(d->reference));
    json_object_set_new(o, "candidate", trace_json(d->candidate));
    json_object_set_new(o, "inputs", inputs_json(&d->rows));
    json_object_set_new(o, "pairing", pairing_json(d));
    json_object_set_new(o, "first_divergence", first_json(d));
    for (const char *at = d->hints.data; at != NULL && *at != '\0';) {
        const char *stop = strchr(at, '\n');
        json_array_append_new(hints, json_stringn(at, (size_t)(stop - at)));
        at = stop + 1;
    }
    json_object_set_new(o, "hints", hints);
    for (size_t i = 0; i < d->pair_count; i++)
        json_array_append_new(pairs, pair_json(d, &d->pairs[i]));
    json_object_set_new(o, "pairs", pairs);
    char *dumped = json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    if (dumped != NULL)
        ls_text_append(out, dumped, strlen(dumped));
    ls_text_append(out, "\n", 1);
    free(dumped);
    json_decref(o);
}
