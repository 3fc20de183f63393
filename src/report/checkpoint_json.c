#include <math.h>
#include <string.h>

#include "report/json_values.h"
#include "report/produced.h"
#include "report/report.h"

static json_t *side_json(const ls_checkpoint *c) {
    json_t *o = json_object();
    json_object_set_new(o, "path", ls_json_text(c->archive->path));
    json_object_set_new(o, "format", ls_json_text(c->archive->format));
    json_object_set_new(o, "architecture", ls_json_text(c->architecture));
    json_object_set_new(o, "model", ls_json_text(c->model));
    json_object_set_new(o, "tensors", ls_json_count(c->archive->tensor_count));
    return o;
}

/* --- config */

static json_t *value_json(const ls_setting_value *v) {
    if (!v->known)
        return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "value", isnan(v->number) ? ls_json_text(v->text) : json_real(v->number));
    json_object_set_new(o, "key", v->key != NULL ? ls_json_text(v->key) : json_null());
    return o;
}

static json_t *config_json(const ls_settings *s) {
    json_t *list = json_array();
    for (size_t i = 0; i < s->count; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "id", ls_json_text(s->items[i].id));
        json_object_set_new(o, "meaning", ls_json_text(s->items[i].meaning));
        json_object_set_new(o, "reference", value_json(&s->items[i].sides[0]));
        json_object_set_new(o, "candidate", value_json(&s->items[i].sides[1]));
        json_object_set_new(o, "verdict", json_string(ls_setting_verdict_name(s->items[i].verdict)));
        json_array_append_new(list, o);
    }
    return list;
}

/* --- vocab */

static json_t *size_json(uint64_t size) { return size == UINT64_MAX ? json_null() : ls_json_count(size); }

static json_t *sizes_json(const ls_vocabulary_side *s) {
    json_t *o = json_object();
    json_object_set_new(o, "tokens", size_json(s->tokens));
    json_object_set_new(o, "embedding_rows", size_json(s->embedding_rows));
    json_object_set_new(o, "output_rows", size_json(s->output_rows));
    json_object_set_new(o, "declared", size_json(s->declared));
    json_object_set_new(o, "merges", size_json(s->merges));
    return o;
}

static json_t *special_json(const ls_special *s) {
    json_t *o = json_object();
    static const char *const sides[2] = {"reference", "candidate"};
    json_object_set_new(o, "name", json_string(s->name));
    for (int side = 0; side < 2; side++) {
        json_t *token = json_object();
        json_object_set_new(token, "id", s->id[side] >= 0 ? json_integer(s->id[side]) : json_null());
        json_object_set_new(token, "token", s->text[side] != NULL ? ls_json_text(s->text[side]) : json_null());
        json_object_set_new(token, "type", s->type[side] >= 0 ? json_string(ls_token_type_name(s->type[side])) : json_null());
        json_object_set_new(o, sides[side], token);
    }
    json_object_set_new(o, "differs", json_boolean(s->differs));
    return o;
}

static json_t *difference_json(uint64_t compared, uint64_t differ, uint64_t first) {
    json_t *o = json_object();
    json_object_set_new(o, "compared", ls_json_count(compared));
    json_object_set_new(o, "differ", ls_json_count(differ));
    json_object_set_new(o, "first", differ > 0 ? ls_json_count(first) : json_null());
    return o;
}

static json_t *counts_json(uint64_t compared, uint64_t differ) {
    json_t *o = json_object();
    json_object_set_new(o, "compared", ls_json_count(compared));
    json_object_set_new(o, "differ", ls_json_count(differ));
    return o;
}

static json_t *vocabulary_json(const ls_vocabulary *v) {
    json_t *o = json_object(), *specials = json_array();
    json_object_set_new(o, "compared", json_boolean(v->sides[0].known && v->sides[1].known));
    json_object_set_new(o, "reference", sizes_json(&v->sides[0]));
    json_object_set_new(o, "candidate", sizes_json(&v->sides[1]));
    json_object_set_new(o, "tokens", difference_json(v->tokens_compared, v->tokens_differ, v->first_token));
    json_object_set_new(o, "types", difference_json(v->tokens_compared, v->types_differ, v->first_type));
    json_object_set_new(o, "merges", difference_json(v->merges_compared, v->merges_differ, v->first_merge));
    json_object_set_new(o, "scores", counts_json(v->scores_compared, v->scores_differ));
    json_object_set_new(o, "chat_templates", ls_json_count(v->templates_compared));
    json_object_set_new(o, "not_compared", v->left_out != NULL ? ls_json_text(v->left_out) : json_null());
    for (size_t i = 0; i < v->special_count; i++)
        json_array_append_new(specials, special_json(&v->specials[i]));
    json_object_set_new(o, "special", specials);
    return o;
}

