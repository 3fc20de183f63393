#include "report/explanation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "diff/proof.h"
#include "report/cells.h"
#include "report/diff_json.h"
#include "report/json_values.h"
#include "report/layers.h"
#include "report/remarks.h"
#include "report/styles.h"
#include "report/where.h"
#include "report/titles.h"

/* ------------------------------------------------------------------ what is known */

static const ls_node *candidate_of(const ls_explanation *x) { return &x->comparison->diff->in.candidate.trace->nodes[x->pair->candidate]; }
static const ls_node *reference_of(const ls_explanation *x) { return &x->comparison->diff->in.reference.trace->nodes[x->pair->reference]; }
static const ls_replayed *replayed_of(const ls_explanation *x) { return ls_proof_of(x->comparison->diff, x->pair->candidate_value); }

/* The pair fails because of what it was computed from. */
static bool is_inherited(const ls_explanation *x) {
    const ls_replayed *item = replayed_of(x);
    return ls_verdict_fails(x->pair->mark.verdict) && x->pair->mark.downstream && (item == NULL || !item->is_origin);
}

/* One cause that was tried. */
typedef struct tried {
    const char *rule;
    const ls_attempt *attempt; /* of a rule that looks at the two tensors; or NULL */
    const ls_trial *trial;     /* an experiment on the operation; or NULL */
    double left;
    bool explains;
} tried;

typedef struct tried_list {
    tried *items;
    size_t count;
} tried_list;

/* What explains comes first, then what leaves least; what is not a number last. */
static int by_what_is_left(const void *a, const void *b) {
    const tried *x = a, *y = b;
    if (x->explains != y->explains)
        return x->explains ? -1 : 1;
    const double l = isnan(x->left) ? INFINITY : x->left, r = isnan(y->left) ? INFINITY : y->left;
    return (l > r) - (l < r);
}

static bool is_of_trials(const ls_explanation *x, const ls_attempt *attempt) {
    const ls_replayed *item = replayed_of(x);
    return x->comparison->diff->replay.trials.count > 0 && item != NULL && item->rule != NULL && strcmp(attempt->cause.id, item->rule) == 0;
}

static const ls_trials *trials_of(const ls_explanation *x) {
    static const ls_trials none = {.node = LS_NONE};
    const ls_diff *d = x->comparison->diff;
    return d->is_replayed && d->replay.trials.node == x->pair->candidate_value ? &d->replay.trials : &none;
}

static tried_list list_tried(const ls_explanation *x) {
    const ls_trials *trials = trials_of(x);
    tried_list list = {calloc(x->attempts.count + trials->count + 1, sizeof *list.items), 0};
    for (size_t i = 0; i < x->attempts.count && list.items != NULL; i++) {
        const ls_attempt *a = &x->attempts.items[i];
        if (!is_of_trials(x, a))
            list.items[list.count++] = (tried){.rule = a->cause.id, .attempt = a, .left = a->cause.residual, .explains = a->explains};
    }
    for (size_t i = 0; i < trials->count && list.items != NULL; i++) {
        const ls_trial *t = &trials->items[i];
        if (t->rule != NULL && t->instead != NULL)
            list.items[list.count++] = (tried){.rule = t->rule, .trial = t, .left = t->left, .explains = t->explains};
    }
    if (list.items != NULL)
        qsort(list.items, list.count, sizeof *list.items, by_what_is_left);
    return list;
}

static void tried_text(const tried *t, ls_text *out) {
    if (t->attempt != NULL)
        ls_cause_text(&t->attempt->cause, out);
    else
        ls_text_printf(out, "%s", t->trial->instead);
}

/* The pair of a weight in the two checkpoints; NULL where they were not compared, or it has none. */
static const ls_weight_pair *weight_pair_of(const ls_explanation *x, const char *name) {
    const ls_checkpoint_diff *c = x->comparison->checkpoints;
    for (size_t i = 0; c != NULL && i < c->weights.pair_count; i++) {
        const ls_weight_pair *p = &c->weights.pairs[i];
        if (strcmp(c->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor].name, name) == 0)
            return p;
    }
    return NULL;
}

