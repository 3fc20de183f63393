#include "report/verify_report.h"

#include <jansson.h>
#include <string.h>

#include "base/escape.h"
#include "report/cells.h"
#include "report/json_values.h"

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

/* What is left of a line for a name. */
static int room(int width, int others, int least, int otherwise) { return width == 0 ? otherwise : width - others > least ? width - others : least; }

static void put_families(const ls_verification *v, int width, ls_text *out) {
    enum { OTHERS = 66, LEAST = 12 };
    char name[NAME_TEXT], operation[64];
    if (v->family_count > 0)
        ls_text_printf(out, "operation                 type   checked median  largest allowed largest at\n");
    for (size_t i = 0; i < v->family_count; i++) {
        const ls_check_family *f = &v->families[i];
        if (f->count == 0)
            continue;
        const ls_node *worst = &v->trace->nodes[v->checks[f->worst].node];
        ls_escape(worst->name, strlen(worst->name), name, sizeof name);
        const int own = ls_columns_of(name), most = room(width, OTHERS, LEAST, own);
        if (f->queries > 1)
            snprintf(operation, sizeof operation, "%.30s, %llu rows", f->op->name, (unsigned long long)f->queries);
        else
            snprintf(operation, sizeof operation, "%.30s%s", f->op->name, f->one_row ? ", one row" : "");
        ls_put_cell(out, operation, 25);
        ls_text_printf(out, " ");
        ls_put_cell(out, f->type, 6);
        ls_text_printf(out, " %7zu %-7.1e %-7.1e %-7.1e ", f->count, f->median, f->largest, f->bound);
        ls_put_cell(out, name, own < most ? own : most);
        ls_text_printf(out, "\n");
    }
}

static void put_unchecked(const ls_verification *v, int width, ls_text *out) {
    enum { INDENT = 11 };
    char name[NAME_TEXT];
    for (size_t i = 0; i < v->reason_count; i++) {
        const ls_check_reason *r = &v->reasons[i];
        ls_text line = {0};
        name_of(v, &v->checks[r->first], name, sizeof name);
        ls_text_printf(&line, "%zu: %s (first: %s)", r->count, r->text, name);
        ls_text_printf(out, "unchecked  ");
        ls_put_wrapped(out, line.data != NULL ? line.data : "", INDENT, width);
        ls_text_done(&line);
    }
}

static void put_check(const ls_verification *v, const ls_check *c, int columns, ls_text *out) {
    const ls_node *n = &v->trace->nodes[c->node];
    char name[NAME_TEXT], layer[16] = "-", pass[24] = "-";
    name_of(v, c, name, sizeof name);
    if (n->layer >= 0)
        snprintf(layer, sizeof layer, "%d", n->layer);
    if (n->pass != LS_NONE)
        snprintf(pass, sizeof pass, "%zu", n->pass);
    ls_text_printf(out, "%5s %5s ", pass, layer);
    ls_put_cell(out, name, columns);
    if (c->reason != NULL)
        ls_text_printf(out, " not checked: %s\n", c->reason);
    else
        ls_text_printf(out, " %-7.1e %-7.1e   %-7.1e %s%s\n", c->error, c->row_error, c->bound, faults[c->fault], c->is_outlier ? ", far from its kind" : "");
}

static void put_checks(const ls_verification *v, bool all, int width, ls_text *out) {
    enum { OTHERS = 52, LEAST = 20, USUAL = 40, MOST = 60 };
    const int wanted = room(width, OTHERS, LEAST, USUAL), columns = wanted < MOST ? wanted : MOST;
    size_t shown = 0;
    if (v->failed > 0 || all)
        ls_text_printf(out, " pass layer %-*s relL2   worst row allowed\n", columns, "operation");
    for (size_t i = 0; i < v->count; i++) {
        if (!all && (v->checks[i].fault == LS_FAULT_NONE || shown++ >= SHOWN))
            continue;
        put_check(v, &v->checks[i], columns, out);
    }
    if (!all && shown > SHOWN)
        ls_text_printf(out, "      … and %zu more: --all lists them\n", shown - SHOWN);
}

static const char *verdict_of(const ls_verification *v) { return v->failed > 0 ? "fails" : v->checked == 0 ? "nothing checked" : v->trace->complete ? "agrees" : "incomplete"; }

void ls_report_verification(const ls_verification *v, bool all, int width, ls_text *out) {
    put_header(v, out);
    put_unchecked(v, width, out);
    put_families(v, width, out);
    put_checks(v, all, width, out);
    ls_text_printf(out, "verdict: %s", verdict_of(v));
    if (v->failed > 0)
        ls_text_printf(out, ": %zu operation%s other values than %s recorded inputs give", v->failed, v->failed == 1 ? " has" : "s have", v->failed == 1 ? "its" : "their");
    ls_text_printf(out, "\n");
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
