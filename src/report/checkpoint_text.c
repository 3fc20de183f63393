#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "report/cells.h"
#include "report/report.h"

enum { NAME = 300, SHOWN = 5, LABEL = 11 };

static void escaped(const char *text, char *out, size_t capacity) { ls_escape(text, strlen(text), out, capacity); }

/* --- the head */

/* At most four types of the weights, those with most bytes first. */
static void put_types(ls_text *out, const lockstep_archive *a) {
    const char *names[64];
    uint64_t bytes[64];
    size_t count = 0;
    for (size_t i = 0; i < a->tensor_count; i++) {
        size_t k = 0;
        while (k < count && strcmp(names[k], a->tensors[i].file_dtype) != 0)
            k++;
        if (k == count && count == 64)
            continue;
        if (k == count)
            names[count] = a->tensors[i].file_dtype, bytes[count++] = 0;
        bytes[k] += a->tensors[i].bytes;
    }
    for (int shown = 0; shown < 4; shown++) {
        size_t best = count;
        for (size_t k = 0; k < count; k++)
            if (names[k] != NULL && (best == count || bytes[k] > bytes[best]))
                best = k;
        if (best == count)
            return;
        char name[80];
        escaped(names[best], name, sizeof name);
        ls_text_printf(out, "%s%s", shown > 0 ? ", " : "", name);
        names[best] = NULL;
    }
    ls_text_printf(out, ", …");
}

static void put_side(ls_text *out, const char *role, const ls_checkpoint *c) {
    char path[NAME], model[NAME];
    uint64_t bytes = 0;
    escaped(c->archive->path, path, sizeof path);
    escaped(c->model[0] != '\0' ? c->model : c->architecture, model, sizeof model);
    for (size_t i = 0; i < c->archive->tensor_count; i++)
        bytes += c->archive->tensors[i].bytes;
    ls_text_printf(out, "%-10s %s  %s%s%s  %zu tensors  %.*f MB  ", role, path, c->archive->format, *model ? "  " : "", model,
                   c->archive->tensor_count, bytes < 10000000 ? 2 : 0, (double)bytes / 1e6);
    put_types(out, c->archive);
    ls_text_printf(out, "\n");
}

static void put_settings(ls_text *out, const ls_settings *s) {
    size_t by[3] = {0};
    for (size_t i = 0; i < s->count; i++)
        by[s->items[i].verdict]++;
    if (by[LS_SETTING_EQUAL] + by[LS_SETTING_DIFFERS] == 0) {
        ls_text_printf(out, "config     not compared: %s\n", s->count > 0 ? "only one side has any" : "neither side has any");
        return;
    }
    ls_text_printf(out, "config     %zu equal, %zu differ", by[LS_SETTING_EQUAL], by[LS_SETTING_DIFFERS]);
    ls_text_printf(out, by[LS_SETTING_ONE_SIDED] > 0 ? ", %zu given by one side only\n" : "\n", by[LS_SETTING_ONE_SIDED]);
}

static void put_vocabulary(ls_text *out, const ls_vocabulary *v) {
    if (!v->sides[0].known || !v->sides[1].known) {
        ls_text_printf(out, "vocab      not compared: %s\n",
                       v->sides[0].known ? "the candidate has none" : v->sides[1].known ? "the reference has none" : "neither side has any");
        return;
    }
    ls_text_printf(out, "vocab      %llu tokens, %llu differ; ", (unsigned long long)v->tokens_compared, (unsigned long long)v->tokens_differ);
    if (v->merges_compared > 0)
        ls_text_printf(out, "%llu merges, %llu differ; ", (unsigned long long)v->merges_compared, (unsigned long long)v->merges_differ);
    size_t differ = 0;
    for (size_t i = 0; i < v->special_count; i++)
        differ += v->specials[i].differs;
    ls_text_printf(out, "%zu special tokens, %zu differ", v->special_count, differ);
    if (v->scores_compared > 0)
        ls_text_printf(out, "; %llu scores, %llu differ", (unsigned long long)v->scores_compared, (unsigned long long)v->scores_differ);
    ls_text_printf(out, v->left_out != NULL ? "; not compared: %s\n" : "\n", v->left_out);
}

