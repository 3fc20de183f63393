#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "report/cells.h"
#include "report/report.h"
#include "report/styles.h"
#include "report/table.h"
#include "report/titles.h"

enum { NAME = 300, SHOWN = 5, LABEL = 11 };

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
        ls_title_text(names[best], name, sizeof name);
        ls_text_printf(out, "%s%s", shown > 0 ? ", " : "", name);
        names[best] = NULL;
    }
    ls_text_printf(out, ", …");
}

/* In one line: a path that is too long loses its middle. */
static void put_side(const ls_screen *screen, ls_text *out, const char *role, const ls_checkpoint *c) {
    enum { LEAST = 16 };
    char path[NAME], model[NAME];
    uint64_t bytes = 0;
    ls_text rest = {0};
    ls_title_text(c->archive->path, path, sizeof path);
    ls_title_text(c->model[0] != '\0' ? c->model : c->architecture, model, sizeof model);
    for (size_t i = 0; i < c->archive->tensor_count; i++)
        bytes += c->archive->tensors[i].bytes;
    ls_text_printf(&rest, "  %s%s%s  %zu tensors  %.*f MB  ", c->archive->format, *model ? "  " : "", model, c->archive->tensor_count, bytes < 10000000 ? 2 : 0, (double)bytes / 1e6);
    put_types(&rest, c->archive);
    const int room = screen->width - LABEL - ls_columns_of(rest.data != NULL ? rest.data : "");
    ls_text_printf(out, "%-*s", LABEL, role);
    ls_put_cut(screen, path, screen->width <= 0 ? (int)sizeof path : room > LEAST ? room : LEAST, out);
    ls_text_printf(out, "%s\n", rest.data != NULL ? rest.data : "");
    ls_text_done(&rest);
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

static void add_type(const ls_checkpoint_diff *d, const type_row *type, ls_table *table) {
    enum { NUMBER = 64 };
    const ls_quality_row *row = ls_quality_of(type->dtype);
    const ls_weight_pair *worst = &d->weights.pairs[type->worst];
    const double nmse = type->error2 / type->squares;
    char title[NAME], name[NAME], numbers[5][NUMBER] = {""};
    ls_weight_title(&d->weights, LS_CANDIDATE, &worst->part[LS_CANDIDATE], title, sizeof title);
    ls_title_text(title, name, sizeof name);
    snprintf(numbers[0], NUMBER, "%zu", type->count);
    snprintf(numbers[1], NUMBER, "%.1e", nmse);
    snprintf(numbers[2], NUMBER, "%.1f dB", -10 * log10(nmse));
    snprintf(numbers[3], NUMBER, "%.1e", worst->metrics.nmse);
    if (row != NULL)
        snprintf(numbers[4], NUMBER, "%.1e to %.1e", fmin(row->gaussian, row->trained), fmax(row->gaussian, row->trained));
    const char *cells[] = {" ", type->name, numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], name};
    ls_table_add(table, "", cells);
}

/* Below the line about the weights. */
static void put_types_table(const ls_checkpoint_diff *d, const type_row *types, size_t count, const ls_screen *screen, ls_text *out) {
    static const ls_column columns[] = {{"         ", 0, false, false}, {"type", 0, false, false}, {"tensors", 0, false, true}, {"NMSE", 0, false, true}, {"SQNR", 2, false, true},
                                        {"worst", 0, false, true}, {"typical of the type", 1, false, false}, {"worst at", 3, true, false}, {0}};
    ls_table table;
    ls_table_init(&table, screen, columns);
    for (size_t k = 0; k < count; k++)
        add_type(d, &types[k], &table);
    ls_table_finish(&table, out);
}

static void put_quality(ls_text *out, const ls_checkpoint_diff *d, const ls_screen *screen) {
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
    put_types_table(d, types, count, screen, out);
}

/* --- findings and pairs */

