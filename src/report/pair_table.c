#include "report/pair_table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/inherited.h"
#include "report/styles.h"
#include "report/table.h"
#include "report/titles.h"

enum { NUMBER = 24, VERDICT = 64 };

typedef enum column { PASS, ORDER, LAYER, CANDIDATE, REFERENCE, INHERITED, ADDED, EXPECTED, ERROR, LARGEST, COSINE, JUDGED, COLUMNS } column;

static const ls_column columns[COLUMNS + 1] = {
    [PASS] = {"pass", 5, false, true},
    [ORDER] = {"order", 8, false, true},
    [LAYER] = {"layer", 2, false, true},
    [CANDIDATE] = {"candidate", 0, true, false},
    [REFERENCE] = {"reference", 7, true, false},
    [INHERITED] = {"inherited", 4, false, true},
    [ADDED] = {"added", 3, false, true},
    [EXPECTED] = {"expected", 10, false, true},
    [ERROR] = {"relL2", 0, false, true},
    [LARGEST] = {"max|d|", 6, false, true},
    [COSINE] = {"cosine", 9, false, true},
    [JUDGED] = {"verdict", 0, false, false},
};

typedef struct pair_table {
    const ls_diff *diff;
    ls_table *table;
    const ls_error_parts *parts;
    bool shows_passes, shows_layers;
} pair_table;

/* ------------------------------------------------------------------ rows */

/* Failing pairs stand out by capitals, not by their colour alone. */
static const char *verdict_text(const ls_pair *p, char out[VERDICT]) {
    const char *name = ls_verdict_name(p->mark.verdict);
    const bool is_loud = ls_pair_fails(p) && ls_pair_is_known(p) && !p->mark.downstream;
    snprintf(out, VERDICT, "%s%s%s", ls_pair_fails(p) && ls_pair_is_known(p) && p->mark.downstream ? "downstream" : name, p->grade != NULL ? " " : "", p->grade != NULL ? p->grade : "");
    for (size_t i = 0; is_loud && name[i] != '\0'; i++)
        out[i] = (char)(out[i] >= 'a' && out[i] <= 'z' ? out[i] - 'a' + 'A' : out[i]);
    return out;
}

static const char *style_of(const ls_pair *p) {
    if (!ls_pair_fails(p))
        return p->mark.verdict == LS_VERDICT_EXPLAINED ? LS_DOUBT : "";
    return p->mark.downstream || !ls_pair_is_known(p) ? LS_DOUBT : LS_BAD;
}

static const char *error_text(double error, char out[NUMBER]) {
    if (isnan(error))
        out[0] = '\0';
    else if (error == 0)
        snprintf(out, NUMBER, "0");
    else
        snprintf(out, NUMBER, "%.1e", error);
    return out;
}

/* What was measured of a pair that could be compared: "-" otherwise. */
static const char *measured(const ls_pair *p, const char *format, double value, char out[NUMBER]) {
    if (ls_pair_has_metrics(p))
        snprintf(out, NUMBER, format, value);
    else
        snprintf(out, NUMBER, "-");
    return out;
}

static void add_pair(const pair_table *t, size_t pair) {
    const ls_pair *p = &t->diff->pairs.items[pair];
    const ls_node *c = &t->diff->in.candidate.trace->nodes[p->candidate], *r = &t->diff->in.reference.trace->nodes[p->reference];
    char numbers[COLUMNS][NUMBER], candidate[LS_TITLE], reference[LS_TITLE], verdict[VERDICT];
    const char *cells[COLUMNS];
    for (int i = 0; i < COLUMNS; i++)
        cells[i] = numbers[i];
    snprintf(numbers[PASS], NUMBER, "%zu", c->pass == LS_NONE ? 0 : c->pass);
    snprintf(numbers[ORDER], NUMBER, "%zu", p->candidate_value);
    snprintf(numbers[LAYER], NUMBER, c->layer >= 0 ? "%d" : "-", c->layer);
    ls_report_title(c, candidate, sizeof candidate);
    ls_report_reference_title(r, reference, sizeof reference);
    cells[PASS] = t->shows_passes ? numbers[PASS] : "";
    cells[ORDER] = t->diff->result.order_known ? numbers[ORDER] : "";
    cells[LAYER] = t->shows_layers ? numbers[LAYER] : "";
    cells[CANDIDATE] = candidate;
    cells[REFERENCE] = strcmp(c->name, r->name) != 0 ? reference : "";
    cells[JUDGED] = verdict_text(p, verdict);
    error_text(t->parts->inherited[pair], numbers[INHERITED]);
    error_text(t->parts->added[pair], numbers[ADDED]);
    error_text(t->parts->expected[pair], numbers[EXPECTED]);
    measured(p, p->metrics.rel_l2 == 0 ? "%.0f" : "%.1e", p->metrics.rel_l2, numbers[ERROR]);
    measured(p, p->metrics.max_abs == 0 ? "%.0f" : "%.1e", p->metrics.max_abs, numbers[LARGEST]);
    measured(p, "%.7f", p->metrics.cosine, numbers[COSINE]);
    if (p->mark.verdict == LS_VERDICT_NONFINITE) { /* the metrics are those of the finite rest */
        cells[ERROR] = "inf";
        cells[LARGEST] = cells[COSINE] = "-";
    }
    ls_table_add(t->table, style_of(p), cells);
}

