#include "report/replay_report.h"

#include <math.h>
#include <string.h>

#include "base/escape.h"
#include "diff/lacked_term.h"
#include "diff/detection.h"
#include "diff/affected_layers.h"
#include "diff/proof.h"
#include "report/cells.h"
#include "report/json_values.h"

enum { NAME_TEXT = 300, SHOWN = 5 };

static const ls_node *node_of(const ls_diff *d, const ls_replayed *item) { return &d->in.candidate.trace->nodes[item->node]; }

static const ls_node *partner_of(const ls_diff *d, const ls_replayed *item) { return item->partner != LS_NONE ? &d->in.reference.trace->nodes[item->partner] : NULL; }

/* ------------------------------------------------------------------ text */

/* Where the weights came from, and how much is known of that. */
static void put_models(const ls_diff *d, ls_text *out) {
    const ls_models *m = &d->models;
    char name[NAME_TEXT];
    if (m->count == 0)
        return;
    const char *path = m->archives[0]->path, *base = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    ls_escape(base, strlen(base), name, sizeof name);
    ls_text_printf(out, "weights    %s%s", name, m->are_recorded ? ", opened by the engine" : "");
    if (m->count > 1)
        ls_text_printf(out, ", and %zu more", m->count - 1);
    ls_text_printf(out, ": %zu as in memory", m->by_state[LS_WEIGHT_VERIFIED]);
    if (m->by_state[LS_WEIGHT_ASSUMED] > 0)
        ls_text_printf(out, ", %zu assumed", m->by_state[LS_WEIGHT_ASSUMED]);
    const size_t not_used = m->by_state[LS_WEIGHT_CHANGED] + m->by_state[LS_WEIGHT_OTHER] + m->by_state[LS_WEIGHT_STALE];
    if (not_used > 0)
        ls_text_printf(out, ", %zu NOT as in the file", not_used);
    if (d->weights_alike > 0)
        ls_text_printf(out, "; %zu the reference's but for rounding", d->weights_alike);
    ls_text_printf(out, "\n");
}

static void put_kernels(const ls_diff *d, ls_text *out) {
    const ls_verification *v = &d->verification;
    if (d->in.candidate.trace->is_graph_only) {
        ls_text_printf(out, "kernels    not checked (graph-only)\n");
        return;
    }
    if (v->count == 0) {
        ls_text_printf(out, "kernels    not checked: no values were kept\n");
        return;
    }
    ls_text_printf(out, "kernels    %zu of %zu operations checked on their own recorded inputs, %zu wrong", v->checked, v->count, v->failed);
    if (v->reduced > 0)
        ls_text_printf(out, "; %zu product%s of f32 multiplied in a coarser type, such as TF32", v->reduced, v->reduced == 1 ? "" : "s");
    ls_text_printf(out, "\n");
}

/* What a fault has to do to be seen, for each kind of operation. */
static void put_limits(const ls_diff *d, bool all, ls_text *out) {
    enum { FEW = 2, MANY = 64 };
    const size_t most = all ? MANY : FEW;
    ls_detection_limits limits;
    lockstep_error error;
    char name[NAME_TEXT];
    const bool ok = ls_detection_limits_find(d, &limits, &error) == LOCKSTEP_OK;
    for (size_t i = 0; ok && i < limits.count && i <= most; i++) {
        const ls_detection_limit *l = &limits.items[i];
        ls_escape(l->op, strlen(l->op), name, sizeof name);
        ls_text_printf(out, "%s%.1e", i == 0 ? "detects    changes (relative L2) above " : ", ", l->limit);
        if (i == most && limits.count > most + 1)
            ls_text_printf(out, " in others");
        else
            ls_text_printf(out, " in %s%s%s%s", name, l->type != NULL ? " (" : "", l->type != NULL ? l->type : "", l->type != NULL ? ")" : "");
    }
    if (ok && limits.count > 0)
        ls_text_printf(out, "\n");
    if (ok && limits.count > 0 && limits.reference_type != NULL)
        ls_text_printf(out, "           the reference computes in %s, which hides what is smaller: record it in float32 to see that\n", limits.reference_type);
    ls_detection_limits_done(&limits);
}