static void put_findings(ls_text *out, const ls_checkpoint_diff *d, bool all) {
    size_t of_kind[LS_FINDING_KINDS] = {0}, total[LS_FINDING_KINDS] = {0};
    for (size_t i = 0; i < d->finding_count; i++)
        total[d->findings[i].kind]++;
    if (d->finding_count > 0)
        ls_text_printf(out, "findings, the most suspicious first:\n");
    for (size_t i = 0; i < d->finding_count; i++) {
        const ls_finding *f = &d->findings[i];
        if (!all && of_kind[f->kind]++ >= SHOWN) {
            if (of_kind[f->kind] == SHOWN + 1)
                ls_text_printf(out, "%-*s… and %zu more of this kind (--all shows them)\n", LABEL, "", total[f->kind] - SHOWN);
            continue;
        }
        ls_text_printf(out, "%s%-*s" LS_PLAIN LS_HANG "%s\n", f->fails ? LS_BAD : LS_DOUBT, LABEL, ls_finding_kind_name(f->kind), f->text);
    }
}

static void pair_title(const ls_checkpoint_diff *d, const ls_weight_pair *p, int side, char out[NAME]) {
    char title[NAME];
    ls_weight_title(&d->weights, side, &p->part[side], title, sizeof title);
    ls_title_text(title, out, NAME);
}

static void add_pair(const ls_checkpoint_diff *d, const ls_weight_pair *p, ls_table *table) {
    enum { NUMBER = 32 };
    char titles[LS_SIDES][NAME], type[NAME], numbers[2][NUMBER] = {"-", "-"};
    for (int side = 0; side < LS_SIDES; side++)
        pair_title(d, p, side, titles[side]);
    ls_title_text(d->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor].file_dtype, type, sizeof type);
    if (p->verdict < LS_VERDICT_SHAPE) {
        snprintf(numbers[0], NUMBER, "%.1e", p->metrics.nmse);
        snprintf(numbers[1], NUMBER, "%.1f dB", p->metrics.sqnr_db);
    }
    const char *cells[] = {titles[LS_CANDIDATE], titles[LS_REFERENCE], type, numbers[0], numbers[1], ls_verdict_name(p->verdict), p->layout != NULL ? p->layout : ""};
    ls_table_add(table, ls_weight_fails(p) ? LS_BAD : "", cells);
}

static void put_pairs(ls_text *out, const ls_checkpoint_diff *d, const ls_screen *screen) {
    static const ls_column columns[] = {{"candidate", 0, true, false}, {"reference", 5, true, false}, {"type", 1, false, false}, {"NMSE", 0, false, true},
                                        {"SQNR", 2, false, true}, {"verdict", 0, false, false}, {"layout", 4, false, false}, {0}};
    ls_table table;
    ls_table_init(&table, screen, columns);
    for (size_t i = 0; i < d->weights.pair_count; i++)
        add_pair(d, &d->weights.pairs[i], &table);
    ls_table_finish(&table, out);
}

static void put_all_settings(ls_text *out, const ls_settings *s, const ls_screen *screen) {
    static const ls_column columns[] = {{"setting", 0, true, false}, {"reference", 0, true, false}, {"candidate", 0, true, false}, {"verdict", 0, false, false}, {0}};
    ls_table table;
    ls_table_init(&table, screen, columns);
    for (size_t i = 0; i < s->count; i++) {
        char text[2][2 * LS_VALUE_TEXT], meaning[NAME];
        ls_title_text(s->items[i].meaning, meaning, sizeof meaning);
        for (int side = 0; side < 2; side++)
            ls_title_text(s->items[i].sides[side].known ? s->items[i].sides[side].text : "-", text[side], sizeof text[side]);
        const char *cells[] = {meaning, text[0], text[1], ls_setting_verdict_name(s->items[i].verdict)};
        ls_table_add(&table, s->items[i].verdict == LS_SETTING_DIFFERS ? LS_BAD : "", cells);
    }
    ls_table_finish(&table, out);
}

