#include "report/verify_report.h"

#include <jansson.h>
#include <string.h>

#include "base/escape.h"
#include "report/json_values.h"
#include "report/styles.h"
#include "report/table.h"
#include "report/titles.h"

enum { NAME_TEXT = 300, SHOWN = 20 };

static const char *const faults[] = {"agrees", "WRONG KERNEL", "DUMP ERROR", "UNDECIDED"};
static const char *const ids[] = {"agrees", "wrong-kernel", "dump-error", "undecided"};

/* "Qcur-0 (ROPE)" */
static void name_of(const ls_verification *v, const ls_check *c, char *out, size_t capacity) {
    const ls_node *n = &v->trace->nodes[c->node];
    char name[NAME_TEXT];
    ls_escape(n->name, strlen(n->name), name, sizeof name);
    snprintf(out, capacity, "%.200s (%.40s)", name, n->kind->name);
}

static void put_header(const ls_verification *v, ls_text *out) {
    char path[NAME_TEXT], engine[NAME_TEXT];
    ls_escape(v->trace->path, strlen(v->trace->path), path, sizeof path);
    ls_escape(v->trace->engine, strlen(v->trace->engine), engine, sizeof engine);
    ls_text_printf(out, "trace      %s  %s  %zu operations%s\n", path, *engine != '\0' ? engine : "unknown engine", v->count, v->trace->complete ? "" : "  INCOMPLETE");
    ls_text_printf(out, "checked    %zu of %zu, in double precision, on their own recorded inputs\n", v->checked, v->count);
    if (v->reduced > 0)
        ls_text_printf(out, "reduced    of products of f32, %zu multiplied in a coarser type, such as TF32\n", v->reduced);
    if (v->sampled > 0)
        ls_text_printf(out, "sampled    of %zu large operation%s, only some rows were computed (at least 32; --exact computes all)\n", v->sampled, v->sampled == 1 ? "" : "s");
}

static void put_families(const ls_verification *v, const ls_screen *screen, ls_text *out) {
    enum { NUMBER = 32 };
    static const ls_column columns[] = {{"operation", 0, false, false}, {"type", 4, false, false}, {"checked", 2, false, true}, {"median", 3, false, true},
                                        {"largest", 0, false, true}, {"allowed", 0, false, true}, {"largest at", 1, true, false}, {0}};
    char name[NAME_TEXT], operation[64], numbers[4][NUMBER];
    ls_table table;
    ls_table_init(&table, screen, columns);
    for (size_t i = 0; i < v->family_count; i++) {
        const ls_check_family *f = &v->families[i];
        if (f->count == 0)
            continue;
        ls_title_text(v->trace->nodes[v->checks[f->worst].node].name, name, sizeof name);
        if (f->queries > 1)
            snprintf(operation, sizeof operation, "%.30s, %llu rows", f->op->name, (unsigned long long)f->queries);
        else
            snprintf(operation, sizeof operation, "%.30s%s", f->op->name, f->one_row ? ", one row" : "");
        snprintf(numbers[0], NUMBER, "%zu", f->count);
        snprintf(numbers[1], NUMBER, "%.1e", f->median);
        snprintf(numbers[2], NUMBER, "%.1e", f->largest);
        snprintf(numbers[3], NUMBER, "%.1e", f->bound);
        const char *cells[] = {operation, f->type, numbers[0], numbers[1], numbers[2], numbers[3], name};
        ls_table_add(&table, "", cells);
    }
    ls_table_finish(&table, out);
}

static void put_unchecked(const ls_verification *v, ls_text *out) {
    char name[NAME_TEXT];
    for (size_t i = 0; i < v->reason_count; i++) {
        const ls_check_reason *r = &v->reasons[i];
        name_of(v, &v->checks[r->first], name, sizeof name);
        ls_text_printf(out, "unchecked  %zu: %s (first: %s)\n", r->count, r->text, name);
    }
}

static void add_check(const ls_verification *v, const ls_check *c, ls_table *table) {
    enum { NUMBER = 32 };
    const ls_node *n = &v->trace->nodes[c->node];
    char name[NAME_TEXT], layer[NUMBER] = "-", pass[NUMBER] = "-", numbers[3][NUMBER] = {"-", "-", "-"}, verdict[200];
    name_of(v, c, name, sizeof name);
    if (n->layer >= 0)
        snprintf(layer, sizeof layer, "%d", n->layer);
    if (n->pass != LS_NONE)
        snprintf(pass, sizeof pass, "%zu", n->pass);
    snprintf(verdict, sizeof verdict, "%s%s%s", c->reason != NULL ? "not checked: " : faults[c->fault], c->reason != NULL ? c->reason : "", c->reason == NULL && c->is_outlier ? ", far from its kind" : "");
    snprintf(numbers[0], NUMBER, c->reason != NULL ? "-" : "%.1e", c->error);
    snprintf(numbers[1], NUMBER, c->reason != NULL ? "-" : "%.1e", c->row_error);
    snprintf(numbers[2], NUMBER, c->reason != NULL ? "-" : "%.1e", c->bound);
    const char *cells[] = {pass, layer, name, numbers[0], numbers[1], numbers[2], verdict};
    ls_table_add(table, c->reason != NULL ? LS_DOUBT : c->fault != LS_FAULT_NONE ? LS_BAD : "", cells);
}

