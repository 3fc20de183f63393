#include "report/summary_lines.h"

#include "report/json_values.h"

/* ------------------------------------------------------------------ logits */

static void put_changed(const ls_predictions *p, ls_text *out) {
    const ls_changed_prediction *f = &p->first;
    ls_text_printf(out, "the most likely token is another in %llu of %llu rows (first: pass %zu, row %llu: token %lld, where the reference has %lld", (unsigned long long)p->changed,
                   (unsigned long long)p->rows, f->pass, (unsigned long long)f->row, (long long)f->candidate, (long long)f->reference);
    if (f->margin - f->margin == 0)
        ls_text_printf(out, " by a margin of %.3g", f->margin);
    ls_text_printf(out, ")");
}

static void put_same(const ls_predictions *p, ls_text *out) {
    if (p->nan > 0)
        ls_text_printf(out, "%llu of %llu rows hold NaN; in the others, ", (unsigned long long)p->nan, (unsigned long long)p->rows);
    ls_text_printf(out, "the most likely token is the same");
    if (p->rows - p->nan > 1)
        ls_text_printf(out, " in all %llu rows, by a margin of at least %.3g", (unsigned long long)(p->rows - p->nan), p->closest);
    else
        ls_text_printf(out, ", by a margin of %.3g", p->closest);
}

void ls_report_logits(const ls_comparison *c, ls_text *out) {
    const ls_predictions *p = c->predictions;
    if (p == NULL || p->rows == 0)
        return;
    if (p->nan == p->rows)
        ls_text_printf(out, "all rows hold NaN");
    else if (p->changed > 0)
        put_changed(p, out);
    else
        put_same(p, out);
    if (p->reordered > 0)
        ls_text_printf(out, "; among the first %d there are others in %llu", LS_PREDICTIONS_TOP, (unsigned long long)p->reordered);
    if (p->changed > 0 && p->nan > 0)
        ls_text_printf(out, "; %llu rows hold NaN", (unsigned long long)p->nan);
    if (p->changed + p->nan == 0 && c->diff->result.outcome == LS_OUTCOME_DIVERGED)
        ls_text_printf(out, ": greedy decoding would not have shown the divergence");
}

json_t *ls_report_logits_json(const ls_comparison *c) {
    const ls_predictions *p = c->predictions;
    if (p == NULL || p->rows == 0)
        return json_null();
    const ls_changed_prediction *f = &p->first;
    json_t *first = p->changed == 0 ? json_null()
                                    : json_pack("{s:o, s:o, s:I, s:I, s:o, s:o}", "pass", ls_json_count(f->pass), "row", ls_json_count(f->row), "reference", (json_int_t)f->reference, "candidate",
                                                (json_int_t)f->candidate, "margin", ls_json_number(f->margin), "candidate_margin", ls_json_number(f->own_margin));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "rows", ls_json_count(p->rows), "nan_rows", ls_json_count(p->nan), "argmax_changed", ls_json_count(p->changed), "top5_changed", ls_json_count(p->reordered), "closest",
                     ls_json_number(p->closest), "first_changed", first);
}

/* ------------------------------------------------------------------ configuration */

static const ls_settings *settings_of(const ls_comparison *c) {
    return c->checkpoints != NULL && (c->checkpoints->what & LS_WHAT_CONFIG) != 0 && c->checkpoints->settings.count > 0 ? &c->checkpoints->settings : NULL;
}

static const char *value_of(const ls_setting_value *v) { return v->known ? v->text : "not given"; }

void ls_report_configuration(const ls_comparison *c, ls_text *out) {
    const ls_settings *s = settings_of(c);
    size_t equal = 0, differ = 0;
    for (size_t i = 0; s != NULL && i < s->count; i++) {
        equal += s->items[i].verdict == LS_SETTING_EQUAL;
        if (s->items[i].verdict != LS_SETTING_DIFFERS)
            continue;
        ls_text_printf(out, "%s%s: %s, candidate %s", differ++ == 0 ? "DIFFERS in " : "; ", s->items[i].meaning, value_of(&s->items[i].sides[0]), value_of(&s->items[i].sides[1]));
    }
    if (differ == 0 && equal > 0)
        ls_text_printf(out, "%zu settings of the two checkpoints are equal, none differs", equal);
}

static json_t *value_json(const ls_setting_value *v) {
    return v->known ? json_pack("{s:o, s:o}", "key", v->key != NULL ? ls_json_text(v->key) : json_null(), "value", ls_json_text(v->text)) : json_null();
}

json_t *ls_report_configuration_json(const ls_comparison *c) {
    const ls_settings *s = settings_of(c);
    json_t *list = s != NULL ? json_array() : json_null();
    for (size_t i = 0; s != NULL && i < s->count; i++)
        if (s->items[i].verdict == LS_SETTING_DIFFERS)
            json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o}", "id", s->items[i].id, "meaning", s->items[i].meaning, "reference", value_json(&s->items[i].sides[0]), "candidate",
                                                  value_json(&s->items[i].sides[1])));
    return list;
}