static void put_state_of_weight(const ls_explanation *x, size_t weight, ls_text *out) {
    const ls_replayed *item = replayed_of(x);
    const char *name = x->comparison->diff->in.candidate.trace->nodes[weight].name;
    const ls_weight_pair *p = weight_pair_of(x, name);
    if (item != NULL && item->weight == weight)
        ls_text_printf(out, "NOT the reference's: %s", item->weight_text != NULL ? item->weight_text : "how it was changed is not known");
    else if (p == NULL)
        ls_text_printf(out, "not compared with the reference's: %s", x->comparison->checkpoints == NULL ? "its checkpoint is not at hand (--reference-model)" : "no partner was found for it");
    else if (ls_weight_fails(p))
        ls_text_printf(out, "differs from %s", x->comparison->checkpoints->sides[LS_REFERENCE].archive->tensors[p->part[LS_REFERENCE].tensor].name);
    else
        ls_text_printf(out, "as %s, but for rounding (relative L2 %.1e)", x->comparison->checkpoints->sides[LS_REFERENCE].archive->tensors[p->part[LS_REFERENCE].tensor].name, p->metrics.rel_l2);
    if (p != NULL && item != NULL && item->weight == weight && isfinite(item->weight_error))
        ls_text_printf(out, " (relative L2 %.1e)", item->weight_error);
}

/* What an operand is a view of. */
static size_t viewed(const ls_trace *t, size_t operand) {
    enum { DEEPEST = 64 };
    size_t at = operand;
    for (int depth = 0; depth < DEEPEST && at != LS_NONE && (t->nodes[at].role == LOCKSTEP_ROLE_VIEW || t->nodes[at].kind->role == LS_OP_ROLE_VIEW); depth++) {
        const ls_node *n = &t->nodes[at];
        const size_t of = n->view_of != LS_NONE ? n->view_of : n->source_count > 0 ? n->sources[0] : LS_NONE;
        if (of == LS_NONE)
            break;
        at = of;
    }
    return at;
}

typedef void visit_operand(const ls_explanation *explanation, size_t operand, void *context);

/* Visits the operands of the operation and of those in front of it that belong to it: weights, or what was computed elsewhere. */
static void visit_operands(const ls_explanation *x, bool weights, visit_operand *visit, void *context) {
    const ls_replayed *item = replayed_of(x);
    const ls_trace *t = x->comparison->diff->in.candidate.trace;
    for (size_t k = 0; k <= (item != NULL ? item->region_count : 0); k++) {
        const ls_node *n = &t->nodes[k == 0 ? x->pair->candidate_value : item->region[k - 1]];
        for (size_t i = 0; i < n->operand_count; i++) {
            const size_t weight = ls_proof_weight_of(t, n->operands[i]);
            bool is_inside = n->operands[i] == LS_NONE;
            for (size_t j = 0; item != NULL && j < item->region_count && !is_inside; j++)
                is_inside = viewed(t, n->operands[i]) == item->region[j];
            if (!is_inside && (weight != LS_NONE) == weights)
                visit(x, weights ? weight : n->operands[i], context);
        }
    }
}

/* The pair of what an operand is a view of; NULL. */
static const ls_pair *pair_of_operand(const ls_diff *d, size_t operand) {
    const size_t value = d->in.candidate.values.value_of[operand];
    const size_t pair = value != LS_NONE ? d->matching.pair_of[value] : 0;
    return pair > 0 ? &d->pairs.items[pair - 1] : NULL;
}

/* ------------------------------------------------------------------ text */

/* What follows is broken so that it stays to the right of here; the text is escaped, and released. */
static void put_rest(ls_text *text, ls_text *out) {
    ls_text_printf(out, LS_HANG);
    ls_text_escaped(out, text->data != NULL ? text->data : "");
    ls_text_printf(out, "\n");
    ls_text_done(text);
}

enum { COLUMN = 12, NAMES = 34, RULE = 26, LEFT = 9 };

static void put_labelled(const char *label, ls_text *text, ls_text *out) {
    ls_text_printf(out, "%-*s", COLUMN, label);
    put_rest(text, out);
}

static void put_head(const ls_explanation *x, ls_text *out) {
    const ls_node *c = candidate_of(x), *r = reference_of(x);
    char title[LS_TITLE];
    ls_text line = {0};
    ls_report_title(c, title, sizeof title);
    ls_text_printf(out, LS_STRONG "%s" LS_PLAIN, title);
    if (c->layer >= 0)
        ls_text_printf(out, ", layer %d", c->layer);
    ls_text_printf(out, ", pass %zu\n", c->pass == LS_NONE ? 0 : c->pass);
    ls_text_printf(&line, "%s%s%s%s", r->name, r->where != NULL ? " (" : "", r->where != NULL ? r->where : "", r->where != NULL ? ")" : "");
    put_labelled("reference", &line, out);
    if (x->pair->candidate != x->pair->candidate_value) {
        const ls_node *n = &x->comparison->diff->in.candidate.trace->nodes[x->pair->candidate_value];
        ls_text_printf(&line, "%s, of which this is another shape or name", n->op[0] != '\0' ? n->op : n->name);
        put_labelled("operation", &line, out);
    }
    ls_text_printf(&line, "by %s, layout: %s", ls_method_name(x->pair->method), x->pair->layout != NULL ? x->pair->layout : "as is");
    put_labelled("paired", &line, out);
}

