/* The public functions that compare traces. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lockstep/compare.h>

#include "base/text.h"
#include "diff/diff.h"
#include "report/remarks.h"
#include "report/report.h"

struct lockstep_trace_comparison {
    ls_diff *diff;
    ls_diagnosis diagnosis;
    ls_text reason, causes[LS_CAUSES_MAX];
};

static lockstep_status understand(const lockstep_trace_options *o, ls_diff_options *out, lockstep_error *error) {
    static const lockstep_trace_options defaults = {.size = sizeof defaults};
    o = o != NULL ? o : &defaults;
    if (o->size < sizeof *o)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "options: found a size of %zu, expected %zu", o->size, sizeof *o);
    const char *profile = o->profile != NULL ? o->profile : "auto";
    double coverage = o->min_coverage > 0 ? o->min_coverage : LS_MIN_COVERAGE;
    *out = (ls_diff_options){.map = o->map, .preset = o->preset, .tensors = o->tensors, .layers = o->layers, .passes = o->passes, .profile = ls_profile_find(profile),
                             .elementwise = o->elementwise, .atol = o->atol, .rtol = o->rtol, .min_coverage = coverage};
    if (out->profile == NULL)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "options: no profile '%s'", profile);
    if (o->profile != NULL && o->elementwise)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "options: a profile and elementwise tolerances exclude each other");
    if (!(coverage <= 1) || !(o->atol >= 0) || !(o->rtol >= 0))
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "options: min_coverage has to be 0 to 1, and atol and rtol not negative");
    return LOCKSTEP_OK;
}

lockstep_status lockstep_traces_compare(const char *reference, const char *candidate, const lockstep_trace_options *options,
                                        lockstep_trace_comparison **out_comparison, lockstep_error *error) {
    ls_diff_options wanted;
    if (reference == NULL || candidate == NULL || out_comparison == NULL)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "no paths, or nowhere to put the comparison");
    LS_TRY(understand(options, &wanted, error));
    lockstep_trace_comparison *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    lockstep_status status = ls_diff_paths(reference, candidate, &wanted, &c->diff, error);
    if (status == LOCKSTEP_OK)
        status = ls_diagnose(c->diff, &c->diagnosis, error);
    if (status != LOCKSTEP_OK) {
        lockstep_trace_comparison_close(c);
        return status;
    }
    ls_remark_text(c->diff, &c->diff->result.reason, &c->reason);
    for (size_t i = 0; i < c->diagnosis.cause_count; i++)
        ls_cause_text(&c->diagnosis.causes[i], &c->causes[i]);
    *out_comparison = c;
    return LOCKSTEP_OK;
}

void lockstep_trace_comparison_close(lockstep_trace_comparison *c) {
    if (c == NULL)
        return;
    ls_diff_free(c->diff);
    ls_text_done(&c->reason);
    for (size_t i = 0; i < LS_CAUSES_MAX; i++)
        ls_text_done(&c->causes[i]);
    free(c);
}

const char *lockstep_trace_comparison_verdict(const lockstep_trace_comparison *c) { return ls_diff_verdict(c->diff); }
int lockstep_trace_comparison_exit_status(const lockstep_trace_comparison *c) { return ls_outcome_exit_status(c->diff->result.outcome); }
const char *lockstep_trace_comparison_reason(const lockstep_trace_comparison *c) { return c->reason.data != NULL ? c->reason.data : ""; }
double lockstep_trace_comparison_coverage(const lockstep_trace_comparison *c) { return c->diff->result.coverage; }
size_t lockstep_trace_comparison_pair_count(const lockstep_trace_comparison *c) { return c->diff->pairs.count; }
size_t lockstep_trace_comparison_first(const lockstep_trace_comparison *c) { return c->diff->result.first; }
size_t lockstep_trace_comparison_cause_count(const lockstep_trace_comparison *c) { return c->diagnosis.cause_count; }

lockstep_status lockstep_trace_comparison_pair(const lockstep_trace_comparison *c, size_t index, lockstep_pair *out) {
    if (index >= c->diff->pairs.count || out == NULL)
        return LOCKSTEP_INVALID_ARGUMENT;
    const ls_pair *p = &c->diff->pairs.items[index];
    const ls_node *r = &c->diff->in.reference.trace->nodes[p->reference], *n = &c->diff->in.candidate.trace->nodes[p->candidate];
    const ls_metrics none = {.rel_l2 = NAN, .max_abs = NAN, .max_rel = NAN, .cosine = NAN}, *m = ls_pair_has_metrics(p) ? &p->metrics : &none;
    *out = (lockstep_pair){.reference = r->name, .candidate = n->name, .operation = n->op, .method = ls_method_name(p->method),
                           .layout = p->layout != NULL ? p->layout : "", .verdict = ls_verdict_name(p->mark.verdict), .fails = ls_pair_fails(p),
                           .downstream = p->mark.downstream, .layer = n->layer, .pass = n->pass == LS_NONE ? 0 : n->pass, .order = p->candidate_value,
                           .elements = p->elements, .rel_l2 = m->rel_l2, .max_abs = m->max_abs, .max_rel = m->max_rel, .cosine = m->cosine,
                           .tolerance = p->mark.tolerance};
    return LOCKSTEP_OK;
}

lockstep_status lockstep_trace_comparison_cause(const lockstep_trace_comparison *c, size_t index, lockstep_cause *out) {
    if (index >= c->diagnosis.cause_count || out == NULL)
        return LOCKSTEP_INVALID_ARGUMENT;
    const ls_cause *cause = &c->diagnosis.causes[index];
    *out = (lockstep_cause){cause->id, c->causes[index].data != NULL ? c->causes[index].data : "", cause->residual};
    return LOCKSTEP_OK;
}

lockstep_status lockstep_trace_comparison_write_json(const lockstep_trace_comparison *c, const char *path, lockstep_error *error) {
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return ls_fail(error, LOCKSTEP_IO, "%s: %s", path, strerror(errno));
    bool written = ls_report_json(&(ls_comparison){.diff = c->diff, .diagnosis = &c->diagnosis}, file);
    bool closed = fclose(file) == 0;
    return written && closed ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_IO, "%s: could not be written", path);
}