/* --- weights */

static json_t *part_json(const ls_checkpoint_diff *d, const ls_weight_pair *p, int side) {
    const ls_tensor *t = &d->sides[side].archive->tensors[p->part[side].tensor];
    json_t *o = json_object(), *shape = json_array();
    char title[600];
    ls_weight_title(&d->weights, side, &p->part[side], title, sizeof title);
    json_object_set_new(o, "name", ls_json_text(t->name));
    json_object_set_new(o, "part", p->part[side].axis >= 0 ? ls_json_text(title + strlen(t->name)) : json_null());
    json_object_set_new(o, "dtype", ls_json_text(t->file_dtype));
    for (int i = 0; i < t->rank; i++)
        json_array_append_new(shape, ls_json_count(t->shape[i]));
    json_object_set_new(o, "shape", shape);
    json_object_set_new(o, "padding", ls_json_count(p->padding[side]));
    return o;
}

static json_t *rows_json(const ls_row_metrics *r) {
    json_t *o = json_object();
    json_object_set_new(o, "rows", ls_json_count(r->rows));
    json_object_set_new(o, "worst_nmse", ls_json_number(r->worst_nmse));
    json_object_set_new(o, "worst_row", ls_json_count(r->worst_row));
    json_object_set_new(o, "lost", ls_json_count(r->lost));
    json_object_set_new(o, "first_lost", r->lost > 0 ? ls_json_count(r->first_lost) : json_null());
    return o;
}

static json_t *pair_json(const ls_checkpoint_diff *d, const ls_weight_pair *p) {
    json_t *o = json_object();
    bool compared = p->verdict < LS_VERDICT_SHAPE;
    json_object_set_new(o, "candidate", part_json(d, p, LS_CANDIDATE));
    json_object_set_new(o, "reference", part_json(d, p, LS_REFERENCE));
    json_object_set_new(o, "by", json_string(ls_method_name(p->method)));
    json_object_set_new(o, "layout", ls_json_text(p->layout != NULL ? p->layout : ""));
    json_object_set_new(o, "verdict", json_string(ls_verdict_name(p->verdict)));
    json_object_set_new(o, "allowed_nmse", ls_json_number(p->allowed));
    json_object_set_new(o, "metrics", compared ? ls_json_metrics(&p->metrics) : json_null());
    json_object_set_new(o, "rows", compared && p->metrics.rows.rows > 0 ? rows_json(&p->metrics.rows) : json_null());
    json_object_set_new(o, "region", p->region[0] != '\0' ? ls_json_text(p->region) : json_null());
    json_object_set_new(o, "contradiction", p->contradiction != NULL ? ls_json_text(p->contradiction) : json_null());
    json_object_set_new(o, "cause", ls_weight_has_cause(p) ? ls_json_sentence(&p->cause) : json_null());
    json_object_set_new(o, "cause_id", ls_weight_has_cause(p) ? json_string(p->cause.id) : json_null());
    json_object_set_new(o, "cause_parameters", ls_weight_has_cause(p) ? ls_json_parameters(&p->cause) : json_null());
    json_object_set_new(o, "residual_nmse", ls_weight_has_cause(p) ? ls_json_number(p->cause.residual) : json_null());
    if (p->reason != NULL)
        json_object_set_new(o, "reason", ls_json_text(p->reason));
    return o;
}

static json_t *find_json(const ls_checkpoint_diff *d, const ls_weight_find *f) {
    json_t *o = json_object();
    int other = f->duplicate ? f->side : 1 - f->side;
    json_object_set_new(o, "side", json_string(f->side == LS_REFERENCE ? "reference" : "candidate"));
    json_object_set_new(o, "name", ls_json_text(d->sides[f->side].archive->tensors[f->tensor].name));
    json_object_set_new(o, "duplicate", json_boolean(f->duplicate));
    json_object_set_new(o, "of", ls_json_text(d->sides[other].archive->tensors[f->other].name));
    json_object_set_new(o, "equals", f->text != NULL ? ls_json_text(f->text) : json_null());
    json_object_set_new(o, "nmse", ls_json_number(f->nmse));
    return o;
}