static void put_weights(ls_text *out, const ls_checkpoint_diff *d) {
    const ls_weights *w = &d->weights;
    size_t paired = 0, total = w->sides[LS_CANDIDATE]->archive->tensor_count, by[LS_VERDICT_UNSUPPORTED + 1] = {0};
    for (size_t i = 0; i < total; i++)
        paired += w->paired[LS_CANDIDATE][i];
    for (size_t i = 0; i < w->pair_count; i++)
        by[w->pairs[i].verdict]++;
    ls_text_printf(out, "weights    %zu of %zu candidate tensors paired (", paired, total);
    const char *separator = "";
    for (int how = 0; how < LS_METHOD_COUNT; how++)
        if (w->by_method[how] > 0) {
            ls_text_printf(out, "%s%zu by %s%s%s", separator, w->by_method[how], ls_method_name((ls_method)how),
                           how == LS_METHOD_PRESET ? " " : "", how == LS_METHOD_PRESET ? w->preset.name : "");
            separator = ", ";
        }
    ls_text_printf(out, "%s), %.1f %% of elements compared\n           ", *separator ? "" : "none", 100 * d->coverage);
    separator = "";
    for (int verdict = 0; verdict <= LS_VERDICT_UNSUPPORTED; verdict++)
        if (by[verdict] > 0) {
            ls_text_printf(out, "%s%s %zu", separator, ls_verdict_name((ls_verdict)verdict), by[verdict]);
            separator = ", ";
        }
    ls_text_printf(out, "\n");
}

/* --- quantization, by type */

typedef struct type_row {
    const char *name;
    lockstep_dtype dtype;
    size_t count, worst;
    double error2, squares;
} type_row;

static bool is_lossy(const ls_checkpoint_diff *d, const ls_weight_pair *p) {
    lockstep_dtype a = d->sides[0].archive->tensors[p->part[0].tensor].dtype, b = d->sides[1].archive->tensors[p->part[1].tensor].dtype;
    return p->verdict < LS_VERDICT_SHAPE && p->verdict != LS_VERDICT_IDENTICAL && p->verdict != LS_VERDICT_DIFFERS && a != b;
}

static void put_quality(ls_text *out, const ls_checkpoint_diff *d) {
    type_row types[LOCKSTEP_DTYPE_COUNT] = {0};
    size_t count = 0;
    for (size_t i = 0; i < d->weights.pair_count; i++) {
        const ls_weight_pair *p = &d->weights.pairs[i];
        const ls_tensor *t = &d->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor];
        size_t k = 0;
        if (!is_lossy(d, p))
            continue;
        while (k < count && types[k].dtype != t->dtype)
            k++;
        if (k == count)
            types[count++] = (type_row){.name = lockstep_dtype_name(t->dtype), .dtype = t->dtype, .worst = i};
        types[k].count++;
        types[k].error2 += p->metrics.rmse * p->metrics.rmse * (double)p->metrics.finite;
        types[k].squares += p->metrics.reference.l2 * p->metrics.reference.l2;
        if (p->metrics.nmse > d->weights.pairs[types[k].worst].metrics.nmse)
            types[k].worst = i;
    }
    if (count == 0)
        return;
    ls_text_printf(out, "           type     tensors  NMSE     SQNR     worst    typical of the type\n");
    for (size_t k = 0; k < count; k++) {
        const ls_quality_row *row = ls_quality_of(types[k].dtype);
        double nmse = types[k].error2 / types[k].squares;
        char title[NAME], name[NAME];
        ls_weight_title(&d->weights, LS_CANDIDATE, &d->weights.pairs[types[k].worst].part[LS_CANDIDATE], title, sizeof title);
        escaped(title, name, sizeof name);
        ls_text_printf(out, "           %-8s %7zu  %-8.1e %5.1f dB %-8.1e ", types[k].name, types[k].count, nmse, -10 * log10(nmse),
                       d->weights.pairs[types[k].worst].metrics.nmse);
        if (row != NULL)
            ls_text_printf(out, "%.1e to %.1e", fmin(row->gaussian, row->trained), fmax(row->gaussian, row->trained));
        ls_text_printf(out, "  (%s)\n", name);
    }
}

