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

/* NaN and infinities in different places are not in the metrics of the finite rest. */
static bool is_finite_everywhere(const json_t *pair) {
    const double differ = ls_result_number(pair, "metrics.nonfinite_differ");
    return !(differ > 0);
}

static void judge_pair(json_t *pair, const ls_thresholds *t, const char *bad) {
    if (!json_is_object(json_object_get(pair, "metrics")))
        return; /* what could not be compared stays that */
    const bool good = keeps(pair, t) && is_finite_everywhere(pair);
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

/* Rules of the user's are about the recorded values alone: neither what computing the operations has found, nor other findings count. */
static void judge_all(ls_result *r, const ls_thresholds *t) {
    const ls_case *first = NULL;
    for (size_t i = 0; i < r->count; i++)
        if (r->cases[i].pair != NULL)
            judge_pair(r->cases[i].pair, t, r->is_of_traces ? "diverged" : "differs");
    for (size_t i = 0; i < r->count && first == NULL; i++) {
        const char *verdict = r->cases[i].pair != NULL ? ls_result_text(r->cases[i].pair, "verdict") : "match";
        first = strcmp(verdict, "match") != 0 && strcmp(verdict, "identical") != 0 ? &r->cases[i] : NULL;
    }
    json_t *replay = json_object_get(r->json, "replay");
    if (json_is_object(replay))
        json_object_set_new(replay, "operations", json_array());
    json_object_set_new(r->json, "verdict", json_string(first == NULL ? "match" : r->is_of_traces ? "diverged" : "differs"));
    json_object_set_new(r->json, "reason", json_string("judged anew by the thresholds that were given, on the recorded values alone"));
    json_object_set_new(r->json, "first_divergence", first != NULL && r->is_of_traces ? json_deep_copy(first->pair) : json_null());
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