static json_t *unpaired_json(const ls_weights *w, int side) {
    json_t *list = json_array();
    for (size_t i = 0; i < w->sides[side]->archive->tensor_count; i++)
        if (!w->paired[side][i])
            json_array_append_new(list, ls_json_text(w->sides[side]->archive->tensors[i].name));
    return list;
}

json_t *ls_report_weight_pairs(const ls_checkpoint_diff *diff) {
    json_t *pairs = json_array();
    for (size_t i = 0; i < diff->weights.pair_count; i++)
        if (!diff->weights.pairs[i].is_refuted)
            json_array_append_new(pairs, pair_json(diff, &diff->weights.pairs[i]));
    return pairs;
}

static json_t *weights_json(const ls_checkpoint_diff *d) {
    const ls_weights *w = &d->weights;
    static const ls_method methods[] = {LS_METHOD_NAME, LS_METHOD_PRESET, LS_METHOD_CONTENT};
    json_t *o = json_object(), *by = json_object(), *finds = json_array();
    json_object_set_new(o, "preset", w->preset.name != NULL ? ls_json_text(w->preset.name) : json_null());
    json_object_set_new(o, "coverage", ls_json_number(d->coverage));
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        json_object_set_new(by, ls_method_name(methods[i]), ls_json_count(w->by_method[methods[i]]));
    json_object_set_new(o, "by", by);
    json_object_set_new(o, "reference_only", unpaired_json(w, LS_REFERENCE));
    json_object_set_new(o, "candidate_only", unpaired_json(w, LS_CANDIDATE));
    for (size_t i = 0; i < w->find_count; i++)
        json_array_append_new(finds, find_json(d, &w->finds[i]));
    json_object_set_new(o, "found_elsewhere", finds);
    json_object_set_new(o, "pairs", ls_report_weight_pairs(d));
    return o;
}

/* The index of a pair among those that are reported. */
static json_t *shown_pair(const ls_weights *w, size_t pair) {
    size_t before = 0;
    for (size_t i = 0; i < w->pair_count && i < pair; i++)
        before += !w->pairs[i].is_refuted;
    return pair < w->pair_count && !w->pairs[pair].is_refuted ? ls_json_count(before) : json_null();
}

static json_t *findings_json(const ls_checkpoint_diff *d) {
    json_t *list = json_array();
    for (size_t i = 0; i < d->finding_count; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "kind", json_string(ls_finding_kind_name(d->findings[i].kind)));
        json_object_set_new(o, "fails", json_boolean(d->findings[i].fails));
        json_object_set_new(o, "gap", json_boolean(d->findings[i].gap));
        json_object_set_new(o, "pair", shown_pair(&d->weights, d->findings[i].pair));
        json_object_set_new(o, "text", ls_json_text(d->findings[i].text));
        json_array_append_new(list, o);
    }
    return list;
}

bool ls_report_checkpoints_json(const ls_checkpoint_report *report, FILE *out) {
    const ls_checkpoint_diff *d = report->diff;
    json_t *o = json_object();
    json_object_set_new(o, "schema", json_integer(1));
    json_object_set_new(o, "kind", json_string("checkpoints"));
    json_object_set_new(o, "produced", ls_json_produced(report->command));
    json_object_set_new(o, "verdict", json_string(ls_checkpoint_verdict_name(d)));
    json_object_set_new(o, "reference", side_json(&d->sides[LS_REFERENCE]));
    json_object_set_new(o, "candidate", side_json(&d->sides[LS_CANDIDATE]));
    json_object_set_new(o, "findings", findings_json(d));
    if ((d->what & LS_WHAT_CONFIG) != 0)
        json_object_set_new(o, "config", config_json(&d->settings));
    if ((d->what & LS_WHAT_VOCAB) != 0)
        json_object_set_new(o, "vocab", vocabulary_json(&d->vocabulary));
    if ((d->what & LS_WHAT_WEIGHTS) != 0)
        json_object_set_new(o, "weights", weights_json(d));
    ls_text text = {0};
    ls_json_dump(o, &text);
    bool ok = !text.failed && fwrite(text.data, 1, text.length, out) == text.length;
    ls_text_done(&text);
    return ok;
}