void ls_report_replay_counts(const ls_diff *d, bool all, ls_text *out) {
    const ls_replay *r = &d->replay;
    uint64_t elements = 0;
    if (!d->is_replayed)
        return;
    for (int i = 0; i < LS_REPLAY_CLASS_COUNT; i++)
        elements += r->elements[i];
    put_models(d, out);
    ls_text_printf(out, "replay     %zu operations on the reference's values, %zu at fault", r->count, r->origins);
    if (r->accepted > 0)
        ls_text_printf(out, ", %zu accepted", r->accepted);
    ls_text_printf(out, ";");
    for (int i = 0; i < LS_REPLAY_CLASS_COUNT; i++)
        if (i == LS_REPLAY_FOUND || r->operations[i] > 0)
            ls_text_printf(out, "%s %.1f %% %s", i > 0 ? "," : "", elements > 0 ? 100 * (double)r->elements[i] / (double)elements : 0, ls_replay_class_name((ls_replay_class)i));
    if (all && r->largest.operations > 0)
        ls_text_printf(out, ", at most %zu operation%s by one that was found", r->largest.operations, r->largest.operations > 1 ? "s" : "");
    if (r->sampled > 0)
        ls_text_printf(out, "; of %zu large operations, some rows (--exact: all)", r->sampled);
    ls_text_printf(out, "\n");
    put_kernels(d, out);
    put_limits(d, all, out);
}

static bool is_same_operation(const ls_node *a, const ls_node *b) { return a->layer == b->layer && strcmp(a->name, b->name) == 0 && strcmp(a->op, b->op) == 0; }

/* One line of the list: an operation in all of its passes, or all operations of a kind that one rule explains. */
static bool are_one(const ls_diff *d, const ls_replayed *a, const ls_replayed *b) {
    const ls_node *x = node_of(d, a), *y = node_of(d, b);
    return ls_has_same_fault(d, a, b) && (a->rule != NULL || a->weight_rule != NULL || is_same_operation(x, y));
}

typedef struct line {
    const ls_replayed *first, *worst; /* worst: what was added is the largest */
    size_t count, layers, passes;
} line;

/* The line that begins with this operation; false if it belongs to an earlier one. */
static bool line_of(const ls_diff *d, size_t item, bool accepted, line *out) {
    const ls_replay *r = &d->replay;
    const ls_replayed *first = &r->items[item], *last = NULL;
    *out = (line){.first = first, .worst = first};
    if (accepted ? !first->is_accepted : !first->is_origin)
        return false;
    int layer = -2;
    for (size_t i = 0; i < r->count; i++) {
        const ls_replayed *other = &r->items[i];
        if (!(other->is_origin || other->is_accepted) || !are_one(d, other, first))
            continue;
        if (i < item)
            return false;
        const ls_node *n = node_of(d, other);
        if (n->pass == node_of(d, first)->pass && n->layer != layer) {
            layer = n->layer;
            out->layers++;
        }
        out->passes += last == NULL || n->pass != node_of(d, last)->pass;
        out->count++;
        out->worst = other->local.error > out->worst->local.error ? other : out->worst;
        last = other;
    }
    return true;
}

/* What a weight is, that is not the reference's. */
static void put_wrong_weight(const ls_replayed *item, ls_text *out) {
    enum { TEXT = 400 };
    char text[TEXT];
    const char *what = item->weight_text != NULL ? item->weight_text : "not the reference's";
    ls_escape(what, strlen(what), text, sizeof text);
    if (isnan(item->weight_error))
        ls_text_printf(out, " (%s)", text);
    else
        ls_text_printf(out, " (%s: relative L2 %.1e)", text, item->weight_error);
}