static void put_checks(const ls_verification *v, bool all, const ls_screen *screen, ls_text *out) {
    static const ls_column columns[] = {{"pass", 1, false, true}, {"layer", 0, false, true}, {"operation", 0, true, false}, {"relL2", 0, false, true},
                                        {"worst row", 2, false, true}, {"allowed", 3, false, true}, {"verdict", 0, true, false}, {0}};
    size_t shown = 0;
    ls_table table;
    ls_table_init(&table, screen, columns);
    for (size_t i = 0; i < v->count; i++)
        if (all || (v->checks[i].fault != LS_FAULT_NONE && shown++ < SHOWN))
            add_check(v, &v->checks[i], &table);
    ls_table_finish(&table, out);
    if (!all && shown > SHOWN)
        ls_text_printf(out, "  … and %zu more: --all lists them\n", shown - SHOWN);
}

static const char *verdict_of(const ls_verification *v) { return v->failed > 0 ? "fails" : v->checked == 0 ? "nothing checked" : v->trace->complete ? "agrees" : "incomplete"; }

void ls_report_verification(const ls_verification *v, bool all, const ls_screen *screen, ls_text *out) {
    ls_text lines = {0};
    put_header(v, &lines);
    put_unchecked(v, &lines);
    put_families(v, screen, &lines);
    put_checks(v, all, screen, &lines);
    ls_text_printf(&lines, "%sverdict: %s" LS_PLAIN, v->failed > 0 ? LS_BAD : v->checked > 0 && v->trace->complete ? LS_GOOD : LS_DOUBT, verdict_of(v));
    if (v->failed > 0)
        ls_text_printf(&lines, ": %zu operation%s other values than %s recorded inputs give", v->failed, v->failed == 1 ? " has" : "s have", v->failed == 1 ? "its" : "their");
    ls_text_printf(&lines, "\n");
    ls_screen_print(screen, &lines, out);
    ls_text_done(&lines);
}

/* ------------------------------------------------------------------ JSON */

static json_t *check_json(const ls_verification *v, const ls_check *c) {
    const ls_node *n = &v->trace->nodes[c->node];
    json_t *o = json_object();
    json_object_set_new(o, "name", ls_json_text(n->name));
    json_object_set_new(o, "op", ls_json_text(n->kind->name));
    json_object_set_new(o, "node", ls_json_count(c->node));
    json_object_set_new(o, "layer", json_integer(n->layer));
    json_object_set_new(o, "pass", n->pass != LS_NONE ? ls_json_count(n->pass) : json_null());
    json_object_set_new(o, "verdict", json_string(c->reason != NULL ? "unchecked" : ids[c->fault]));
    if (c->reason != NULL) {
        json_object_set_new(o, "reason", json_string(c->reason));
        return o;
    }
    json_object_set_new(o, "rel_l2", ls_json_number(c->error));
    json_object_set_new(o, "row_rel_l2", ls_json_number(c->row_error));
    json_object_set_new(o, "worst_row", ls_json_count(c->worst_row));
    json_object_set_new(o, "allowed", ls_json_number(c->bound));
    json_object_set_new(o, "elements", ls_json_count(c->compared));
    json_object_set_new(o, "share", ls_json_number(c->share));
    json_object_set_new(o, "outlier", json_boolean(c->is_outlier));
    return o;
}

static json_t *family_json(const ls_check_family *f) {
    json_t *o = json_object();
    json_object_set_new(o, "op", json_string(f->op->name));
    json_object_set_new(o, "type", ls_json_text(f->type));
    json_object_set_new(o, "one_row", json_boolean(f->one_row));
    json_object_set_new(o, "queries", f->queries > 0 ? ls_json_count(f->queries) : json_null());
    json_object_set_new(o, "checked", ls_json_count(f->count));
    json_object_set_new(o, "median", ls_json_number(f->median));
    json_object_set_new(o, "largest", ls_json_number(f->largest));
    json_object_set_new(o, "allowed", ls_json_number(f->bound));
    return o;
}

void ls_report_verification_json(const ls_verification *v, ls_text *out) {
    json_t *o = json_object(), *operations = json_array(), *families = json_array();
    json_object_set_new(o, "lockstep_verify", json_integer(1));
    json_object_set_new(o, "trace", ls_json_text(v->trace->path));
    json_object_set_new(o, "verdict", json_string(verdict_of(v)));
    json_object_set_new(o, "checked", ls_json_count(v->checked));
    json_object_set_new(o, "sampled", ls_json_count(v->sampled));
    json_object_set_new(o, "reduced", ls_json_count(v->reduced));
    json_object_set_new(o, "failed", ls_json_count(v->failed));
    for (size_t i = 0; i < v->family_count; i++)
        if (v->families[i].count > 0)
            json_array_append_new(families, family_json(&v->families[i]));
    for (size_t i = 0; i < v->count; i++)
        json_array_append_new(operations, check_json(v, &v->checks[i]));
    json_object_set_new(o, "families", families);
    json_object_set_new(o, "operations", operations);
    ls_json_dump(o, out);
}