/* Of an operation that gives the reference's values on the reference's values. */
static const char *what_follows(const ls_explanation *x) {
    return !ls_verdict_fails(x->pair->mark.verdict) ? ""
           : is_inherited(x)                         ? ", and what differs is inherited"
                                                     : ", so what was recorded is not what it computes, or the reference goes on from here";
}

/* What is no number, or why nothing could be compared. */
static void put_incomparable(const ls_explanation *x, ls_text *out) {
    const ls_metrics *m = &x->pair->metrics;
    if (x->pair->mark.verdict != LS_VERDICT_NONFINITE)
        ls_text_printf(out, "%s: %s", ls_verdict_name(x->pair->mark.verdict), x->pair->reason != NULL ? x->pair->reason : "");
    else
        ls_text_printf(out, "nonfinite: NaN: %llu in the reference, %llu in the candidate; infinite: %llu, %llu; in different places: %llu", (unsigned long long)m->nan_reference,
                       (unsigned long long)m->nan_candidate, (unsigned long long)m->inf_reference, (unsigned long long)m->inf_candidate, (unsigned long long)m->nonfinite_differ);
}

static void put_errors(const ls_explanation *x, ls_text *out) {
    const ls_replayed *item = replayed_of(x);
    const ls_mark *mark = &x->pair->mark;
    ls_text line = {0};
    if (mark->verdict < LS_VERDICT_NONFINITE)
        ls_text_printf(&line, "%s: relative L2 %.2e (tolerance %.1e), largest difference %.3g: %.6g where the reference has %.6g", mark->downstream ? "downstream of another fault" : ls_verdict_name(mark->verdict),
                       x->pair->metrics.rel_l2, mark->tolerance, x->pair->metrics.max_abs, x->pair->metrics.max_abs_candidate, x->pair->metrics.max_abs_reference);
    else
        put_incomparable(x, &line);
    put_labelled("recorded", &line, out);
    if (item == NULL)
        ls_text_printf(&line, "it was not computed from the reference's values, so what is added here and what is inherited can't be told apart");
    else if (item->is_origin)
        ls_text_printf(&line, "relative L2 %.2e, where rounding explains %.1e: this operation is at fault", item->local.error, item->local.expected);
    else if (item->partner == LS_NONE)
        ls_text_printf(&line, "%s: %s", ls_replay_class_name(item->class), item->reason != NULL ? item->reason : "the reference has no tensor for it");
    else
        ls_text_printf(&line, "relative L2 %.2e, where rounding explains %.1e: this operation is right%s", item->local.error, item->local.expected, what_follows(x));
    put_labelled("added here", &line, out);
}

typedef struct listing {
    ls_text *out;
    const ls_screen *screen;
    size_t count;
} listing;

static void put_operand(const ls_explanation *x, size_t operand, void *context) {
    listing *l = context;
    const ls_diff *d = x->comparison->diff;
    const ls_pair *p = pair_of_operand(d, operand);
    char title[LS_TITLE];
    ls_text line = {0};
    ls_report_title(&d->in.candidate.trace->nodes[operand], title, sizeof title);
    ls_text_printf(l->out, "%-*s", COLUMN, l->count++ == 0 ? "reads" : "");
    ls_put_cell(l->screen, title, NAMES, false, l->out);
    if (p == NULL)
        ls_text_printf(&line, "no partner");
    else
        ls_text_printf(&line, "%s%s, relative L2 %.1e", p->mark.downstream ? "downstream, " : "", ls_verdict_name(p->mark.verdict), p->metrics.rel_l2);
    ls_text_printf(l->out, "  ");
    put_rest(&line, l->out);
}

static void put_weight(const ls_explanation *x, size_t weight, void *context) {
    listing *l = context;
    const ls_node *n = &x->comparison->diff->in.candidate.trace->nodes[weight];
    char title[LS_TITLE];
    ls_text line = {0}, name = {0};
    ls_report_reference_title(n, title, sizeof title);
    ls_text_printf(&name, "%s (%s)", title, n->dtype);
    ls_text_printf(l->out, "%-*s", COLUMN, l->count++ == 0 ? "weights" : "");
    ls_put_cell(l->screen, name.data != NULL ? name.data : "", NAMES, false, l->out);
    put_state_of_weight(x, weight, &line);
    ls_text_printf(l->out, "  ");
    put_rest(&line, l->out);
    ls_text_done(&name);
}