/* --- findings and pairs */

static void put_findings(ls_text *out, const ls_checkpoint_diff *d, bool all, int width) {
    size_t of_kind[LS_FINDING_KINDS] = {0}, total[LS_FINDING_KINDS] = {0};
    for (size_t i = 0; i < d->finding_count; i++)
        total[d->findings[i].kind]++;
    if (d->finding_count > 0)
        ls_text_printf(out, "findings, the most suspicious first:\n");
    for (size_t i = 0; i < d->finding_count; i++) {
        const ls_finding *f = &d->findings[i];
        if (!all && of_kind[f->kind]++ >= SHOWN) {
            if (of_kind[f->kind] == SHOWN + 1)
                ls_text_printf(out, "  %-*s … and %zu more of this kind (--all shows them)\n", LABEL, "", total[f->kind] - SHOWN);
            continue;
        }
        ls_text_printf(out, "  %-*s ", LABEL, ls_finding_kind_name(f->kind));
        ls_put_wrapped(out, f->text, LABEL + 3, width);
    }
}

static void pair_title(const ls_checkpoint_diff *d, const ls_weight_pair *p, int side, char out[NAME]) {
    char title[NAME];
    ls_weight_title(&d->weights, side, &p->part[side], title, sizeof title);
    escaped(title, out, NAME);
}

static int widest(const ls_checkpoint_diff *d, int side) {
    int widest_name = 9;
    char title[NAME];
    for (size_t i = 0; i < d->weights.pair_count; i++) {
        pair_title(d, &d->weights.pairs[i], side, title);
        int columns = ls_columns_of(title);
        widest_name = columns > widest_name ? columns : widest_name;
    }
    return widest_name;
}

static void put_pair(ls_text *out, const ls_checkpoint_diff *d, const ls_weight_pair *p, const int widths[LS_SIDES]) {
    char text[NAME];
    for (int side = LS_SIDES; side-- > 0;) {
        pair_title(d, p, side, text);
        if (widths[side] > 0) {
            ls_put_cell(out, text, widths[side]);
            ls_text_printf(out, " ");
        }
    }
    escaped(d->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor].file_dtype, text, 9);
    ls_text_printf(out, "%-8s ", text);
    if (p->verdict < LS_VERDICT_SHAPE)
        ls_text_printf(out, "%-8.1e %5.1f dB ", p->metrics.nmse, p->metrics.sqnr_db);
    else
        ls_text_printf(out, "%-8s %-8s ", "-", "-");
    ls_text_printf(out, "%s%s%s\n", ls_verdict_name(p->verdict), p->layout != NULL ? "  " : "", p->layout != NULL ? p->layout : "");
}

/* In a narrow terminal, the reference's names are shortened or left out. */
static void put_pairs(ls_text *out, const ls_checkpoint_diff *d, int width) {
    enum { BESIDE = 42, NARROW = 110, LEAST = 20 };
    int widths[LS_SIDES] = {widest(d, LS_REFERENCE), widest(d, LS_CANDIDATE)}, room = width - BESIDE;
    if (width > 0 && width < NARROW) {
        widths[LS_REFERENCE] = 0;
        widths[LS_CANDIDATE] = widths[LS_CANDIDATE] > room ? (room > LEAST ? room : LEAST) : widths[LS_CANDIDATE];
    } else if (width > 0 && widths[0] + widths[1] > room) {
        widths[LS_CANDIDATE] = widths[LS_CANDIDATE] < room / 2 ? widths[LS_CANDIDATE] : room / 2;
        widths[LS_REFERENCE] = widths[LS_REFERENCE] < room - widths[LS_CANDIDATE] ? widths[LS_REFERENCE] : room - widths[LS_CANDIDATE];
    }
    ls_put_cell(out, "candidate", widths[LS_CANDIDATE]);
    ls_text_printf(out, " ");
    if (widths[LS_REFERENCE] > 0) {
        ls_put_cell(out, "reference", widths[LS_REFERENCE]);
        ls_text_printf(out, " ");
    }
    ls_text_printf(out, "type     NMSE     SQNR     verdict\n");
    for (size_t i = 0; i < d->weights.pair_count; i++)
        put_pair(out, d, &d->weights.pairs[i], widths);
}