static void put_verdict(ls_text *out, const ls_checkpoint_diff *d) {
    size_t failing = 0, gaps = 0;
    for (size_t i = 0; i < d->finding_count; i++) {
        failing += d->findings[i].fails;
        gaps += d->findings[i].gap;
    }
    const char *plural = (failing > 0 ? failing : gaps) == 1 ? "" : "s";
    ls_text_printf(out, "\n%s", d->differs ? LS_BAD : d->matches ? LS_GOOD : LS_DOUBT);
    if (d->differs)
        ls_text_printf(out, "verdict: differs (%zu finding%s)", failing, plural);
    else if (d->matches)
        ls_text_printf(out, "verdict: match");
    else if (d->comparable)
        ls_text_printf(out, "verdict: incomplete (nothing differs; %zu part%s could not be compared)", gaps, plural);
    else
        ls_text_printf(out, "verdict: nothing could be compared");
    ls_text_printf(out, LS_PLAIN "\n");
}

void ls_report_checkpoints(const ls_checkpoint_diff *d, bool all, const ls_screen *screen, ls_text *out) {
    ls_text lines = {0};
    put_side(screen, &lines, "reference", &d->sides[LS_REFERENCE]);
    put_side(screen, &lines, "candidate", &d->sides[LS_CANDIDATE]);
    if ((d->what & LS_WHAT_CONFIG) != 0)
        put_settings(&lines, &d->settings);
    if (all)
        put_all_settings(&lines, &d->settings, screen);
    if ((d->what & LS_WHAT_VOCAB) != 0)
        put_vocabulary(&lines, &d->vocabulary);
    if ((d->what & LS_WHAT_WEIGHTS) != 0) {
        put_weights(&lines, d);
        put_quality(&lines, d, screen);
        if (all)
            put_pairs(&lines, d, screen);
    }
    put_findings(&lines, d, all);
    put_verdict(&lines, d);
    ls_screen_print(screen, &lines, out);
    ls_text_done(&lines);
}

static void put_weight_line(const ls_checkpoint_diff *d, const ls_weight_pair *p, ls_text *out) {
    char title[LS_SIDES][NAME], text[600];
    for (int side = 0; side < LS_SIDES; side++) {
        ls_weight_title(&d->weights, side, &p->part[side], text, sizeof text);
        ls_title_text(text, title[side], NAME);
    }
    ls_text_printf(out, "weight: %s against %s: %s", title[LS_CANDIDATE], title[LS_REFERENCE], ls_verdict_name(p->verdict));
    if (p->verdict < LS_VERDICT_SHAPE && p->verdict != LS_VERDICT_IDENTICAL)
        ls_text_printf(out, ", NMSE %.1e (limit for %s: %.1e)", p->metrics.nmse, d->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor].file_dtype, p->allowed);
    if (ls_weight_has_cause(p)) {
        ls_text cause = {0};
        ls_cause_text(&p->cause, &cause);
        ls_title_text(cause.data != NULL ? cause.data : "", text, sizeof text);
        ls_text_printf(out, "; %s", text);
        ls_text_done(&cause);
    }
    ls_text_printf(out, "\n");
}

void ls_report_weights(const ls_checkpoint_diff *d, bool counts, bool all, ls_text *out) {
    enum { ALL_SHOWN = 8, FIRST = 3 };
    size_t alike = 0, shown = 0;
    for (size_t i = 0; i < d->weights.pair_count; i++) {
        const ls_weight_pair *p = &d->weights.pairs[i];
        if (p->is_refuted || (d->weights.pair_count > ALL_SHOWN && !ls_weight_fails(p)))
            alike += !p->is_refuted;
        else if (all || shown++ < FIRST || d->weights.pair_count <= ALL_SHOWN)
            put_weight_line(d, p, out);
    }
    if (shown > FIRST && d->weights.pair_count > ALL_SHOWN)
        ls_text_printf(out, "  and %zu more weights that are not the reference's (--all)\n", shown - FIRST);
    if (alike > 0 && counts)
        ls_text_printf(out, "weights: %zu of %zu are the reference's, as far as their types can tell\n", alike, d->weights.pair_count);
    if (d->weights.pair_count == 0)
        ls_text_printf(out, "weight: no weight that went into it is in both checkpoints\n");
}