/* The weights that an operation and its region read. */
static void put_weights(const ls_diff *d, const ls_replayed *item, ls_text *out) {
    enum { MOST = 8 };
    const ls_trace *t = d->in.candidate.trace;
    char name[NAME_TEXT];
    size_t count = 0;
    for (size_t k = 0; k <= item->region_count; k++) {
        const ls_node *n = &t->nodes[k == 0 ? item->node : item->region[k - 1]];
        for (size_t i = 0; i < n->operand_count; i++) {
            const size_t at = ls_proof_weight_of(t, n->operands[i]);
            if (at == LS_NONE || count++ >= MOST)
                continue;
            ls_escape(t->nodes[at].name, strlen(t->nodes[at].name), name, sizeof name);
            ls_text_printf(out, "%s%s", count == 1 ? "; weights: " : ", ", name);
            if (at == item->weight)
                put_wrong_weight(item, out);
        }
    }
    if (count > MOST)
        ls_text_printf(out, " and %zu more", count - MOST);
}

/* The first of a region. */
static const ls_node *first_of_region(const ls_diff *d, const ls_replayed *item) {
    size_t first = item->region[0];
    for (size_t i = 1; i < item->region_count; i++)
        first = item->region[i] < first ? item->region[i] : first;
    return &d->in.candidate.trace->nodes[first];
}

static void put_region(const ls_diff *d, const ls_replayed *item, ls_text *out) {
    enum { MOST = 6 };
    char name[NAME_TEXT];
    for (size_t i = 0; i < item->region_count && i < MOST; i++)
        ls_text_printf(out, "%s%s", i == 0 ? "; together with " : ", ", d->in.candidate.trace->nodes[item->region[i]].op);
    if (item->region_count > MOST) {
        const ls_node *first = first_of_region(d, item);
        ls_escape(first->name, strlen(first->name), name, sizeof name);
        ls_text_printf(out, " and %zu more, back to %s (%s),", item->region_count - MOST, name, first->op);
    }
    if (item->region_count > 0)
        ls_text_printf(out, " in front of it, which the reference lacks");
}

static void put_lacked_term(const ls_diff *d, const ls_replayed *item, ls_text *out) {
    char sum[NAME_TEXT], added[NAME_TEXT];
    size_t term;
    const size_t at = ls_lacked_term(d, item, &term);
    if (at == LS_NONE)
        return;
    const ls_node *nodes = d->in.reference.trace->nodes;
    ls_escape(nodes[at].name, strlen(nodes[at].name), sum, sizeof sum);
    ls_escape(nodes[term].name, strlen(nodes[term].name), added, sizeof added);
    ls_text_printf(out, "; in front of it, the reference adds %s (%s), which the candidate lacks", added, sum);
}

static void put_partner(const ls_diff *d, const ls_replayed *item, ls_text *out) {
    char partner[NAME_TEXT];
    const char *name = d->in.reference.trace->nodes[item->partner].name;
    ls_escape(name, strlen(name), partner, sizeof partner);
    ls_text_printf(out, "; reference %s", partner);
    if (item->likeness == LS_NONE)
        return;
    name = d->in.reference.trace->nodes[item->likeness].name;
    ls_escape(name, strlen(name), partner, sizeof partner);
    ls_text_printf(out, ", but its values are those of %s", partner);
}

static void put_parameters(const ls_node *n, ls_text *out) {
    const char *separator = "; ";
    for (size_t i = 0; i < n->parameter_count; i++) {
        if (n->parameters[i].value == 0)
            continue; /* the same as none */
        ls_text_printf(out, "%s%s %.10g", separator, n->parameters[i].key, n->parameters[i].value);
        separator = ", ";
    }
}