static void put_parameters(const ls_explanation *x, ls_text *out) {
    const ls_node *n = candidate_of(x);
    ls_text line = {0};
    for (size_t i = 0; i < n->parameter_count; i++)
        if (n->parameters[i].text == NULL && n->parameters[i].items == NULL)
            ls_text_printf(&line, "%s%s %.10g", line.length > 0 ? ", " : "", n->parameters[i].key, n->parameters[i].value);
    if (line.length > 0)
        put_labelled("parameters", &line, out);
    ls_text_done(&line);
}

static void put_region(const ls_explanation *x, ls_text *out) {
    const ls_replayed *item = replayed_of(x);
    char title[LS_TITLE];
    ls_text line = {0};
    for (size_t i = 0; item != NULL && i < item->region_count; i++) {
        ls_report_title(&x->comparison->diff->in.candidate.trace->nodes[item->region[i]], title, sizeof title);
        ls_text_printf(&line, "%s%s", i > 0 ? ", " : "", title);
    }
    if (line.length > 0)
        put_labelled("with", &line, out);
    ls_text_done(&line);
}

static void put_one_tried(const ls_screen *screen, const tried *t, ls_text *out) {
    ls_text line = {0};
    ls_text_printf(out, t->explains ? "  * " : "    ");
    ls_put_cell(screen, t->rule, RULE, false, out);
    if (isnan(t->left))
        ls_text_printf(out, "%-*s", LEFT, "");
    else
        ls_text_printf(out, "%-*.1e", LEFT, t->left);
    tried_text(t, &line);
    put_rest(&line, out);
}

static void put_not_applicable(const ls_explanation *x, const tried_list *list, ls_text *out) {
    static const char *const rules[] = {
#define LS_CAUSE_ROW(id, ...) id,
#include "diagnose/cause_table.h"
#undef LS_CAUSE_ROW
    };
    ls_text line = {0};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        bool any = strcmp(rules[i], "experiment") == 0 || (strcmp(rules[i], "weight") == 0 && replayed_of(x) != NULL && replayed_of(x)->weight != LS_NONE);
        for (size_t k = 0; k < list->count && !any; k++)
            any = strcmp(list->items[k].rule, rules[i]) == 0;
        if (!any)
            ls_text_printf(&line, "%s%s", line.length > 0 ? ", " : "", rules[i]);
    }
    if (line.length > 0)
        put_labelled("don't apply", &line, out);
}

static void put_tried(const ls_explanation *x, bool all, const ls_screen *screen, ls_text *out) {
    enum { MOST = 12 };
    tried_list list = list_tried(x);
    if (list.count > 0)
        ls_text_printf(out, "%-*s%s\n", 4 + RULE, "tried", "left");
    for (size_t i = 0; i < list.count && (all || i < MOST); i++)
        put_one_tried(screen, &list.items[i], out);
    if (list.count > MOST && !all)
        ls_text_printf(out, "    and %zu more that leave no less (--all)\n", list.count - MOST);
    put_not_applicable(x, &list, out);
    free(list.items);
}

static void put_no_cause(const ls_explanation *x, ls_text *out) {
    const ls_verdict verdict = x->pair->mark.verdict;
    if (verdict == LS_VERDICT_EXPLAINED)
        ls_text_printf(out, "not a fault: %s", ls_excuse_text(x->pair->mark.excuse));
    else if (!ls_verdict_fails(verdict))
        ls_text_printf(out, "there is nothing to explain: the two agree");
    else if (verdict >= LS_VERDICT_SHAPE)
        ls_text_printf(out, "nothing could be tried: the two were not compared");
    else
        ls_text_printf(out, "unexplained: nothing that was tried leaves little enough");
}

static void put_cause(const ls_explanation *x, ls_text *out) {
    ls_text line = {0};
    const ls_cause *cause = x->diagnosis.causes;
    if (x->diagnosis.cause_count > 0) {
        ls_text_printf(&line, "%s: ", cause->id);
        ls_cause_text(cause, &line);
    } else if (is_inherited(x) && x->comparison->diff->result.first != LS_NONE) {
        char title[LS_TITLE];
        const ls_diff *d = x->comparison->diff;
        ls_report_title(&d->in.candidate.trace->nodes[d->pairs.items[d->result.first].candidate], title, sizeof title);
        ls_text_printf(&line, "inherited: the first divergence is %s", title);
    } else {
        put_no_cause(x, &line);
    }
    put_labelled("cause", &line, out);
    ls_report_layers(x->comparison->diff, replayed_of(x), &line);
    if (line.length > 0)
        put_labelled("where", &line, out);
    if (x->diagnosis.cause_count > 0)
        ls_report_place(cause->id, x->comparison->checkpoints != NULL ? &x->comparison->checkpoints->settings : NULL, &line);
    if (line.length > 0)
        put_labelled("look at", &line, out);
    ls_text_done(&line);
}

