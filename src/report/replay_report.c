#include "report/replay_report.h"

#include <math.h>
#include <string.h>

#include "base/escape.h"
#include "report/cells.h"
#include "report/json_values.h"

enum { NAME_TEXT = 300, SHOWN = 12 };

static const ls_node *node_of(const ls_diff *d, const ls_replayed *item) { return &d->in.candidate.trace->nodes[item->node]; }

static const ls_node *partner_of(const ls_diff *d, const ls_replayed *item) { return item->partner != LS_NONE ? &d->in.reference.trace->nodes[item->partner] : NULL; }

/* ------------------------------------------------------------------ text */

void ls_report_replay_counts(const ls_diff *d, ls_text *out) {
    const ls_replay *r = &d->replay;
    const ls_verification *v = &d->verification;
    uint64_t all = 0;
    if (!d->is_replayed)
        return;
    for (int i = 0; i < LS_REPLAY_CLASS_COUNT; i++)
        all += r->elements[i];
    ls_text_printf(out, "replay     %zu operations computed from the reference's values, %zu at fault; of their elements", r->count, r->origins);
    for (int i = 0; i < LS_REPLAY_CLASS_COUNT; i++)
        ls_text_printf(out, "%s %.1f %% %s", i > 0 ? "," : "", all > 0 ? 100 * (double)r->elements[i] / (double)all : 0, ls_replay_class_name((ls_replay_class)i));
    ls_text_printf(out, "\nkernels    %zu of %zu operations checked on their own recorded inputs, %zu wrong\n", v->checked, v->count, v->failed);
}

static bool is_same_operation(const ls_node *a, const ls_node *b) { return a->layer == b->layer && strcmp(a->name, b->name) == 0 && strcmp(a->op, b->op) == 0; }

/* An operation is listed once, with the number of passes in which it is at fault. */
static size_t passes_of(const ls_diff *d, size_t item) {
    const ls_replay *r = &d->replay;
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (!r->items[i].is_origin || !is_same_operation(node_of(d, &r->items[i]), node_of(d, &r->items[item])))
            continue;
        if (i < item)
            return 0;
        count++;
    }
    return count;
}

/* The weights that an operation and its region read. */
static void put_weights(const ls_diff *d, const ls_replayed *item, ls_text *out) {
    const ls_trace *t = d->in.candidate.trace;
    const char *separator = "; weights: ";
    char name[NAME_TEXT];
    for (size_t k = 0; k <= item->region_count; k++) {
        const ls_node *n = &t->nodes[k == 0 ? item->node : item->region[k - 1]];
        for (size_t i = 0; i < n->operand_count; i++) {
            size_t at = n->operands[i];
            while (at != LS_NONE && t->nodes[at].role == LOCKSTEP_ROLE_VIEW)
                at = t->nodes[at].view_of != LS_NONE ? t->nodes[at].view_of : t->nodes[at].source_count > 0 ? t->nodes[at].sources[0] : LS_NONE;
            if (at == LS_NONE || t->nodes[at].role != LOCKSTEP_ROLE_WEIGHT)
                continue;
            ls_escape(t->nodes[at].name, strlen(t->nodes[at].name), name, sizeof name);
            ls_text_printf(out, "%s%s", separator, name);
            separator = ", ";
        }
    }
}

static void put_region(const ls_diff *d, const ls_replayed *item, ls_text *out) {
    enum { MOST = 6 };
    for (size_t i = 0; i < item->region_count && i < MOST; i++)
        ls_text_printf(out, "%s%s", i == 0 ? "; together with " : ", ", d->in.candidate.trace->nodes[item->region[i]].op);
    if (item->region_count > MOST)
        ls_text_printf(out, " and %zu more", item->region_count - MOST);
    if (item->region_count > 0)
        ls_text_printf(out, " in front of it, for which the reference has no tensors");
}

static void put_origin(const ls_diff *d, const ls_replayed *item, size_t passes, ls_text *out) {
    const ls_node *n = node_of(d, item), *r = &d->in.reference.trace->nodes[item->partner];
    char name[NAME_TEXT], op[80], partner[NAME_TEXT];
    ls_escape(n->name, strlen(n->name), name, sizeof name);
    ls_escape(n->op, strlen(n->op), op, sizeof op);
    ls_escape(r->name, strlen(r->name), partner, sizeof partner);
    ls_text_printf(out, "  %s (%s)", name, op);
    if (n->layer >= 0)
        ls_text_printf(out, ", layer %d", n->layer);
    ls_text_printf(out, ", in %zu pass%s: added here %.1e, expected %.1e", passes, passes == 1 ? "" : "es", item->local.error, item->local.expected);
    ls_text_printf(out, "; reference %s", partner);
    if (item->likeness != LS_NONE) {
        const char *other = d->in.reference.trace->nodes[item->likeness].name;
        ls_escape(other, strlen(other), partner, sizeof partner);
        ls_text_printf(out, ", but its values are those of %s", partner);
    }
    put_weights(d, item, out);
    put_region(d, item, out);
    const char *separator = "; ";
    for (size_t i = 0; i < n->parameter_count; i++) {
        if (n->parameters[i].value == 0)
            continue; /* the same as none */
        ls_text_printf(out, "%s%s %.10g", separator, n->parameters[i].key, n->parameters[i].value);
        separator = ", ";
    }
    ls_text_printf(out, "\n");
}

void ls_report_replay_origins(const ls_diff *d, ls_text *out) {
    const ls_replay *r = &d->replay;
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++)
        if (r->items[i].is_origin && passes_of(d, i) > 0 && count++ == 0)
            ls_text_printf(out, "at fault, computed from the reference's own values:\n");
    count = 0;
    for (size_t i = 0; i < r->count; i++) {
        const size_t passes = r->items[i].is_origin ? passes_of(d, i) : 0;
        if (passes > 0 && count++ < SHOWN)
            put_origin(d, &r->items[i], passes, out);
    }
    if (count > SHOWN)
        ls_text_printf(out, "  and %zu more\n", count - SHOWN);
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
    for (size_t i = 0; i < item->region_count; i++)
        json_array_append_new(region, ls_json_count(item->region[i]));
    json_object_set_new(o, "region", region);
    return o;
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
    json_object_set_new(o, "counts", counts);
    json_object_set_new(o, "elements", elements);
    json_object_set_new(o, "origins", ls_json_count(r->origins));
    json_object_set_new(o, "kernels", json_pack("{s:o, s:o, s:o}", "operations", ls_json_count(d->verification.count), "checked", ls_json_count(d->verification.checked), "differ",
                                                ls_json_count(d->verification.failed)));
    for (size_t i = 0; i < r->count; i++)
        json_array_append_new(operations, operation_json(d, &r->items[i]));
    json_object_set_new(o, "operations", operations);
    return o;
}