static void put_line(const ls_diff *d, const line *l, ls_text *out) {
    const ls_replayed *item = l->first;
    const ls_node *n = node_of(d, item);
    char name[NAME_TEXT], op[80];
    ls_escape(n->name, strlen(n->name), name, sizeof name);
    ls_escape(n->op, strlen(n->op), op, sizeof op);
    ls_text_printf(out, "  %s (%s)", name, op);
    if (l->layers > 1)
        ls_text_printf(out, " and the same in %zu layers", l->layers);
    else if (n->layer >= 0)
        ls_text_printf(out, ", layer %d", n->layer);
    ls_text_printf(out, ", in %zu pass%s", l->passes, l->passes == 1 ? "" : "es");
    if (item->partner != LS_NONE) {
        ls_text_printf(out, ": added here %s%.1e, expected %.1e", l->count > 1 ? "up to " : "", l->worst->local.error, l->worst->local.expected);
        put_partner(d, item, out);
    }
    put_weights(d, item, out);
    put_region(d, item, out);
    put_lacked_term(d, item, out);
    put_parameters(n, out);
    if (item->rule != NULL)
        ls_text_printf(out, "\n    %s: the reference's values come out with %s (%.1e is left)", item->rule, item->instead, l->worst->left);
    ls_text_printf(out, "\n");
}

static void put_lines(const ls_diff *d, bool accepted, bool all, const char *title, ls_text *out) {
    const ls_replay *r = &d->replay;
    size_t count = 0;
    line l;
    for (size_t i = 0; i < r->count; i++) {
        if (!line_of(d, i, accepted, &l))
            continue;
        if (count++ == 0)
            ls_text_printf(out, "%s", title);
        if (all || count <= SHOWN)
            put_line(d, &l, out);
    }
    if (!all && count > SHOWN)
        ls_text_printf(out, "  and %zu more (--all lists them)\n", count - SHOWN);
}

void ls_report_replay_origins(const ls_diff *d, bool all, ls_text *out) {
    put_lines(d, false, all, "at fault, computed from the reference's own values:\n", out);
    put_lines(d, true, all, "different by design (--accept):\n", out);
}

/* ------------------------------------------------------------------ JSON */

static json_t *operation_json(const ls_diff *d, const ls_replayed *item) {
    const ls_node *n = node_of(d, item), *r = partner_of(d, item);
    const char *const means[] = {"value", "consumer", "end"};
    json_t *o = json_object(), *region = json_array();
    json_object_set_new(o, "name", ls_json_text(n->name));
    json_object_set_new(o, "op", ls_json_text(n->op));
    json_object_set_new(o, "node", ls_json_count(item->node));
    json_object_set_new(o, "pass", ls_json_count(n->pass));
    json_object_set_new(o, "layer", json_integer(n->layer));
    json_object_set_new(o, "class", json_string(ls_replay_class_name(item->class)));
    if (item->reason != NULL)
        json_object_set_new(o, "reason", json_string(item->reason));
    if (r != NULL) {
        json_object_set_new(o, "by", json_string(means[item->means]));
        json_object_set_new(o, "reference", ls_json_text(r->name));
        json_object_set_new(o, "reference_node", ls_json_count(item->partner));
        json_object_set_new(o, "likeness", item->likeness != LS_NONE ? ls_json_text(d->in.reference.trace->nodes[item->likeness].name) : json_null());
        json_object_set_new(o, "layout", ls_json_text(item->layout != NULL ? item->layout : ""));
        json_object_set_new(o, "added", json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "rel_l2", ls_json_number(item->local.error), "expected", ls_json_number(item->local.expected),
                                                  "channel", ls_json_number(item->local.channel), "mean", ls_json_number(item->local.mean), "scale",
                                                  ls_json_number(item->local.scale), "factor", ls_json_number(item->local.factor)));
    }
    json_object_set_new(o, "origin", json_boolean(item->is_origin));
    if (item->weight != LS_NONE)
        json_object_set_new(o, "wrong_weight", json_pack("{s:o, s:o, s:o, s:o}", "name", ls_json_text(d->in.candidate.trace->nodes[item->weight].name), "rel_l2", ls_json_number(item->weight_error),
                                                         "id", item->weight_rule != NULL ? json_string(item->weight_rule) : json_null(), "text", item->weight_text != NULL ? ls_json_text(item->weight_text) : json_null()));
    json_object_set_new(o, "accepted", json_boolean(item->is_accepted));
    json_object_set_new(o, "rule", item->rule == NULL ? json_null() : json_pack("{s:s, s:o, s:o}", "id", item->rule, "instead", ls_json_text(item->instead), "left", ls_json_number(item->left)));
    for (size_t i = 0; i < item->region_count; i++)
        json_array_append_new(region, ls_json_count(item->region[i]));
    json_object_set_new(o, "region", region);
    return o;
}