static void put_all_settings(ls_text *out, const ls_settings *s) {
    for (size_t i = 0; i < s->count; i++) {
        char text[2][2 * LS_VALUE_TEXT], meaning[NAME];
        escaped(s->items[i].meaning, meaning, sizeof meaning);
        for (int side = 0; side < 2; side++)
            escaped(s->items[i].sides[side].known ? s->items[i].sides[side].text : "-", text[side], sizeof text[side]);
        ls_text_printf(out, "  %-28s %-24s %-24s %s\n", meaning, text[0], text[1], ls_setting_verdict_name(s->items[i].verdict));
    }
}

void ls_report_checkpoints(const ls_checkpoint_diff *d, bool all, int width, ls_text *out) {
    put_side(out, "reference", &d->sides[LS_REFERENCE]);
    put_side(out, "candidate", &d->sides[LS_CANDIDATE]);
    if ((d->what & LS_WHAT_CONFIG) != 0)
        put_settings(out, &d->settings);
    if (all)
        put_all_settings(out, &d->settings);
    if ((d->what & LS_WHAT_VOCAB) != 0)
        put_vocabulary(out, &d->vocabulary);
    if ((d->what & LS_WHAT_WEIGHTS) != 0) {
        put_weights(out, d);
        put_quality(out, d);
        if (all)
            put_pairs(out, d, width);
    }
    put_findings(out, d, all, width);
    size_t failing = 0, gaps = 0;
    for (size_t i = 0; i < d->finding_count; i++) {
        failing += d->findings[i].fails;
        gaps += d->findings[i].gap;
    }
    const char *plural = (failing > 0 ? failing : gaps) == 1 ? "" : "s";
    if (d->differs)
        ls_text_printf(out, "verdict: differs (%zu finding%s)\n", failing, plural);
    else if (d->matches)
        ls_text_printf(out, "verdict: match\n");
    else if (d->comparable)
        ls_text_printf(out, "verdict: incomplete (nothing differs; %zu part%s could not be compared)\n", gaps, plural);
    else
        ls_text_printf(out, "verdict: nothing could be compared\n");
}

void ls_report_weights(const ls_checkpoint_diff *d, ls_text *out) {
    enum { ALL_SHOWN = 8 };
    char title[LS_SIDES][NAME], text[600];
    size_t alike = 0;
    for (size_t i = 0; i < d->weights.pair_count; i++) {
        const ls_weight_pair *p = &d->weights.pairs[i];
        if (p->is_refuted || (d->weights.pair_count > ALL_SHOWN && !ls_weight_fails(p))) {
            alike += !p->is_refuted;
            continue;
        }
        for (int side = 0; side < LS_SIDES; side++) {
            ls_weight_title(&d->weights, side, &p->part[side], text, sizeof text);
            escaped(text, title[side], NAME);
        }
        ls_text_printf(out, "weight: %s against %s: %s", title[LS_CANDIDATE], title[LS_REFERENCE], ls_verdict_name(p->verdict));
        if (p->verdict < LS_VERDICT_SHAPE && p->verdict != LS_VERDICT_IDENTICAL)
            ls_text_printf(out, ", NMSE %.1e (limit for %s: %.1e)", p->metrics.nmse,
                           d->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor].file_dtype, p->allowed);
        if (ls_weight_has_cause(p)) {
            ls_text cause = {0};
            ls_cause_text(&p->cause, &cause);
            escaped(cause.data != NULL ? cause.data : "", text, sizeof text);
            ls_text_printf(out, "; %s", text);
            ls_text_done(&cause);
        }
        ls_text_printf(out, "\n");
    }
    if (alike > 0)
        ls_text_printf(out, "weights: %zu of %zu are the reference's, as far as their types can tell\n", alike, d->weights.pair_count);
    if (d->weights.pair_count == 0)
        ls_text_printf(out, "weight: no weight that went into it is in both checkpoints\n");
}
