#include "report/json_values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *ls_json_number(double value) {
    return isfinite(value) ? json_real(value) : json_string(isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

json_t *ls_json_text(const char *value) {
    ls_text quoted = {0};
    ls_text_json(&quoted, value, strlen(value));
    json_t *out = json_loads(quoted.data != NULL ? quoted.data : "\"\"", JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    ls_text_done(&quoted);
    return out;
}

json_t *ls_json_sentence(const ls_cause *cause) {
    ls_text text = {0};
    ls_cause_text(cause, &text);
    json_t *sentence = ls_json_text(text.data != NULL ? text.data : "");
    ls_text_done(&text);
    return sentence;
}

json_t *ls_json_parameters(const ls_cause *cause) {
    json_t *o = json_object();
    for (const ls_cause_parameter *p = cause->parameters; p < cause->parameters + LS_CAUSE_PARAMETERS && p->name != NULL; p++)
        json_object_set_new(o, p->name, p->text != NULL ? ls_json_text(p->text) : ls_json_number(p->number));
    return o;
}

json_t *ls_json_count(uint64_t value) { return json_integer((json_int_t)value); }

static json_t *side_json(const struct ls_side_stats *s) {
    json_t *o = json_object();
    json_object_set_new(o, "min", ls_json_number(s->min));
    json_object_set_new(o, "max", ls_json_number(s->max));
    json_object_set_new(o, "mean", ls_json_number(s->mean));
    json_object_set_new(o, "std", ls_json_number(s->std));
    json_object_set_new(o, "l2", ls_json_number(s->l2));
    return o;
}

json_t *ls_json_metrics(const ls_metrics *m) {
    const struct {
        const char *key;
        double value;
    } reals[] = {{"rel_l2", m->rel_l2}, {"max_abs", m->max_abs}, {"max_rel", m->max_rel}, {"mean_abs", m->mean_abs},
                 {"mean_rel", m->mean_rel}, {"rmse", m->rmse}, {"nmse", m->nmse}, {"nmse_var", m->nmse_var},
                 {"max_abs_over_max", m->max_abs_over_max}, {"cosine", m->cosine}, {"sqnr_db", m->sqnr_db},
                 {"max_ulp", m->max_ulp}, {"max_abs_reference", m->max_abs_reference},
                 {"max_abs_candidate", m->max_abs_candidate}};
    const struct {
        const char *key;
        uint64_t value;
    } counts[] = {{"elements", m->elements}, {"finite", m->finite}, {"max_abs_at", m->max_abs_at},
                  {"max_rel_at", m->max_rel_at}, {"beyond", m->beyond}, {"nan_reference", m->nan_reference},
                  {"nan_candidate", m->nan_candidate}, {"inf_reference", m->inf_reference},
                  {"inf_candidate", m->inf_candidate}, {"nonfinite_differ", m->nonfinite_differ},
                  {"masked", m->masked}, {"masked_differ", m->masked_differ}};
    json_t *o = json_object(), *above = json_object();
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        json_object_set_new(o, reals[i].key, ls_json_number(reals[i].value));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        json_object_set_new(o, counts[i].key, ls_json_count(counts[i].value));
    for (int i = 0; i < LS_SHARES; i++) {
        char key[16];
        snprintf(key, sizeof key, "%.0e", ls_share_thresholds[i]);
        json_object_set_new(above, key, ls_json_count(m->above[i]));
    }
    json_object_set_new(o, "above", above);
    json_object_set_new(o, "identical", json_boolean(m->identical));
    json_object_set_new(o, "reference", side_json(&m->reference));
    json_object_set_new(o, "candidate", side_json(&m->candidate));
    return o;
}

void ls_json_dump(json_t *document, ls_text *out) {
    char *dumped = json_dumps(document, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    json_decref(document);
    if (dumped != NULL)
        ls_text_append(out, dumped, strlen(dumped));
    else
        out->failed = true;
    ls_text_append(out, "\n", 1);
    free(dumped);
}