static json_t *weights_json(const ls_models *m) {
    static const char *const states[LS_WEIGHT_STATES] = {"in_no_file", "verified", "assumed", "changed", "of_other_type", "stale"};
    json_t *o = json_object(), *files = json_array();
    for (size_t i = 0; i < m->count; i++)
        json_array_append_new(files, ls_json_text(m->archives[i]->path));
    json_object_set_new(o, "files", files);
    json_object_set_new(o, "opened_by_engine", json_boolean(m->count > 0 && m->are_recorded));
    for (int i = 0; i < LS_WEIGHT_STATES; i++)
        json_object_set_new(o, states[i], ls_json_count(m->by_state[i]));
    return o;
}

static json_t *limits_json(const ls_diff *d) {
    json_t *list = json_array();
    ls_detection_limits limits;
    lockstep_error error;
    const bool ok = ls_detection_limits_find(d, &limits, &error) == LOCKSTEP_OK;
    for (size_t i = 0; ok && i < limits.count; i++) {
        const ls_detection_limit *l = &limits.items[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "op", ls_json_text(l->op), "weight_type", l->type != NULL ? ls_json_text(l->type) : json_null(), "operations",
                                              ls_json_count(l->operations), "rel_l2", ls_json_number(l->limit)));
    }
    ls_detection_limits_done(&limits);
    return list;
}

json_t *ls_report_replay_json(const ls_diff *d) {
    const ls_replay *r = &d->replay;
    if (!d->is_replayed)
        return json_null();
    json_t *o = json_object(), *operations = json_array(), *elements = json_object(), *counts = json_object();
    for (int i = 0; i < LS_REPLAY_CLASS_COUNT; i++) {
        json_object_set_new(counts, ls_replay_class_name((ls_replay_class)i), ls_json_count(r->operations[i]));
        json_object_set_new(elements, ls_replay_class_name((ls_replay_class)i), ls_json_count(r->elements[i]));
    }
    json_object_set_new(o, "weights", weights_json(&d->models));
    json_object_set_new(o, "counts", counts);
    json_object_set_new(o, "elements", elements);
    json_object_set_new(o, "largest_region", json_pack("{s:o, s:o, s:o}", "operations", ls_json_count(r->largest.operations), "products", ls_json_count(r->largest.products),
                                                       "found", ls_json_count(r->largest.node)));
    json_object_set_new(o, "origins", ls_json_count(r->origins));
    json_object_set_new(o, "accepted", ls_json_count(r->accepted));
    json_object_set_new(o, "detection_limits", limits_json(d));
    json_object_set_new(o, "weights_alike", ls_json_count(d->weights_alike));
    json_object_set_new(o, "sampled", ls_json_count(r->sampled));
    json_object_set_new(o, "reference_lost", ls_json_count(r->lost));
    json_object_set_new(o, "reference_tensors", ls_json_count(r->lost_of));
    json_object_set_new(o, "kernels", json_pack("{s:o, s:o, s:o, s:o}", "operations", ls_json_count(d->verification.count), "checked", ls_json_count(d->verification.checked), "differ",
                                                ls_json_count(d->verification.failed), "reduced", ls_json_count(d->verification.reduced)));
    for (size_t i = 0; i < r->count; i++)
        json_array_append_new(operations, operation_json(d, &r->items[i]));
    json_object_set_new(o, "operations", operations);
    return o;
}