/* ------------------------------------------------------------------ folds */

static void put_range(const char *one, const char *several, size_t first, size_t last, ls_text *out) {
    if (first == last)
        ls_text_printf(out, "%s %zu", one, first);
    else
        ls_text_printf(out, "%s %zu–%zu", several, first, last);
}

static void put_where(const pair_table *t, const ls_fold *f, ls_text *out) {
    if (f->first_layer >= 0)
        put_range("layer", "layers", (size_t)f->first_layer, (size_t)f->last_layer, out);
    if (t->shows_passes) {
        ls_text_printf(out, "%s", f->first_layer >= 0 ? ", " : "");
        put_range("pass", "passes", f->first_pass, f->last_pass, out);
    }
    ls_text_printf(out, f->first_layer >= 0 || t->shows_passes ? ": " : "");
}

/* "layers 0–4: 84 pairs agree, worst relL2 4.1e-07 (ffn_out-4 (MUL_MAT))" */
static void add_fold(const pair_table *t, const ls_fold *f) {
    const struct {
        size_t count;
        const char *one, *several;
    } kinds[] = {{f->agree, "agrees", "agree"},
                 {f->explained, "is explained", "explained"},
                 {f->downstream, "is downstream", "downstream"},
                 {f->origins, "fails by itself", "fail by themselves"},
                 {f->again, "fails as in an earlier pass", "as in an earlier pass"},
                 {f->unknown, "can't be compared", "can't be compared"}};
    ls_text line = {0};
    size_t named = 0;
    ls_text_printf(&line, "  … ");
    put_where(t, f, &line);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].count > 0) {
            const char *what = named > 0 ? "" : kinds[i].count == 1 ? " pair" : " pairs";
            ls_text_printf(&line, "%s%zu%s %s", named > 0 ? ", " : "", kinds[i].count, what, kinds[i].count == 1 ? kinds[i].one : kinds[i].several);
            named++;
        }
    if (named == 1 && f->worst != LS_NONE && ls_error_of_pair(&t->diff->pairs.items[f->worst]) > 0) {
        char name[LS_TITLE];
        ls_report_reference_title(&t->diff->in.candidate.trace->nodes[t->diff->pairs.items[f->worst].candidate], name, sizeof name);
        ls_text_printf(&line, ", worst relL2 %.1e: %s", ls_error_of_pair(&t->diff->pairs.items[f->worst]), name);
    }
    ls_table_add_line(t->table, LS_FAINT, line.data != NULL ? line.data : "");
    ls_text_done(&line);
}

/* ------------------------------------------------------------------ the table */

static bool has_passes(const ls_diff *d) {
    const ls_node *nodes = d->in.candidate.trace->nodes;
    for (size_t i = 1; i < d->pairs.count; i++)
        if (nodes[d->pairs.items[i].candidate].pass != nodes[d->pairs.items[0].candidate].pass)
            return true;
    return false;
}

static bool has_layers(const ls_diff *d) {
    for (size_t i = 0; i < d->pairs.count; i++)
        if (d->in.candidate.trace->nodes[d->pairs.items[i].candidate].layer >= 0)
            return true;
    return false;
}

void ls_put_pair_table(const ls_screen *screen, const ls_diff *d, const ls_row_choice *choice, ls_text *out) {
    ls_chosen_rows rows = {0};
    ls_error_parts parts = {0};
    ls_table table;
    if (d->pairs.count == 0)
        return;
    ls_table_init(&table, screen, columns);
    const pair_table t = {d, &table, &parts, has_passes(d), has_layers(d)};
    const bool ok = ls_chosen_rows_find(d, choice, &rows) && ls_error_parts_find(d, &parts);
    for (size_t i = 0; ok && i < rows.count; i++)
        if (rows.items[i].why == LS_ROW_FOLDED)
            add_fold(&t, &rows.items[i].fold);
        else
            add_pair(&t, rows.items[i].pair);
    table.failed = table.failed || !ok;
    ls_table_finish(&table, out);
    ls_chosen_rows_done(&rows);
    ls_error_parts_done(&parts);
}
