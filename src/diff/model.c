#include "diff/model.h"

int ls_outcome_exit_status(ls_outcome outcome) { return outcome == LS_OUTCOME_MATCH ? 0 : outcome == LS_OUTCOME_INCOMPARABLE || outcome == LS_OUTCOME_MODEL_MATCH ? 2 : 1; }

const char *ls_diff_verdict(const ls_diff *d) {
    static const char *const names[] = {"match", "model match", "diverged", "inputs-differ", "incomparable"};
    return d->result.outcome == LS_OUTCOME_MATCH && ls_diff_is_eager(d) ? "match (eager)" : names[d->result.outcome];
}
