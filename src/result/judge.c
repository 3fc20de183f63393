#include "result/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool ls_thresholds_any(const ls_thresholds *t) { return !isnan(t->rel_l2) || !isnan(t->max_abs) || !isnan(t->cosine) || !isnan(t->nmse); }

/* What is no number keeps no rule. */
static bool keeps(const json_t *pair, const ls_thresholds *t) {
    const double rel_l2 = ls_result_number(pair, "metrics.rel_l2"), max_abs = ls_result_number(pair, "metrics.max_abs"), cosine = ls_result_number(pair, "metrics.cosine"),
                 nmse = ls_result_number(pair, "metrics.nmse");
    return (isnan(t->rel_l2) || rel_l2 <= t->rel_l2) && (isnan(t->max_abs) || max_abs <= t->max_abs) && (isnan(t->cosine) || cosine >= t->cosine) && (isnan(t->nmse) || nmse <= t->nmse);
}

/* What is no number, or masked on one side only, is not in the metrics of the rest. */
static bool is_whole(const json_t *pair) {
    static const char *const counts[] = {"metrics.nan_reference", "metrics.nan_candidate", "metrics.nonfinite_differ", "metrics.masked_differ"};
    bool whole = true;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        whole = whole && !(ls_result_number(pair, counts[i]) > 0);
    return whole;
}

static void judge_pair(json_t *pair, const ls_thresholds *t, const char *bad) {
    if (!json_is_object(json_object_get(pair, "metrics")))
        return; /* what could not be compared stays that */
    const bool good = keeps(pair, t) && is_whole(pair);
    json_object_set_new(pair, "verdict", json_string(good ? "match" : bad));
    json_object_set_new(pair, "downstream", json_false());
}

static lockstep_status list_again(ls_result *r, lockstep_error *error) {
    ls_result judged;
    json_t *json = json_incref(r->json);
    ls_result_done(r);
    const lockstep_status status = ls_result_take(json, "the result", &judged, error);
    if (status == LOCKSTEP_OK)
        *r = judged;
    return status;
}

/* Why a comparison in which every pair passes shows too little for a match; NULL where it shows enough. */
static const char *what_is_missing(const ls_result *r) {
    const double least = 0.5, coverage = ls_result_number(r->json, r->is_of_traces ? "pairing.coverage" : "weights.coverage");
    const json_t *sides[] = {json_object_get(r->json, "reference"), json_object_get(r->json, "candidate")};
    if (!(coverage >= least))
        return "less than half of the candidate's elements were compared";
    for (int i = 0; i < 2 && r->is_of_traces; i++)
        if (json_is_false(json_object_get(sides[i], "complete")) || ls_result_number(sides[i], "dropped") > 0)
            return "a recording is incomplete";
    if (r->is_of_traces && strcmp(ls_result_text(r->json, "inputs.status"), "equal") != 0 && strcmp(ls_result_text(r->json, "inputs.status"), "unknown") != 0)
        return "the inputs are not known to be equal";
    return NULL;
}

/* Of the cases that no threshold is about, which is the first that fails: a finding, or a pair that could not be compared. */
static const ls_case *first_failing(const ls_result *r) {
    for (size_t i = 1; i < r->count; i++) {
        const ls_case *c = &r->cases[i];
        const char *verdict = c->pair != NULL ? ls_result_text(c->pair, "verdict") : "";
        const bool is_judged = c->pair != NULL && json_is_object(json_object_get(c->pair, "metrics"));
        const bool is_finding = c->pair == NULL && strncmp(c->key, "finding|", strlen("finding|")) == 0;
        if (is_judged ? strcmp(verdict, "match") != 0 : (c->pair != NULL || is_finding) && c->state != LS_CASE_PASSES)
            return c;
    }
    return NULL;
}

/* Rules of the user's are about the recorded values: what computing the operations has found does not count. */
static void judge_all(ls_result *r, const ls_thresholds *t) {
    for (size_t i = 0; i < r->count; i++)
        if (r->cases[i].pair != NULL)
            judge_pair(r->cases[i].pair, t, r->is_of_traces ? "diverged" : "differs");
    const ls_case *first = first_failing(r);
    const char *missing = what_is_missing(r), *judged = "judged anew by the thresholds that were given, on the recorded values alone";
    json_t *replay = json_object_get(r->json, "replay");
    if (json_is_object(replay))
        json_object_set_new(replay, "operations", json_array());
    json_object_set_new(r->json, "verdict", json_string(first != NULL ? (r->is_of_traces ? "diverged" : "differs") : missing != NULL ? "incomparable" : "match"));
    json_object_set_new(r->json, "reason", first == NULL && missing != NULL ? json_string(missing) : json_string(judged));
    json_object_set_new(r->json, "first_divergence", first != NULL && first->pair != NULL && r->is_of_traces ? json_deep_copy(first->pair) : json_null());
}

lockstep_status ls_result_judge(ls_result *r, const ls_thresholds *t, lockstep_error *error) {
    size_t pairs = 0;
    for (size_t i = 0; i < r->count; i++)
        pairs += r->cases[i].pair != NULL && json_is_object(json_object_get(r->cases[i].pair, "metrics"));
    if (pairs == 0)
        return ls_fail(error, LOCKSTEP_INCOMPARABLE, "the result holds no metrics that could be judged");
    if (strcmp(ls_result_verdict(r), "inputs-differ") == 0 || strcmp(ls_result_verdict(r), "incomparable") == 0 || strcmp(ls_result_verdict(r), "incomplete") == 0)
        return LOCKSTEP_OK; /* no threshold changes that */
    judge_all(r, t);
    return list_again(r, error);
}
