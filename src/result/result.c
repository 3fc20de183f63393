#include "result/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "compare/verdict.h"
#include "format/json_tree.h"
#include "io/source.h"

/* ------------------------------------------------------------------ members */

const char *ls_result_text(const json_t *object, const char *path) {
    const char *text = json_string_value(ls_json_at(object, path));
    return text != NULL ? text : "";
}

double ls_result_number(const json_t *object, const char *path) {
    const json_t *value = ls_json_at(object, path);
    const char *text = json_string_value(value);
    if (text != NULL)
        return strcmp(text, "inf") == 0 ? INFINITY : strcmp(text, "-inf") == 0 ? -INFINITY : NAN;
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* ------------------------------------------------------------------ cases */

static lockstep_status add(ls_result *r, const ls_case *own, lockstep_error *error) {
    void *cases = r->cases;
    if (own->name == NULL || own->key == NULL || own->group == NULL || !ls_grow(&cases, r->count, &r->capacity, sizeof *r->cases))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    r->cases = cases;
    r->cases[r->count++] = *own;
    return LOCKSTEP_OK;
}

static bool fails(const char *verdict) {
    for (int i = 0; i < LS_VERDICT_COUNT; i++)
        if (strcmp(ls_verdict_name((ls_verdict)i), verdict) == 0)
            return ls_verdict_fails((ls_verdict)i);
    return true; /* a word that is not known is nothing good */
}

static const json_t *operations_of(const ls_result *r) { return ls_json_at(r->json, "replay.operations"); }

static lockstep_status index_origins(ls_result *r, lockstep_error *error) {
    for (size_t i = 0; i < json_array_size(operations_of(r)); i++) {
        const json_t *operation = json_array_get(operations_of(r), i);
        const double node = ls_result_number(operation, "node");
        uint64_t *at = json_is_true(ls_json_at(operation, "origin")) ? ls_map_at(&r->origins, (const char *)&node, sizeof node) : NULL;
        if (at == NULL && json_is_true(ls_json_at(operation, "origin")))
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
        if (at != NULL)
            *at = i + 1;
    }
    return LOCKSTEP_OK;
}

/* What is known of an operation at fault: how it gives the reference's values, or what its weight is; "" */
static const char *cause_of_node(ls_result *r, double node) {
    const uint64_t *at = ls_map_find(&r->origins, (const char *)&node, sizeof node);
    const json_t *operation = at != NULL ? json_array_get(operations_of(r), (size_t)*at - 1) : NULL;
    const char *instead = ls_result_text(operation, "rule.instead"), *weight = ls_result_text(operation, "wrong_weight.text"), *text = NULL;
    if (*instead != '\0')
        text = ls_arena_printf(&r->arena, "%s: computed with %s, it gives the reference's values", ls_result_text(operation, "rule.id"), instead);
    else if (*weight != '\0')
        text = ls_arena_printf(&r->arena, "%s: %s", ls_result_text(operation, "wrong_weight.name"), weight);
    return text != NULL ? text : "";
}

static lockstep_status add_pair_of_traces(ls_result *r, json_t *pair, lockstep_error *error) {
    const json_t *c = ls_json_at(pair, "candidate");
    const double layer = ls_result_number(c, "layer"), pass = ls_result_number(c, "pass"), occurrence = ls_result_number(c, "occurrence");
    const char *name = ls_result_text(c, "name"), *op = ls_result_text(c, "op"), *verdict = ls_result_text(pair, "verdict");
    const bool downstream = json_is_true(ls_json_at(pair, "downstream"));
    ls_case own = {.reference = ls_result_text(pair, "reference.name"), .verdict = verdict, .reason = ls_result_text(pair, "reason"), .error = ls_result_number(pair, "metrics.rel_l2"), .pair = pair};
    own.name = occurrence > 0 ? ls_arena_printf(&r->arena, "%s (%s%s#%.0f)", name, op, *op != '\0' ? " " : "", occurrence) : ls_arena_printf(&r->arena, *op != '\0' ? "%s (%s)" : "%s", name, op);
    own.error = strcmp(verdict, ls_verdict_name(LS_VERDICT_NONFINITE)) == 0 ? INFINITY : own.error; /* the metrics are those of the finite rest */
    own.key = ls_arena_printf(&r->arena, "%s|%s|%.0f|%.0f", name, op, occurrence, isnan(pass) ? -1 : pass);
    own.group = layer >= 0 ? ls_arena_printf(&r->arena, "pass %.0f.layer %.0f", isnan(pass) ? 0 : pass, layer) : ls_arena_printf(&r->arena, "pass %.0f", isnan(pass) ? 0 : pass);
    own.state = !fails(verdict) ? LS_CASE_PASSES : downstream ? LS_CASE_FOLLOWS : LS_CASE_FAILS;
    const double node = ls_result_number(c, "order");
    own.reason = *own.reason == '\0' && own.state == LS_CASE_FAILS ? cause_of_node(r, node) : own.reason;
    if (own.state != LS_CASE_PASSES && ls_map_at(&r->failing, (const char *)&node, sizeof node) == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    return add(r, &own, error);
}

static lockstep_status add_pair_of_weights(ls_result *r, json_t *pair, lockstep_error *error) {
    const char *name = ls_result_text(pair, "candidate.name"), *part = ls_result_text(pair, "candidate.part"), *cause = ls_result_text(pair, "cause");
    ls_case own = {.reference = ls_result_text(pair, "reference.name"), .verdict = ls_result_text(pair, "verdict"), .reason = cause, .group = "weights", .error = ls_result_number(pair, "metrics.nmse"), .pair = pair};
    own.name = own.key = *part != '\0' ? ls_arena_printf(&r->arena, "%s %s", name, part) : name;
    own.state = fails(own.verdict) ? LS_CASE_FAILS : LS_CASE_PASSES;
    return add(r, &own, error);
}

/* A sentence without its numbers, which change from one result to the next. */
static char *without_numbers(ls_result *r, const char *text) {
    char *out = ls_arena_copy(&r->arena, text, strlen(text)), *to = out;
    for (const char *c = text; out != NULL && *c != '\0'; c++)
        if (strchr("0123456789.+-", *c) == NULL)
            *to++ = *c;
    if (out != NULL)
        *to = '\0';
    return out;
}

/* What fails, or can't be compared. A finding about a pair of weights that fails is the reason of that. */
static lockstep_status add_finding(ls_result *r, json_t *finding, lockstep_error *error) {
    const bool bad = json_is_true(ls_json_at(finding, "fails")) || json_is_true(ls_json_at(finding, "gap"));
    const char *kind = ls_result_text(finding, "kind"), *text = ls_result_text(finding, "text");
    const json_t *index = ls_json_at(finding, "pair"), *pair = json_is_integer(index) ? json_array_get(ls_json_at(r->json, "weights.pairs"), (size_t)json_integer_value(index)) : NULL;
    if (pair != NULL && bad && fails(ls_result_text(pair, "verdict")))
        return LOCKSTEP_OK;
    ls_case own = {.reference = "", .verdict = kind, .reason = text, .group = "findings", .error = NAN, .state = bad ? LS_CASE_FAILS : LS_CASE_PASSES};
    const char *plain = without_numbers(r, text);
    own.name = ls_arena_printf(&r->arena, "%s: %s", kind, text);
    own.key = plain != NULL ? ls_arena_printf(&r->arena, "finding|%s|%s", kind, pair != NULL ? ls_result_text(pair, "candidate.name") : plain) : NULL;
    return add(r, &own, error);
}

/* What replay has found where the recorded values are not compared, or pass. */
static lockstep_status add_origin(ls_result *r, json_t *operation, lockstep_error *error) {
    const double node = ls_result_number(operation, "node");
    if (!json_is_true(ls_json_at(operation, "origin")) || ls_map_find(&r->failing, (const char *)&node, sizeof node) != NULL)
        return LOCKSTEP_OK;
    const double layer = ls_result_number(operation, "layer"), pass = ls_result_number(operation, "pass");
    ls_case own = {.reference = ls_result_text(operation, "reference"), .verdict = "at fault", .reason = ls_result_text(operation, "rule.instead"), .error = ls_result_number(operation, "added.rel_l2"), .state = LS_CASE_FAILS};
    own.name = ls_arena_printf(&r->arena, "%s (%s) computed from the reference's values", ls_result_text(operation, "name"), ls_result_text(operation, "op"));
    own.key = ls_arena_printf(&r->arena, "origin|%s|%s|%.0f|%.0f", ls_result_text(operation, "name"), ls_result_text(operation, "op"), layer, pass);
    own.group = "operations at fault";
    return add(r, &own, error);
}

/* The verdict itself, which may fail where nothing else does. */
static lockstep_status add_verdict(ls_result *r, lockstep_error *error) {
    const ls_case own = {.name = "verdict", .key = "verdict", .group = "verdict", .reference = "", .verdict = ls_result_verdict(r), .reason = ls_result_reason(r), .error = NAN,
                         .state = ls_result_is_match(r) ? LS_CASE_PASSES : LS_CASE_FAILS};
    return add(r, &own, error);
}

typedef lockstep_status adder(ls_result *result, json_t *item, lockstep_error *error);

static lockstep_status add_each(ls_result *r, const char *path, adder *function, lockstep_error *error) {
    const json_t *array = ls_json_at(r->json, path);
    for (size_t i = 0; i < json_array_size(array); i++)
        LS_TRY(function(r, json_array_get(array, i), error));
    return LOCKSTEP_OK;
}

static lockstep_status list_cases(ls_result *r, lockstep_error *error) {
    LS_TRY(add_verdict(r, error));
    if (!r->is_of_traces) {
        LS_TRY(add_each(r, "findings", add_finding, error));
        return add_each(r, "weights.pairs", add_pair_of_weights, error);
    }
    LS_TRY(index_origins(r, error));
    LS_TRY(add_each(r, "pairs", add_pair_of_traces, error));
    return add_each(r, "replay.operations", add_origin, error);
}

/* ------------------------------------------------------------------ results */

lockstep_status ls_result_take(json_t *json, const char *name, ls_result *out, lockstep_error *error) {
    const char *kind = ls_result_text(json, "kind");
    *out = (ls_result){.json = json, .is_of_traces = strcmp(kind, "traces") == 0};
    lockstep_status status = LOCKSTEP_OK;
    if (!json_is_object(json) || ls_result_number(json, "schema") != 1 || *ls_result_text(json, "verdict") == '\0' || (!out->is_of_traces && strcmp(kind, "checkpoints") != 0))
        status = ls_fail(error, LOCKSTEP_MALFORMED, "%s: expected what `lockstep diff --json` writes (schema 1, of traces or checkpoints)", name);
    if (status == LOCKSTEP_OK)
        status = list_cases(out, error);
    if (status != LOCKSTEP_OK)
        ls_result_done(out);
    return status;
}

lockstep_status ls_result_open(const char *path, ls_result *out, lockstep_error *error) {
    ls_source *source;
    json_t *json = NULL;
    *out = (ls_result){0};
    LS_TRY(ls_source_open_file(path, &source, error));
    const lockstep_status status = ls_json_tree(source, &json, error);
    ls_source_close(source);
    return status == LOCKSTEP_OK ? ls_result_take(json, path, out, error) : status;
}

void ls_result_done(ls_result *r) {
    json_decref(r->json);
    free(r->cases);
    ls_map_done(&r->origins);
    ls_map_done(&r->failing);
    ls_arena_done(&r->arena);
    *r = (ls_result){0};
}

size_t ls_result_count(const ls_result *r, bool pairs, ls_case_state state) {
    size_t count = 0;
    for (size_t i = 1; i < r->count; i++)
        count += (r->cases[i].pair != NULL) == pairs && r->cases[i].state == state;
    return count;
}

const char *ls_result_verdict(const ls_result *r) { return ls_result_text(r->json, "verdict"); }
const char *ls_result_reason(const ls_result *r) { return ls_result_text(r->json, "reason"); }

bool ls_result_is_match(const ls_result *r) {
    static const char *const matches[] = {"match", "match (eager)"}; /* of a model match, the kernels were not checked */
    for (size_t i = 0; i < sizeof matches / sizeof matches[0]; i++)
        if (strcmp(matches[i], ls_result_verdict(r)) == 0)
            return true;
    return false;
}

int ls_result_exit_status(const ls_result *r) {
    static const char *const differ[] = {"diverged", "inputs-differ", "differs"};
    bool any = false;
    for (size_t i = 0; i < sizeof differ / sizeof differ[0]; i++)
        any = any || strcmp(differ[i], ls_result_verdict(r)) == 0;
    return ls_result_is_match(r) ? 0 : any ? 1 : 2;
}