void ls_report_explanation(const ls_explanation *x, bool all, const ls_screen *screen, ls_text *out) {
    ls_text lines = {0};
    listing reads = {.out = &lines, .screen = screen}, weights = reads;
    put_head(x, &lines);
    put_errors(x, &lines);
    put_region(x, &lines);
    put_parameters(x, &lines);
    visit_operands(x, false, put_operand, &reads);
    visit_operands(x, true, put_weight, &weights);
    if (all || !is_inherited(x))
        put_tried(x, all, screen, &lines);
    put_cause(x, &lines);
    ls_screen_print(screen, &lines, out);
    ls_text_done(&lines);
}

/* ------------------------------------------------------------------ JSON */

static json_t *taken_text(ls_text *text) {
    json_t *o = ls_json_text(text->data != NULL ? text->data : "");
    ls_text_done(text);
    return o;
}

static void add_operand(const ls_explanation *x, size_t operand, void *context) {
    const ls_diff *d = x->comparison->diff;
    const ls_pair *p = pair_of_operand(d, operand);
    json_t *o = json_object();
    json_object_set_new(o, "name", ls_json_text(d->in.candidate.trace->nodes[operand].name));
    json_object_set_new(o, "op", ls_json_text(d->in.candidate.trace->nodes[operand].op));
    json_object_set_new(o, "verdict", p != NULL ? json_string(ls_verdict_name(p->mark.verdict)) : json_null());
    json_object_set_new(o, "rel_l2", p != NULL ? ls_json_number(p->metrics.rel_l2) : json_null());
    json_array_append_new(context, o);
}

static void add_weight(const ls_explanation *x, size_t weight, void *context) {
    const ls_node *n = &x->comparison->diff->in.candidate.trace->nodes[weight];
    ls_text state = {0};
    put_state_of_weight(x, weight, &state);
    json_array_append_new(context, json_pack("{s:o, s:o, s:o}", "name", ls_json_text(n->name), "dtype", ls_json_text(n->dtype), "state", taken_text(&state)));
}

static json_t *tried_json(const tried *t) {
    ls_text summary = {0};
    tried_text(t, &summary);
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:b}", "rule", t->rule, "kind", t->trial != NULL ? "experiment" : "fit", "summary", taken_text(&summary), "parameters",
                     t->attempt != NULL ? ls_json_parameters(&t->attempt->cause) : json_object(), "left", ls_json_number(t->left), "explains", t->explains);
}

static json_t *errors_json(const ls_explanation *x) {
    const ls_replayed *item = replayed_of(x);
    return item == NULL ? json_null()
                        : json_pack("{s:s, s:b, s:o, s:o}", "class", ls_replay_class_name(item->class), "origin", item->is_origin, "rel_l2", ls_json_number(item->local.error), "expected",
                                    ls_json_number(item->local.expected));
}

void ls_report_explanation_json(const ls_explanation *x, ls_text *out) {
    json_t *o = json_object(), *operands = json_array(), *weights = json_array(), *list = json_array(), *causes = json_array();
    tried_list all = list_tried(x);
    visit_operands(x, false, add_operand, operands);
    visit_operands(x, true, add_weight, weights);
    for (size_t i = 0; i < all.count; i++)
        json_array_append_new(list, tried_json(&all.items[i]));
    for (size_t i = 0; i < x->diagnosis.cause_count; i++)
        json_array_append_new(causes, ls_report_cause_json(x->comparison, x->pair, &x->diagnosis.causes[i]));
    free(all.items);
    json_object_set_new(o, "schema", json_integer(1));
    json_object_set_new(o, "kind", json_string("explanation"));
    json_object_set_new(o, "pair", ls_report_pair_json(x->comparison->diff, x->pair));
    json_object_set_new(o, "added", errors_json(x));
    json_object_set_new(o, "reads", operands);
    json_object_set_new(o, "weights", weights);
    json_object_set_new(o, "tried", list);
    json_object_set_new(o, "causes", causes);
    ls_json_dump(o, out);
}
